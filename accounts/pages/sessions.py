"""Log in, see one's devices, get out."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from accounts.cookies import token_cookies
from accounts.errors import EmailNotVerified
from accounts.models import Session
from accounts.pages.forms import LogInForm
from accounts.pages.page import Page
from accounts.services import pages, sessions
from core.errors import NotFound


class LogInPage(Page):
    """A form that is sent signs in anew, whoever was signed in; who only looks is led on."""

    template = "account/login.html"
    form = LogInForm

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return self.lead(self.wanted or "account-page")
        return super().get(request)

    def act(self, data: dict[str, Any]) -> HttpResponse:
        cookies, wanted = token_cookies(self.request), self.wanted  # signing in leaves nothing of the session
        try:
            pages.sign_in(self.request, data["email"], data["password"], cookies)
        except EmailNotVerified:
            return self.to_verify(data["email"])
        return self.lead(wanted or "account-page")

    def to_verify(self, typed: str) -> HttpResponse:
        """The password was right, so the address may be named."""
        if user := sessions.find_by_name(typed):
            self.remember(user.email)
        return self.lead("verify-page", _("Confirm your address first."))


class LogOutPage(Page):
    template = "account/logout.html"

    def act(self, data: dict[str, Any]) -> HttpResponse:
        pages.sign_out(self.request)
        return self.lead("log-in-page", _("You are signed out."))


class DevicesPage(Page):
    template = "account/devices.html"

    def post(self, request: Any) -> HttpResponse:
        mine = Session.objects.live().filter(user=request.user)
        if "others" in request.POST:
            sessions.end_all_of(self.actor, request.user, Session.Ended.LOG_OUT, but=request.session_row.pk)
            return self.lead("devices-page", _("All other devices are signed out."))
        if not sessions.end(self.actor, mine.filter(pk=readable_id(request.POST)), Session.Ended.LOG_OUT):
            return self.lead("devices-page", _("That device was signed out already."))
        return self.lead("devices-page", _("The device is signed out."))

    def context(self) -> dict[str, Any]:
        live = Session.objects.live().filter(user=self.request.user.pk).order_by("-last_used_at", "-id")
        return {"devices": live, "current": self.request.session_row.pk}  # type: ignore[attr-defined]


def readable_id(form: Any) -> UUID:
    try:
        return UUID(form.get("session", ""))
    except ValueError as error:
        raise NotFound from error
