"""Signing in to pages and panel: by Django's session cookie that points to a `Session` row, or by token cookies."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.middleware.csrf import rotate_token

from accounts import presence, tokens
from accounts.cookies import TokenCookies, token_cookies
from accounts.errors import InvalidRefreshToken
from accounts.models import Session, User
from accounts.services import sessions
from core.actor import Actor

KEY = "sid"
TOUCH = timedelta(minutes=1)


def sign_in(request: Any, typed: str, password: str, cookies: TokenCookies | None = None) -> User:
    """With `cookies` the API knows the browser too. Raises what `sessions.log_in` raises.

    A session and cookies of its own each time, against fixation; whoever was signed in here before is signed out.
    """
    signed_in = sessions.log_in(Actor.of(request), typed, password)
    sign_out(request)
    rotate_token(request)
    if cookies:
        cookies.keep(signed_in.pair)
    else:
        request.session[KEY] = str(signed_in.session.pk)
    return signed_in.session.user


def sign_out(request: Any) -> None:
    """Of pages, panel and API: this browser may hold two sessions, by the one cookie and by the others."""
    actor = Actor.of(request)
    if session := session_of_page(request):
        sessions.end(actor, Session.objects.filter(pk=session.pk), Session.Ended.LOG_OUT)
    request.session.flush()
    if cookies := token_cookies(request):
        if claims := cookies.claims("refresh") or cookies.claims("access"):
            sessions.log_out(actor, claims)
        cookies.forget()


def session_of(request: Any) -> Session | None:
    """The live session of whoever opens a page."""
    cookies = token_cookies(request)
    return session_of_page(request) or (session_of_cookies(request, cookies) if cookies else None)


def session_of_page(request: Any) -> Session | None:
    """The live session behind Django's cookie; using it pushes its idle limit on."""
    key = request.session.get(KEY)
    if not key:
        return None
    session = Session.objects.live().with_clock().filter(pk=UUID(key)).first()
    if session and session.now - session.last_used_at > TOUCH:
        sessions.push_idle_limit(session)
    return session


def session_of_cookies(request: Any, cookies: TokenCookies) -> Session | None:
    """Refreshed on the way where only the refresh cookie is good. Cookies that are of no use are deleted."""
    session = cookies.session() or refreshed(request, cookies)
    if session is None:
        cookies.forget()
    else:
        presence.touch(session)
    return session


def refreshed(request: Any, cookies: TokenCookies) -> Session | None:
    token = cookies.get("refresh")
    if token is None:
        return None
    try:
        pair = sessions.refresh(Actor.unknown(request), token)
    except InvalidRefreshToken:
        return None
    cookies.keep(pair)
    return sessions.live_session(tokens.read(pair.access, "access"))
