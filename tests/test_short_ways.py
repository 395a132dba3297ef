"""What goes the short way is answered, counted and told exactly as the long way would: letter by letter."""

import json
from collections.abc import Callable, Iterator
from functools import wraps
from types import SimpleNamespace
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest
from django.core.signals import request_finished, request_started
from django.db import OperationalError, close_old_connections
from django.urls import path

from accounts.models import Session, User
from accounts.services.sessions import SignedIn, end
from accounts.tests.factories import UserFactory, signed_in
from accounts.tokens import sign_pair
from accounts.views.myself import MyselfView
from audit.models import Event
from config.urls import urlpatterns as ours
from config.wsgi import application as django
from core import middleware
from core import short_ways as short
from core.actor import Actor
from core.server import Application, Request
from rbac.models import Role
from rbac.tests.factories import GrantFactory, RoleFactory

pytestmark = pytest.mark.django_db

ME = ("GET", "/api/v1/users/me", None)
CHECK = ("POST", "/api/v1/permissions/check", {"checks": ["user:read", "order:refund", "no:such"]})
LIST = ("GET", "/api/v1/users", None)
Pairs: TypeAlias = list[tuple[str, str]]
Asked: TypeAlias = tuple[str, str, Any]


class Headers:
    """As granian's: names may come twice."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def items(self) -> Pairs:
        return self.pairs

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.pairs if key == name), default)


class Protocol:
    def response_bytes(self, status: int, headers: Pairs, body: bytes) -> None:
        self.status, self.body = status, body
        self.headers = {name.lower(): value for name, value in headers}
        assert len(self.headers) == len(headers), "a header came twice"

    def response_empty(self, *args: Any) -> None:
        raise AssertionError("it failed")


class Both:
    """The same question by both ways, and what became of it."""

    def __init__(self, monkeypatch: Any) -> None:
        self.told: list[dict[str, Any]] = []
        for module in (middleware, short):
            monkeypatch.setattr(module, "tell", lambda **what: self.told.append({**what, "seconds": 0}))

    def ask(self, asked: Asked, headers: Pairs, scope: dict[str, Any], is_short: bool) -> tuple[Any, bool]:
        """The answer, and whether Django was left out of it."""
        method, path, body = asked
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        framed = [("content-length", str(len(raw))), ("content-type", "application/json")] if body is not None else []
        names = {name for name, _ in headers}
        given = [*headers, *(pair for pair in framed if pair[0] not in names)]
        usual = {"query_string": "", "scheme": "http", "http_version": "1.1", "server": "127.0.0.1:8000"}
        fields = {**usual, "client": "192.0.2.7:50000", "method": method, "path": path, "headers": Headers(given)}
        by_django: list[str] = []

        def wsgi(env: Any, start_response: Any) -> Any:
            by_django.append(env["PATH_INFO"])
            return django(env, start_response)

        protocol = Protocol()
        Application(wsgi, (), short.short_ways() if is_short else None).answer(
            Request(SimpleNamespace(**{**fields, **scope}), protocol, raw)
        )
        return protocol, not by_django

    def compared(self, asked: Asked, headers: Pairs, **scope: Any) -> tuple[int, bool]:
        """Status, and whether it went the short way. Fails where the ways differ."""
        (ours, was_short), (theirs, _) = (self.ask(asked, headers, scope, is_short) for is_short in (True, False))
        assert self.told[0] == self.told[1]
        self.told.clear()
        if ours.headers["x-request-id"] != dict(headers).get("x-request-id"):
            assert ours.headers.pop("x-request-id") != theirs.headers.pop("x-request-id")
            ours.body, theirs.body = (without_request_id(one.body) for one in (ours, theirs))
        assert (ours.status, ours.headers, ours.body) == (theirs.status, theirs.headers, theirs.body)
        return ours.status, was_short


def without_request_id(body: bytes) -> bytes:
    if b'"request_id"' not in body:
        return body
    return json.dumps({**json.loads(body), "request_id": ""}).encode()


@pytest.fixture
def both(monkeypatch: Any) -> Iterator[Both]:
    """The connection stays, as Django's test client does it: else the transaction of the test would be lost."""
    around = (request_started, request_finished)
    for signal in around:
        signal.disconnect(close_old_connections)
    monkeypatch.setattr(short, "close_old_connections", lambda: None)
    yield Both(monkeypatch)
    for signal in around:
        signal.connect(close_old_connections)


