"""Tokens on the way in: as bearers (RFC 6750), or in cookies."""

from typing import Any

from rest_framework.authentication import BaseAuthentication

from accounts import presence, tokens
from accounts.cookies import check_csrf, token_cookies
from accounts.models import Session, User
from accounts.services.sessions import live_session
from core.errors import CHALLENGE, InvalidToken
from core.language import speak


class SessionTokenAuthentication(BaseAuthentication):
    """The access token of a live session. `request.auth` is the session. A cookie needs the CSRF token as well."""

    def authenticate(self, request: Any) -> tuple[User, Session] | None:
        token = bearer_of(request)
        if token is not None:
            session = live_session(tokens.read(token, "access"))
        elif (cookies := token_cookies(request)) and cookies.get("access") is not None:
            session = cookies.session()
        else:
            return None
        if session is None:
            raise InvalidToken
        speak(session.user.language)
        if token is None:
            check_csrf(request)
        presence.touch(session)
        request._request.session_row = session
        return session.user, session

    def authenticate_header(self, request: Any) -> str:
        return CHALLENGE


def bearer_of(request: Any) -> str | None:
    """The token of `Authorization: Bearer …`, the scheme in any case; None if there is none."""
    return bearer_in(request.META.get("HTTP_AUTHORIZATION", ""))


def bearer_in(authorization: str) -> str | None:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
