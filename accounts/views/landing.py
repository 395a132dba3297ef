"""The pages behind the links of mails. Opening one spends nothing (mail scanners open them too); its button posts."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views import View

from accounts.challenges import Proof, Purpose
from accounts.services import passwords, profile, registration
from core.actor import Actor
from core.errors import Problem
from core.secrets import read_link_token


class VerifyPage(View):
    """For sign-ups and for changes of address."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return show(request, "account/verify.html", token=request.GET.get("token", ""))

    def post(self, request: HttpRequest) -> HttpResponse:
        token = request.POST.get("token", "")
        confirm = confirm_change if read_link_token(token, Purpose.EMAIL_CHANGE) else confirm_sign_up
        try:
            context = confirm(Actor.of(request), Proof(token=token))
        except Problem as problem:
            return show(request, "account/verify.html", problem, token=token, error=problem.detail)
        return show(request, "account/verified.html", **context)


class ResetPage(View):
    """A new password, or the first one of somebody invited."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return show(request, "account/reset.html", token=request.GET.get("token", ""))

    def post(self, request: HttpRequest) -> HttpResponse:
        token, password = request.POST.get("token", ""), request.POST.get("new_password", "")
        try:
            passwords.reset(Actor.of(request), Proof(token=token), password)
        except Problem as problem:
            details = [entry["detail"] for entry in problem.errors or []] or [problem.detail]
            return show(request, "account/reset.html", problem, token=token, error=" ".join(details))
        return show(request, "account/reset_done.html")


def confirm_sign_up(actor: Actor, proof: Proof) -> dict[str, Any]:
    done = registration.verify(actor, proof, None)
    return {"email": done.email, "password_needed": done.password_needed}


def confirm_change(actor: Actor, proof: Proof) -> dict[str, Any]:
    return {"email": profile.confirm_email_change(actor, proof).email, "password_needed": False}


def show(request: HttpRequest, template: str, problem: Problem | None = None, **context: Any) -> HttpResponse:
    response = render(request, template, context, status=problem.status_code if problem else 200)
    for name, value in problem.headers.items() if problem else ():
        response[name] = value
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response