@pytest.fixture
def person() -> SignedIn:
    user = UserFactory(first_name="Zoë\u2028", middle_name='"\\', last_name="Ли", language="ru", username="zoe")
    GrantFactory(user=user, role=RoleFactory(name="reader", permissions=["user:read"]))
    GrantFactory(user=user, role=RoleFactory(name="auditor", permissions=["user:read"]))
    return signed_in(user)


def by(token: str, *more: tuple[str, str]) -> Pairs:
    return [("host", "127.0.0.1:8000"), ("user-agent", "test"), ("authorization", f"Bearer {token}"), *more]


@pytest.mark.parametrize("asked", [ME, CHECK, LIST])
@pytest.mark.parametrize(
    "more",
    [
        [],
        [("accept", "application/json")],
        [("accept", "*/*"), ("x-request-id", "given.by-us_1")],
        [("x-request-id", "not one\x7f")],
        [("accept-language", "ru"), ("accept-encoding", "gzip, br"), ("x-real-ip", "1.2.3.4")],
        [("x-forwarded-for", "203.0.113.9, 198.51.100.1")],
        [("if-match", '"x"'), ("x-csrftoken", "x"), ("x_forwarded_for", "203.0.113.9")],
    ],
)
def test_the_usual_kind_goes_the_short_way(
    both: Both, person: SignedIn, settings: Any, asked: Asked, more: Pairs
) -> None:
    for settings.TRUSTED_PROXIES in (0, 1):
        assert both.compared(asked, by(person.pair.access, *more)) == (200, True)


def test_so_does_an_administrator_who_holds_everything(both: Both) -> None:
    admin = GrantFactory(user=UserFactory(), role=Role.objects.get(name="admin")).user
    assert both.compared(CHECK, by(signed_in(admin).pair.access)) == (200, True)
    assert both.compared(ME, by(signed_in(admin).pair.access)) == (200, True)


def test_over_https_the_browser_is_told_to_stay_there(both: Both, person: SignedIn, settings: Any) -> None:
    settings.PUBLIC_URL = "https://id.example.com"  # also the issuer of tokens
    assert both.compared(ME, by(signed_in(person.session.user).pair.access)) == (200, True)


@pytest.mark.parametrize("asked", [ME, CHECK, LIST])
@pytest.mark.parametrize(
    ("more", "status"),
    [
        ([("accept", "text/html")], 406),
        ([("accept", "application/json;q=0.5, */*;q=0.1")], 200),
        ([("cookie", "access=x; other=y")], 200),
        ([("origin", "https://elsewhere.example")], 200),
        ([("authorization", "Bearer other")], 401),
        ([("host", "127.0.0.1:8000")], 400),
        ([("filling", "x" * 9000)], 200),
        ([("filling", "x" * 40_000)], 431),
    ],
)
def test_what_is_unusual_goes_the_long_way(
    both: Both, person: SignedIn, asked: Asked, more: Pairs, status: int
) -> None:
    assert both.compared(asked, by(person.pair.access, *more)) == (status, False)


