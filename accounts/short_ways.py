"""What other systems ask at each request of their own, of somebody with a live session and a token in the header; and
the refresh that keeps such a token coming. And the list of users, as programs page through it."""

from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from accounts import presence, tokens
from accounts.authentication import bearer_in
from accounts.etag import etag_of_data
from accounts.models import Session, User
from accounts.serializers.auth import MAX_TOKEN_LENGTH
from accounts.serializers.users import row_data, user_data
from accounts.services.sessions import live_sessions, successor_of
from accounts.tokens import Claims
from accounts.views.auth import given
from accounts.views.users import NEEDED, UserViewSet
from core.pagination import KeysetPagination
from core.short_ways import Answer, Asked, Asking, Question
from rbac.holdings import holdings
from rbac.names import valid_permission
from rbac.serializers import MOST_CHECKS
from rbac.views.holdings import checked

LIST_PARAMETERS = frozenset(("page_size", "cursor", "ordering"))


def me(asked: Asked) -> Asking:
    claims = claims_of(asked)
    if asked.query or claims is None:
        return None
    session = yield Question(sessions, claims)
    if session is None:
        return None
    data = user_data(session.user)
    return Answer(data, session.user_id, [("ETag", etag_of_data(data))])


def check(asked: Asked) -> Asking:
    """About oneself."""
    names = asked.body.get("checks")
    if asked.query or len(asked.body) != 1 or not isinstance(names, list) or not 0 < len(names) <= MOST_CHECKS:
        return None
    for name in names:
        if not isinstance(name, str):
            return None
        valid_permission(name)
    claims = claims_of(asked)
    session = (yield Question(sessions_with_holdings, claims)) if claims else None
    if session is None:
        return None
    because = holdings(session.user).because
    return Answer({"results": [checked(name, because.get(name, ())) for name in names]}, session.user_id)


def refresh(asked: Asked) -> Answer | None:
    """By a token in the body that is simply the next one."""
    token = asked.body.get("refresh")
    if asked.query or len(asked.body) != 1 or not isinstance(token, str) or len(token) > MAX_TOKEN_LENGTH:
        return None
    claims = tokens.read(token, "refresh")
    pair = successor_of(claims, asked.address) if claims else None
    return Answer(given(pair, None)) if pair else None


@dataclass(slots=True)
class ListRequest:
    """What a list wants to know of a request."""

    asked: Asked
    auth: Session
    query_params: QueryDict

    @property
    def path(self) -> str:
        return self.asked.path

    def get_host(self) -> str:
        return self.asked.host


def users(asked: Asked) -> Answer | None:
    """The list of all, which nothing narrows."""
    query = QueryDict(asked.query)
    claims = claims_of(asked) if LIST_PARAMETERS.issuperset(query) else None
    [session] = sessions_with_holdings([claims]) if claims else [None]
    if session is None or not session.user.has_perm(NEEDED["list"]):
        return None
    view, pages = UserViewSet(), KeysetPagination()
    request: Any = ListRequest(asked, session, query)
    view.request = request
    page = pages.paginate_queryset(User.objects.sortable(), request, view)
    return Answer(pages.body([row_data(row) for row in page]), session.user_id)


def claims_of(asked: Asked) -> Claims | None:
    token = bearer_in(asked.authorization)
    return tokens.read(token, "access") if token is not None else None


def sessions(claims: list[Claims], *, with_holdings: bool = False) -> list[Session | None]:
    found = live_sessions(claims, with_holdings=with_holdings)
    presence.touch(*(session for session in found if session))
    return found


def sessions_with_holdings(claims: list[Claims]) -> list[Session | None]:
    return sessions(claims, with_holdings=True)


WAYS = {
    ("GET", "/api/v1/users/me"): ("accounts.urls", me),
    ("POST", "/api/v1/permissions/check"): ("rbac.urls", check),
    ("POST", "/api/v1/auth/refresh"): ("accounts.urls", refresh),
    ("GET", "/api/v1/users"): ("accounts.urls", users),
}
