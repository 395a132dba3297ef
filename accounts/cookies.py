"""Tokens in cookies, for browsers: the same sessions, where no script can read the tokens.

`CookiesMiddleware` gives each request a `TokenCookies` and writes what became of it into the answer. Without its line
in MIDDLEWARE there is no cookie mode: nothing here is asked. A header wins over a cookie; a cookie that names no live
session counts as none, and the answer deletes it, so that nobody is stuck with one.
"""

from contextlib import suppress
from typing import Any, ClassVar

from django.conf import settings
from django.db import Error
from django.http import HttpResponseBase
from django.middleware.csrf import (  # type: ignore[attr-defined]
    CsrfViewMiddleware,
    InvalidTokenFormat,
    RejectRequest,
    _check_token_format,
    _does_token_match,
)

from accounts import tokens
from accounts.models import Session
from accounts.services.sessions import live_session, refreshable_session
from accounts.tokens import Claims, Kind, TokenPair
from core.errors import CsrfFailed

API = "/api/v1/"


def name_of(kind: Kind) -> str:
    return f"__Host-{kind}" if settings.PUBLIC_URL.startswith("https://") else kind


class TokenCookies:
    """Those of one request, and those that its answer is to set."""

    KINDS: ClassVar[tuple[Kind, Kind]] = ("access", "refresh")

    def __init__(self, request: Any) -> None:
        self.request = request
        self.has_header = "HTTP_AUTHORIZATION" in request.META
        self.changes: dict[Kind, tuple[str, int]] = {}

    def get(self, kind: Kind) -> str | None:
        """The token, unless there is a header, which wins."""
        return None if self.has_header else self.request.COOKIES.get(name_of(kind)) or None

    def claims(self, kind: Kind) -> Claims | None:
        token = self.get(kind)
        return tokens.read(token, kind) if token else None

    def session(self) -> Session | None:
        """That of the access cookie, if it is live."""
        return live_session(self.claims("access"))

    def keep(self, pair: TokenPair) -> None:
        self.changes = {
            "access": (pair.access, pair.access_expires_in),
            "refresh": (pair.refresh, pair.refresh_expires_in),
        }

    def forget(self, *kinds: Kind) -> None:
        """Have the answer delete those of `kinds` that the request brought."""
        for kind in kinds or self.KINDS:
            self.changes.pop(kind, None)
            if self.get(kind) is not None:
                self.changes[kind] = ("", 0)

    def forget_stale(self) -> None:
        """Have the answer delete what no call could use."""
        if self.get("access") is not None and self.session() is None:
            self.forget("access")
        if self.get("refresh") is not None and refreshable_session(self.claims("refresh")) is None:
            self.forget("refresh")

    def write(self, response: HttpResponseBase) -> None:
        for kind, (value, seconds) in self.changes.items():
            response.set_cookie(
                name_of(kind),
                value,
                max_age=seconds,
                expires=None if seconds else "Thu, 01 Jan 1970 00:00:00 GMT",
                path="/",
                secure=settings.PUBLIC_URL.startswith("https://"),
                httponly=True,
                samesite="Lax",
            )


class CookiesMiddleware:
    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        self.csrf = CsrfCheck(get_response)

    def __call__(self, request: Any) -> HttpResponseBase:
        request.token_cookies = cookies = TokenCookies(request)
        is_api = request.path.startswith(API)
        if is_api:
            self.csrf.process_request(request)
        response: HttpResponseBase = self.get_response(request)
        if is_api:
            if not cookies.changes and not hasattr(request, "session_row"):
                with suppress(Error):  # the database is away, and the answer says so already
                    cookies.forget_stale()
            self.csrf.process_response(request, response)
        cookies.write(response)
        return response


class OriginCheck(CsrfViewMiddleware):
    """Django's check (OWASP ASVS 3.5.1), where same origin means PUBLIC_URL, whatever a proxy makes of the scheme."""

    def _origin_verified(self, request: Any) -> bool:
        return bool(request.META["HTTP_ORIGIN"] == settings.PUBLIC_URL.lower())

    def _check_referer(self, request: Any) -> None:
        """Without an Origin the token decides, as over plain HTTP."""


class CsrfCheck(OriginCheck):
    """For the API: the token comes in a header, and a refusal is raised."""

    def _check_token(self, request: Any) -> None:
        """By the header alone: Django would look for a form first, and so take the body from its parser."""
        try:
            secret, sent = self._get_secret(request), request.META[settings.CSRF_HEADER_NAME]  # type: ignore[attr-defined]
            _check_token_format(sent)
        except (InvalidTokenFormat, KeyError) as error:
            raise RejectRequest("no token") from error
        if secret is None or not _does_token_match(sent, secret):
            raise RejectRequest("another token")

    def _reject(self, request: Any, reason: str) -> Any:
        raise CsrfFailed


def check_csrf(request: Any) -> None:
    """To be called before a cookie counts for anything. Raises CsrfFailed for an unsafe request without the token."""
    CsrfCheck(lambda _: None).process_view(request, None, (), {})  # type: ignore[arg-type]


def token_cookies(request: Any) -> TokenCookies | None:
    """Those of the request; None without cookie mode."""
    return getattr(request, "token_cookies", None)


def forget_cookies(request: Any) -> None:
    """The session that they name has ended."""
    if cookies := token_cookies(request):
        cookies.forget()