@pytest.mark.parametrize("asked", [ME, CHECK, LIST])
@pytest.mark.parametrize(
    "scope",
    [
        {"query_string": "a=b"},
        {"http_version": "1"},
        {"method": "HEAD"},
        {"method": "PUT"},
        {"path": "/api/v1/users/me/"},
    ],
)
def test_so_does_another_request(both: Both, person: SignedIn, asked: Asked, scope: Any) -> None:
    _, was_short = both.compared(asked, by(person.pair.access), **scope)
    assert not was_short


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1:8000@evil.example", "127.0.0.1:x", "[::1", "a b"])
def test_a_host_that_we_are_not_is_refused(both: Both, person: SignedIn, host: str) -> None:
    headers = [("host", host), *by(person.pair.access)[1:]]
    assert both.compared(ME, headers) == (400, False)
    assert both.compared(ME, by(person.pair.access)[1:]) == (400, False)


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_may_be_written_otherwise(both: Both, person: SignedIn, scheme: str) -> None:
    headers = [*by("")[:2], ("authorization", f"{scheme} {person.pair.access}")]
    assert both.compared(ME, headers)[0] == 200


def deactivated(person: SignedIn) -> str:
    User.objects.filter(pk=person.session.user_id).update(is_active=False)
    return person.pair.access


def logged_out(person: SignedIn) -> str:
    end(Actor(), Session.objects.filter(pk=person.session.pk), Session.Ended.LOG_OUT)
    return person.pair.access


def of_revoked_key(person: SignedIn) -> str:
    key = person.session.key
    assert key is not None
    key.retired_at = key.revoked_at = person.session.created_at
    key.save()
    return person.pair.access


def of_nobody(person: SignedIn) -> str:
    Session.objects.all().delete()
    return person.pair.access


def tampered(person: SignedIn) -> str:
    head, payload, signature = person.pair.access.split(".")
    return f"{head}.{payload[:-4]}AAAA.{signature}"


@pytest.mark.parametrize("asked", [ME, CHECK, LIST])
@pytest.mark.parametrize(
    "spoilt",
    [
        deactivated,
        logged_out,
        of_revoked_key,
        of_nobody,
        tampered,
        lambda person: person.pair.refresh,
        lambda person: "",
        lambda person: "x" * 5000,
        lambda person: "ж.ж.ж",
    ],
)
def test_who_may_not_come_in_is_refused_as_ever(
    both: Both, person: SignedIn, asked: Asked, spoilt: Callable[[SignedIn], str]
) -> None:
    assert both.compared(asked, by(person.pair.access)) == (200, True), "remembered by now"
    assert both.compared(asked, by(spoilt(person))) == (401, False)


@pytest.mark.parametrize("asked", [ME, CHECK, LIST])
def test_a_token_ends_when_its_time_is_up(both: Both, person: SignedIn, asked: Asked) -> None:
    session = person.session
    session.access_expires_at = session.created_at
    assert both.compared(asked, by(sign_pair(session, session.created_at).access)) == (401, False)


@pytest.mark.parametrize("asked", [ME, CHECK, LIST])
def test_nobody_comes_in_without_a_token(both: Both, asked: Asked) -> None:
    assert both.compared(asked, by("")[:2]) == (401, False)
    assert both.compared(asked, [*by("")[:2], ("authorization", "Basic eDp5")]) == (401, False)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"checks": []},
        {"checks": "user:read"},
        {"checks": ["user:read"] * 101},
        {"checks": ["user:read\n"]},
        {"checks": ["user:read", 7]},
        {"checks": ["User:read"]},
        {"checks": [["user:read"]]},
        {"checks": ["user:read"], "user": "01a1d9c5-0000-7000-8000-000000000000"},
        {"checks": ["user:read"], "user": None},
        {"checks": ["user:read"], "more": 1},
        {"checks": ["user:read"], "filling": "x" * 9000},
        [],
        b"",
        b"{",
        b'{"checks": ["user:read"], "more": NaN}',
        b'\xef\xbb\xbf{"checks": ["user:read"]}',
        b'{"checks": ["\xff"]}',
        b"[" * 3000,
    ],
)
def test_another_body_goes_the_long_way(both: Both, person: SignedIn, body: Any) -> None:
    _, was_short = both.compared(("POST", CHECK[1], body), by(person.pair.access))
    assert not was_short


@pytest.mark.parametrize("media_type", ["text/plain", "application/json; charset=utf-8", "application/json; charset=x"])
def test_so_does_a_body_of_another_type(both: Both, person: SignedIn, media_type: str) -> None:
    _, was_short = both.compared(CHECK, by(person.pair.access, ("content-type", media_type)))
    assert not was_short


# --- The list of users -------------------------------------------------------------------------------------------


@pytest.fixture
def many(person: SignedIn) -> list[User]:
    return [UserFactory(username=f"user{n}", last_login=None if n % 2 else person.session.created_at) for n in range(7)]


def list_of(query: str) -> dict[str, str]:
    return {"query_string": query}


