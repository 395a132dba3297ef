"""Sessions, CSRF, messages and the signed-in user for pages and the panel; the API has and needs none of them."""

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.utils.functional import SimpleLazyObject

from accounts.cookies import OriginCheck
from accounts.services.pages import session_of
from core.language import speak

LANDING = ("/account/verify", "/account/reset")


def is_page(request: Any) -> bool:
    return request.path == "/account" or str(request.path).startswith(("/account/", "/admin"))


class PagesOnly:
    """Mixed into a middleware of Django's: on anything but a page it steps aside."""

    get_response: Any

    def __call__(self, request: Any) -> Any:
        return super().__call__(request) if is_page(request) else self.get_response(request)  # type: ignore[misc]


class PageSessionMiddleware(PagesOnly, SessionMiddleware):
    pass


class PageMessageMiddleware(PagesOnly, MessageMiddleware):
    pass


class PageCsrfMiddleware(PagesOnly, OriginCheck):
    def _origin_verified(self, request: Any) -> bool:
        """A page that sends no referrer makes browsers say `Origin: null` (Fetch §3.2). The form's token decides then,
        on the pages behind the links of mails, and only there."""
        is_hidden = request.META.get("HTTP_ORIGIN") == "null" and request.path in LANDING
        return is_hidden or super()._origin_verified(request)

    def process_view(self, request: Any, *args: Any) -> Any:
        return super().process_view(request, *args) if is_page(request) else None


class PageAuthenticationMiddleware(PagesOnly, AuthenticationMiddleware):
    """Signed in is who has a live `Session` row: what ends that row ends the page's session as well."""

    def process_request(self, request: Any) -> None:
        def find() -> Any:
            request.session_row = session_of(request)
            if request.session_row is None:
                return AnonymousUser()
            speak(request.session_row.user.language)
            return request.session_row.user

        request.user = SimpleLazyObject(find)
