"""Signing in to pages and panel: Django's session cookie that points to a `Session` row."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from accounts.models import Session, User
from accounts.services import sessions
from core.actor import Actor

KEY = "sid"
TOUCH = timedelta(minutes=1)


def sign_in(request: Any, typed: str, password: str) -> User:
    """Raises what `sessions.log_in` raises. A new cookie each time, against fixation."""
    signed_in = sessions.log_in(Actor.of(request), typed, password)
    request.session.flush()
    request.session[KEY] = str(signed_in.session.pk)
    return signed_in.session.user


def sign_out(request: Any) -> None:
    if session := session_of(request):
        sessions.end(Actor.of(request), Session.objects.filter(pk=session.pk), Session.Ended.LOG_OUT)
    request.session.flush()


def session_of(request: Any) -> Session | None:
    """The live session behind the request's cookie; using it pushes its idle limit on."""
    key = request.session.get(KEY)
    if not key:
        return None
    session = Session.objects.live().with_clock().filter(pk=UUID(key)).first()
    if session and session.now - session.last_used_at > TOUCH:
        sessions.push_idle_limit(session)
    return session
