"""What other systems ask at each request of their own, of somebody with a live session and a token in the header; and
the refresh that keeps such a token coming."""

from accounts import presence, tokens
from accounts.authentication import bearer_in
from accounts.etag import etag_of_data
from accounts.models import Session
from accounts.serializers.auth import MAX_TOKEN_LENGTH
from accounts.serializers.users import user_data
from accounts.services.sessions import live_session, successor_of
from accounts.views.auth import given
from core.short_ways import Answer, Asked
from rbac.holdings import holdings
from rbac.names import valid_permission
from rbac.serializers import MOST_CHECKS
from rbac.views.holdings import checked


def me(asked: Asked) -> Answer | None:
    session = session_of(asked)
    if session is None:
        return None
    data = user_data(session.user)
    return Answer(data, session.user_id, [("ETag", etag_of_data(data))])


def check(asked: Asked) -> Answer | None:
    """About oneself."""
    names = asked.body.get("checks")
    if len(asked.body) != 1 or not isinstance(names, list) or not 0 < len(names) <= MOST_CHECKS:
        return None
    for name in names:
        if not isinstance(name, str):
            return None
        valid_permission(name)
    session = session_of(asked)
    if session is None:
        return None
    because = holdings(session.user).because
    return Answer({"results": [checked(name, because.get(name, ())) for name in names]}, session.user_id)


def refresh(asked: Asked) -> Answer | None:
    """By a token in the body that is simply the next one."""
    token = asked.body.get("refresh")
    if len(asked.body) != 1 or not isinstance(token, str) or len(token) > MAX_TOKEN_LENGTH:
        return None
    claims = tokens.read(token, "refresh")
    pair = successor_of(claims, asked.address) if claims else None
    return Answer(given(pair, None)) if pair else None


def session_of(asked: Asked) -> Session | None:
    token = bearer_in(asked.authorization)
    session = live_session(tokens.read(token, "access")) if token is not None else None
    if session is not None:
        presence.touch(session.pk, session.now)
    return session
