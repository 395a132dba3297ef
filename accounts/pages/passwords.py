"""Forget, reset and change passwords."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from accounts.challenges import Proof
from accounts.pages.forms import AddressForm, ChangePasswordForm, LinkResetForm, ResetForm
from accounts.pages.page import Page, show
from accounts.services import passwords


class ForgotPage(Page):
    """The same for every address."""

    template = "account/forgot.html"
    form = AddressForm

    def act(self, data: dict[str, Any]) -> HttpResponse:
        address = data["email"].email
        passwords.forgot(self.actor, address)
        self.remember(address)
        words = _("If %(email)s has an account, a mail is on its way there.")
        return self.lead("reset-page", words % {"email": address})


class ResetPage(Page):
    """A new password by code, or by the link of a mail; by link also the first one of somebody invited."""

    template = "account/reset.html"
    form = ResetForm

    def get(self, request: HttpRequest) -> HttpResponse:
        if "token" in request.GET:
            return self.show(LinkResetForm())
        return super().get(request)

    def post(self, request: HttpRequest) -> HttpResponse:
        return self.answer(LinkResetForm(request.POST)) if "token" in request.POST else super().post(request)

    def act(self, data: dict[str, Any]) -> HttpResponse:
        proof = Proof(data.get("email", ""), data.get("code", ""), self.request.POST.get("token", ""))
        passwords.reset(self.actor, proof, data["new_password"])
        return show(self.request, "account/reset_done.html", refers=False)

    @property
    def refers(self) -> bool:  # type: ignore[override]
        """A page whose address holds a token keeps that to itself."""
        return not self.by_link

    @property
    def by_link(self) -> bool:
        return "token" in self.request.GET or "token" in self.request.POST

    def context(self) -> dict[str, Any]:
        token = self.request.POST.get("token", self.request.GET.get("token", ""))
        return {"token": token, "by_link": self.by_link}


class PasswordPage(Page):
    template = "account/password.html"
    form = ChangePasswordForm

    def act(self, data: dict[str, Any]) -> HttpResponse:
        passwords.change(self.actor, data["current_password"], data["new_password"])
        return self.lead("account-page", _("The password is changed, and all other devices are signed out."))
