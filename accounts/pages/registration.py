"""Sign up, and prove the address. Every step looks the same for an address that is taken."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from accounts.challenges import Proof, Purpose
from accounts.pages.forms import AddressForm, CodeForm, SignUpForm
from accounts.pages.page import Page, show
from accounts.services import profile, registration
from core.actor import Actor
from core.errors import Problem
from core.language import spoken
from core.secrets import read_link_token


class SignUpPage(Page):
    template = "account/signup.html"
    form = SignUpForm

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if request.user.is_authenticated:
            return self.lead(self.wanted or "account-page")
        return super().dispatch(request, *args, **kwargs)

    def act(self, data: dict[str, Any]) -> HttpResponse:
        address = data["email"]
        registration.sign_up(self.actor, address, data["password"], {"language": spoken()})
        self.remember(address.email)
        return self.lead("verify-page", _("We sent a mail to %(email)s.") % {"email": address.email})


class VerifyPage(Page):
    """By the code, or by the link of a mail, for sign-ups and for changes of address. Opening a link spends nothing
    (mail scanners open them too); its button posts."""

    template = "account/verify.html"
    form = CodeForm

    def get(self, request: HttpRequest) -> HttpResponse:
        if "token" in request.GET:
            return self.show_link(request.GET["token"])
        return super().get(request)

    def post(self, request: HttpRequest) -> HttpResponse:
        if "token" not in request.POST:
            return super().post(request)
        token = request.POST["token"]
        confirm = confirm_change if read_link_token(token, Purpose.EMAIL_CHANGE) else confirm_sign_up
        try:
            context = confirm(self.actor, Proof(token=token))
        except Problem as problem:
            return self.show_link(token, problem)
        if context["password_needed"]:
            self.remember(context["email"])
        return show(request, "account/verified.html", refers=False, **context)

    def show_link(self, token: str, problem: Problem | None = None) -> HttpResponse:
        error = problem.detail if problem else ""
        return show(self.request, "account/verify_link.html", problem, refers=False, token=token, error=error)

    def act(self, data: dict[str, Any]) -> HttpResponse:
        done = registration.verify(self.actor, Proof(email=data["email"], code=data["code"]), None)
        self.remember(done.email)
        if done.password_needed:
            return self.lead("forgot-page", _("The address is confirmed. It has no password yet: set one now."))
        return self.lead("log-in-page", _("The address is confirmed. You can sign in."))


class ResendPage(Page):
    template = "account/resend.html"
    form = AddressForm

    def act(self, data: dict[str, Any]) -> HttpResponse:
        address = data["email"].email
        registration.resend(self.actor, address)
        self.remember(address)
        return self.lead(
            "verify-page", _("If %(email)s waits to be confirmed, we sent the mail again.") % {"email": address}
        )


def confirm_sign_up(actor: Actor, proof: Proof) -> dict[str, Any]:
    done = registration.verify(actor, proof, None)
    return {"email": done.email, "password_needed": done.password_needed}


def confirm_change(actor: Actor, proof: Proof) -> dict[str, Any]:
    return {"email": profile.confirm_email_change(actor, proof).email, "password_needed": False}
