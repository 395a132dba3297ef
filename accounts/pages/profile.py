"""What people change about themselves."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.challenges import Proof
from accounts.pages.forms import ChangeEmailForm, CloseForm, ConfirmEmailForm, ProfileForm
from accounts.pages.page import Page, kept_nowhere
from accounts.services import pages, profile
from core.language import speak

NEW_ADDRESS = "new address"


@require_safe
def to_profile(request: HttpRequest) -> HttpResponse:
    return kept_nowhere(redirect("account-page"))


class ProfilePage(Page):
    template = "account/profile.html"
    form = ProfileForm

    def act(self, data: dict[str, Any]) -> HttpResponse:
        user: Any = self.request.user
        speak(profile.change_profile(self.actor, user, data).language)
        return self.lead("account-page", _("Saved."))

    def initial(self) -> dict[str, Any]:
        return {name: getattr(self.request.user, name) for name in profile.PROFILE}


class EmailPage(Page):
    template = "account/email.html"
    form = ChangeEmailForm

    def act(self, data: dict[str, Any]) -> HttpResponse:
        address = data["new_email"]
        profile.ask_email_change(self.actor, address, data["password"])
        self.request.session[NEW_ADDRESS] = address.email
        return self.lead("confirm-email-page")


class ConfirmEmailPage(Page):
    template = "account/email_confirm.html"
    form = ConfirmEmailForm

    def act(self, data: dict[str, Any]) -> HttpResponse:
        user = profile.confirm_email_change(self.actor, Proof(code=data["code"], user=self.request.user))  # type: ignore[arg-type]
        self.request.session.pop(NEW_ADDRESS, None)
        return self.lead("account-page", _("Your address is %(email)s now.") % {"email": user.email})

    def context(self) -> dict[str, Any]:
        return {"new_address": self.request.session.get(NEW_ADDRESS, "")}


class ClosePage(Page):
    template = "account/close.html"
    form = CloseForm

    def act(self, data: dict[str, Any]) -> HttpResponse:
        profile.close_account(self.actor, data["password"])
        pages.sign_out(self.request)
        return self.lead("log-in-page", _("Your account is closed."))