@pytest.mark.parametrize("ordering", ["", "&ordering=-email", "&ordering=last_login", "&ordering=-created_at"])
@pytest.mark.usefixtures("many")
def test_a_walk_through_the_list_goes_the_short_way(both: Both, person: SignedIn, ordering: str) -> None:
    query, pages = f"page_size=3{ordering}", 0
    while query:
        headers = by(person.pair.access)
        assert both.compared(LIST, headers, **list_of(query)) == (200, True)
        answer, _ = both.ask(LIST, headers, list_of(query), is_short=True)
        both.told.clear()
        following = json.loads(answer.body)["next"]
        query, pages = urlsplit(following).query if following else "", pages + 1
    assert pages == 3


@pytest.mark.parametrize("query", ["", "page_size=2", "page_size=7&page_size=2", "cursor", "page_size=2&"])
@pytest.mark.usefixtures("many")
def test_so_does_a_list_of_its_first(both: Both, person: SignedIn, query: str) -> None:
    status, was_short = both.compared(LIST, by(person.pair.access), **list_of(query))
    assert was_short == (status == 200)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("search=user", 200),
        ("is_active=true", 200),
        ("role=reader", 200),
        ("count=exact", 200),
        ("page_size=0", 400),
        ("page_size=%D9%A3", 400),
        ("cursor=", 400),
        ("cursor=x.y", 400),
        ("ordering=password", 400),
        ("is_active=banana", 400),
        ("%ff=1", 200),
        ("&".join("a" * 201), 413),
    ],
)
@pytest.mark.usefixtures("many")
def test_a_narrowed_or_a_wrong_list_goes_the_long_way(both: Both, person: SignedIn, query: str, status: int) -> None:
    assert both.compared(LIST, by(person.pair.access), **list_of(query)) == (status, False)


def test_too_many_parameters_of_a_stranger_are_no_error_of_ours(both: Both, caplog: Any) -> None:
    _, was_short = both.compared(LIST, by("")[:2], **list_of("&".join("a" * 201)))
    assert not was_short
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_who_may_not_read_users_is_told_so_by_the_long_way(both: Both) -> None:
    assert both.compared(LIST, by(signed_in(UserFactory()).pair.access)) == (403, False)


# --- Refreshing, which cannot be asked twice ---------------------------------------------------------------------


def next_of(token: str) -> Asked:
    return ("POST", "/api/v1/auth/refresh", {"refresh": token})


def test_a_refresh_goes_the_short_way_and_is_answered_as_by_the_long(both: Both, person: SignedIn) -> None:
    headers = by("")[:2]
    first, was_short = both.ask(next_of(person.pair.refresh), headers, {}, is_short=True)
    assert (first.status, was_short) == (200, True)
    given = json.loads(first.body)
    assert person.session.gen + 1 == Session.objects.get().gen
    second, _ = both.ask(next_of(given["refresh"]), headers, {}, is_short=False)
    assert second.status == 200
    for answer in (first, second):
        answer.headers.pop("x-request-id")
    assert first.headers == second.headers
    assert list(given) == list(json.loads(second.body))
    assert both.told[0] == both.told[1]
    both.told.clear()
    assert both.compared(ME, by(given["access"])) == (200, True)


def test_a_repeat_within_the_grace_gets_the_same_pair(both: Both, person: SignedIn) -> None:
    asked = next_of(person.pair.refresh)
    first, _ = both.ask(asked, by("")[:2], {}, is_short=True)
    again, was_short = both.ask(asked, by("")[:2], {}, is_short=True)
    assert (again.body, was_short) == (first.body, False)


def test_a_spent_token_ends_the_session_once(both: Both, person: SignedIn, settings: Any) -> None:
    settings.REFRESH_GRACE_SECONDS = 0
    asked = next_of(person.pair.refresh)
    both.ask(asked, by("")[:2], {}, is_short=True)
    both.told.clear()
    assert both.compared(asked, by("")[:2]) == (401, False)
    assert Session.objects.get().ended_by == Session.Ended.REUSED
    assert Event.objects.filter(action="session.reused").count() == 1


