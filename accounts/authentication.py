"""Bearer tokens (RFC 6750) on the way in."""

from typing import Any

from rest_framework.authentication import BaseAuthentication

from accounts import presence, tokens
from accounts.models import Session, User
from accounts.services.sessions import live_session
from core.errors import CHALLENGE, InvalidToken


class SessionTokenAuthentication(BaseAuthentication):
    """The access token of a live session. `request.auth` is the session."""

    def authenticate(self, request: Any) -> tuple[User, Session] | None:
        token = bearer_of(request)
        if token is None:
            return None
        session = live_session(tokens.read(token, "access"))
        if session is None:
            raise InvalidToken
        presence.touch(session.pk, session.now)
        request._request.session_row = session
        return session.user, session

    def authenticate_header(self, request: Any) -> str:
        return CHALLENGE


def bearer_of(request: Any) -> str | None:
    """The token of `Authorization: Bearer …`, the scheme in any case; None if there is none."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