@pytest.mark.parametrize(
    "spoilt", [deactivated, logged_out, of_revoked_key, of_nobody, lambda person: person.pair.access]
)
def test_a_token_that_counts_no_more_is_refused_as_ever(
    both: Both, person: SignedIn, spoilt: Callable[[SignedIn], str]
) -> None:
    spoilt(person)
    before = list(Session.objects.values())
    token = person.pair.access if spoilt.__name__ == "<lambda>" else person.pair.refresh
    assert both.compared(next_of(token), by("")[:2]) == (401, False)
    assert list(Session.objects.values()) == before


@pytest.mark.parametrize("body", [{}, {"refresh": ""}, {"refresh": None}, {"refresh": 7}, {"refresh": "x" * 4097}])
def test_a_refresh_without_a_token_is_refused_as_ever(both: Both, body: Any) -> None:
    status, was_short = both.compared(("POST", "/api/v1/auth/refresh", body), by("")[:2])
    assert status in (400, 401)
    assert not was_short


@pytest.mark.parametrize("asked", [ME, CHECK, LIST])
@pytest.mark.parametrize("attempts", [["short", "long"], ["short", "long", "long"]])
def test_a_database_that_is_away_is_waited_for_once(
    both: Both, person: SignedIn, monkeypatch: Any, asked: Asked, attempts: list[str]
) -> None:
    """The last is what the long way does alone. An error that came at once is none that lasts, perhaps."""
    made: list[str] = []

    def away(where: str) -> Any:
        made.append(where)
        raise OperationalError("away")

    monkeypatch.setattr(short, "WAITED_SECONDS", 0 if len(attempts) == 2 else 60)
    monkeypatch.setattr("accounts.short_ways.live_sessions", lambda *args, **how: away("short"))
    monkeypatch.setattr("accounts.authentication.live_session", lambda *args: away("long"))
    assert both.compared(asked, by(person.pair.access)) == (503, False)
    assert made == attempts


def test_a_mistake_of_a_short_way_is_told_and_the_long_way_answers(
    both: Both, person: SignedIn, monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.setattr("accounts.short_ways.live_sessions", lambda *args, **how: 1 / 0)
    headers = by(person.pair.access, ("x-request-id", "mine"))
    assert both.compared(ME, headers) == (200, False)
    [line] = [record.msg for record in caplog.records if record.levelname == "ERROR"]
    assert (line["event"], line["request_id"]) == ("short_way.failed", "mine")
    assert "ZeroDivisionError" in line["exception"]


def test_one_request_has_one_id_by_whichever_way(both: Both, person: SignedIn, monkeypatch: Any) -> None:
    made: list[str] = []
    uuid7 = middleware.uuid7
    monkeypatch.setattr(middleware, "uuid7", lambda: made.append("") or uuid7())
    assert both.ask(ME, by(logged_out(person)), {}, is_short=True)[0].status == 401
    assert len(made) == 1


def test_a_connection_that_broke_is_left_before_it_is_asked(person: SignedIn, monkeypatch: Any) -> None:
    left: list[bool] = []
    monkeypatch.setattr(short, "close_old_connections", lambda: left.append(True))
    ways = short.ShortWays({("GET", "/api/v1/users/me"): ("accounts.urls", lambda asked: short.Answer(left[:]))})
    headers = Headers(by(person.pair.access))
    scope = {"query_string": "", "http_version": "1.1", "client": "192.0.2.7:5", "method": ME[0], "path": ME[1]}
    answer: Any = ways.answer(SimpleNamespace(**scope, headers=headers), b"")
    assert answer[2] == b"[true]"


def test_where_requests_are_traced_all_go_the_long_way(settings: Any) -> None:
    assert short.short_ways() is not None
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:4318"
    assert short.short_ways() is None


def test_they_can_be_closed(settings: Any) -> None:
    settings.SHORT_WAYS = ""
    assert short.short_ways() is None


@pytest.mark.urls("tests.test_short_ways")
def test_a_view_that_a_project_put_in_our_place_is_asked() -> None:
    ways = short.short_ways()
    assert ways is not None
    assert ME[:2] not in ways.ways
    assert CHECK[:2] in ways.ways


def guarded(view: Any) -> Any:
    @wraps(view)
    def guard(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return guard


urlpatterns = [path("api/v1/users/me", guarded(MyselfView.as_view())), *ours]
