"""What several requests ask of the database at once is answered to each of them as if it had come alone."""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from accounts import presence
from accounts.models import Session
from accounts.services.sessions import SignedIn, end
from accounts.tests.factories import UserFactory, signed_in
from core import server as core_server
from core import short_ways as short
from core.actor import Actor
from core.prepared import MOST_AT_ONCE
from core.server import Application
from core.short_ways import Answer, Asking, Question, ShortWays
from core.tests.test_server import Headers, Protocol, Response
from core.threads import Threads
from rbac.tests.factories import GrantFactory, RoleFactory
from tests.serving import ROOT, free_port, serving, settings_for

ME = ("GET", "/api/v1/users/me")
CHECK = ("POST", "/api/v1/permissions/check")
CHECKS = json.dumps({"checks": ["user:read", "order:refund"]}).encode()


def request(token: str, key: tuple[str, str] = ME, body: bytes = b"", request_id: str = "mine") -> tuple[Any, bytes]:
    pairs = [("host", "127.0.0.1:8000"), ("authorization", f"Bearer {token}"), ("x-request-id", request_id)]
    if body:
        pairs += [("content-type", "application/json"), ("content-length", str(len(body)))]
    fields = {"query_string": "", "scheme": "http", "http_version": "1.1", "server": "127.0.0.1:8000"}
    asked = SimpleNamespace(**fields, client="192.0.2.7:5", method=key[0], path=key[1], headers=Headers(*pairs))
    return asked, body


@pytest.fixture
def ours(monkeypatch: Any) -> ShortWays:
    """The connection stays, or the transaction of the test would be lost."""
    monkeypatch.setattr(short, "close_old_connections", lambda: None)
    ways = short.short_ways()
    assert ways
    return ways


def people(number: int) -> list[SignedIn]:
    signed = [signed_in(UserFactory(username=f"person{n}")) for n in range(number)]
    for one in signed[::2]:
        GrantFactory(user=one.session.user, role=RoleFactory(permissions=["user:read"]))
    return signed


@pytest.mark.django_db
def test_each_hears_what_it_would_alone_and_the_database_is_asked_once(ours: ShortWays) -> None:
    everyone = people(5)
    requests = [request(one.pair.access, request_id=f"r{n}") for n, one in enumerate(everyone)]
    requests.append(requests[2])  # two of one session
    alone = [ours.answer(*one) for one in requests]
    with CaptureQueriesContext(connection) as questions:
        together = ours.answers(requests)
    assert together == alone
    assert len(questions) == 1
    names = [json.loads(outcome[2])["username"] for outcome in together if isinstance(outcome, tuple)]
    assert names == ["person0", "person1", "person2", "person3", "person4", "person2"]


@pytest.mark.django_db
def test_other_questions_beside_them_are_asked_by_themselves(ours: ShortWays) -> None:
    one, other = people(2)
    requests = [
        request(one.pair.access, CHECK, CHECKS),
        request(other.pair.access),
        request(other.pair.access, CHECK, CHECKS),
        request(one.pair.access),
    ]
    alone = [ours.answer(*each) for each in requests]
    with CaptureQueriesContext(connection) as questions:
        assert ours.answers(requests) == alone
    assert len(questions) == 2
    allowed = [json.loads(outcome[2])["results"][0]["allowed"] for outcome in alone[::2] if isinstance(outcome, tuple)]
    assert allowed == [True, False]


@pytest.mark.django_db
def test_whoever_is_refused_takes_nobody_along(ours: ShortWays) -> None:
    """An ended session, a deactivated user, a forged token and an older generation among those who may come in."""
    well, ended, closed, well_too = people(4)
    end(Actor.system("test"), Session.objects.filter(pk=ended.session.pk), Session.Ended.LOG_OUT)
    type(closed.session.user).objects.filter(pk=closed.session.user_id).update(is_active=False)
    tokens = [well.pair.access, ended.pair.access, closed.pair.access, well.pair.access + "x", well_too.pair.access]
    outcomes = ours.answers([request(token) for token in tokens])
    assert [isinstance(outcome, tuple) for outcome in outcomes] == [True, False, False, False, True]


@pytest.mark.django_db
@pytest.mark.parametrize("number", range(1, MOST_AT_ONCE + 1))
def test_any_number_of_them_has_its_statement(ours: ShortWays, number: int) -> None:
    outcomes = ours.answers([request(one.pair.access) for one in people(number)])
    names = [json.loads(outcome[2])["username"] for outcome in outcomes if isinstance(outcome, tuple)]
    assert names == [f"person{n}" for n in range(number)]


@pytest.mark.django_db
def test_each_has_a_line_of_log_with_its_own_id(ours: ShortWays, caplog: Any) -> None:
    everyone = people(3)
    caplog.set_level("INFO")
    ours.answers([request(one.pair.access, request_id=f"r{n}") for n, one in enumerate(everyone)])
    told = [(line.msg["request_id"], line.msg["user"]) for line in caplog.records if line.msg["event"] == "request"]
    assert told == [(f"r{n}", str(one.session.user_id)) for n, one in enumerate(everyone)]


@pytest.mark.django_db
def test_redis_is_told_of_all_at_once(ours: ShortWays, settings: Any, monkeypatch: Any) -> None:
    sent: list[tuple[Any, ...]] = []
    settings.REDIS_URL = "redis://127.0.0.1:1"
    monkeypatch.setattr(presence, "_touched", {})
    monkeypatch.setattr(presence, "send", lambda *commands: sent.append(commands) or True)
    everyone = people(3)
    sent.clear()  # of their log-ins
    ours.answers([request(one.pair.access) for one in everyone])
    ours.answers([request(one.pair.access) for one in everyone])  # within the second, or in the next one
    seconds = {command[2] for commands in sent for command in commands if command[0] == "SET"}
    assert len(sent) == len(seconds)
    assert [command[0] for command in sent[0]] == ["SET", "SET", "SET", "SADD"]
    assert {command[1] for command in sent[0][:3]} == {f"session:{one.session.pk}" for one in everyone}


# --- Failures ----------------------------------------------------------------------------------------------------


def ways(way: Any) -> ShortWays:
    return ShortWays({ME: ("accounts.urls", way)})


def echo(asked: Any) -> Asking:
    found = yield Question(double, asked.authorization)
    return Answer(found)


def double(keys: list[Any]) -> list[str]:
    return [f"{key} {key}" for key in keys]


def texts(outcomes: list[short.Outcome]) -> list[bytes | None]:
    return [outcome[2] if isinstance(outcome, tuple) else None for outcome in outcomes]


@pytest.fixture
def no_database(monkeypatch: Any) -> None:
    monkeypatch.setattr(short, "close_old_connections", lambda: None)


def test_a_database_that_is_away_is_away_for_all_who_asked(no_database: None, monkeypatch: Any) -> None:
    def away(keys: list[Any]) -> list[Any]:
        raise OperationalError("away")

    def ask(asked: Any) -> Asking:
        if asked.authorization != "Bearer well":
            yield Question(away, "x")
        return Answer("well")

    monkeypatch.setattr(short, "WAITED_SECONDS", 0)
    bad, well, bad_too = ways(ask).answers([request("a"), request("well"), request("b")])
    assert texts([well]) == [b'"well"']
    for outcome in (bad, bad_too):
        assert isinstance(outcome, short.Attempt)
        assert isinstance(outcome.error, OperationalError)


@pytest.mark.parametrize("where", ["before", "after", "log"])
def test_a_mistake_costs_only_whom_it_befell(no_database: None, monkeypatch: Any, where: str, caplog: Any) -> None:
    def ask(asked: Any) -> Asking:
        bad = asked.authorization == "Bearer bad"
        _ = 1 / 0 if bad and where == "before" else None
        answer = yield from echo(asked)
        _ = 1 / 0 if bad and where == "after" else None
        return answer

    if where == "log":
        told = iter([None, 0, None])
        monkeypatch.setattr(short, "tell", lambda **what: (sees := next(told)) is None or 1 / sees)
    outcomes = ways(ask).answers([request("a"), request("bad"), request("b")])
    assert texts(outcomes) == [b'"Bearer a Bearer a"', None, b'"Bearer b Bearer b"']
    assert "short_way.failed" in {line.msg["event"] for line in caplog.records}


# --- Threads -----------------------------------------------------------------------------------------------------


class Work:
    def __init__(self, name: str) -> None:
        self.name, self.since = name, time.monotonic()


def test_what_came_while_a_thread_worked_is_taken_together_in_order_and_not_too_much_of_it() -> None:
    begun, go, taken = threading.Event(), threading.Event(), []
    done = threading.Event()

    def run(works: list[Work]) -> None:
        taken.append("".join(work.name for work in works))
        begun.set()
        go.wait(10)
        if sum(map(len, taken)) == 7:
            done.set()

    threads: Threads[Work] = Threads("test", 1, run, together=4)
    threads.take(Work("a"))
    begun.wait(10)
    for name in "bcdefg":
        threads.take(Work(name))
    go.set()
    assert done.wait(10)
    assert taken == ["a", "bcde", "fg"]


def test_who_is_refused_waits_elsewhere_and_keeps_nobody_from_asking(no_database: None) -> None:
    """The long way of one hangs; those who ask meanwhile are answered."""
    released, protocols = threading.Event(), [Protocol() for _ in range(4)]

    def wsgi(env: Any, start_response: Any) -> Response:
        released.wait(20)
        start_response("401 Unauthorized", [])
        return Response([b"refused"])

    def ask(asked: Any) -> Asking:
        answer = yield from echo(asked)
        return None if asked.authorization == "Bearer bad" else answer

    application = Application(wsgi, (), ways(ask))
    for token, protocol in zip(("bad", "a", "bad", "b"), protocols, strict=True):
        application.take(request(token)[0], protocol)
    wait_until(lambda: protocols[1].status and protocols[3].status)
    assert [protocol.status for protocol in protocols] == [0, 200, 0, 200]
    released.set()
    wait_until(lambda: protocols[0].status and protocols[2].status)
    assert [protocol.status for protocol in protocols] == [401, 200, 401, 200]


def test_who_has_waited_for_a_database_that_is_away_stands_in_no_other_line(
    no_database: None, monkeypatch: Any
) -> None:
    def away(keys: list[Any]) -> list[Any]:
        raise OperationalError("away")

    def ask(asked: Any) -> Asking:
        yield Question(away, "x")
        return None

    def wsgi(env: Any, start_response: Any) -> Response:
        assert env[core_server.ATTEMPT].error
        start_response("503 Service Unavailable", [])
        return Response([threading.current_thread().name.encode()])

    monkeypatch.setattr(short, "WAITED_SECONDS", 0)
    application, protocol = Application(wsgi, (), ways(ask)), Protocol()
    application.take(request("a")[0], protocol)
    wait_until(lambda: protocol.status)
    assert (protocol.status, protocol.body) == (503, b"asking-1")


def test_a_thread_survives_what_ends_its_work(no_database: None) -> None:
    def ask(asked: Any) -> Asking:
        if asked.authorization == "Bearer bad":
            raise SystemExit
        return (yield from echo(asked))

    application, bad, well = Application(lambda *_: Response(), (), ways(ask)), Protocol(), Protocol()
    application.take(request("bad")[0], bad)
    wait_until(lambda: bad.status)
    application.take(request("a")[0], well)
    wait_until(lambda: well.status)
    assert (bad.status, well.status) == (500, 200)


def wait_until(is_so: Any) -> None:
    end_at = time.monotonic() + 20
    while not is_so() and time.monotonic() < end_at:
        time.sleep(0.01)
    assert is_so()


# --- The real server ---------------------------------------------------------------------------------------------

CROWD, TIMES = 60, 40
SEED = f"""
import json
from django.conf import settings
from conftest import FAST_HASHERS
settings.PASSWORD_HASHERS = FAST_HASHERS
from accounts.tests.factories import UserFactory, signed_in
users = [UserFactory(username=f"person{{n}}") for n in range({CROWD})]
print(json.dumps([signed_in(user).pair.access for user in users]))
"""


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: Any) -> Iterator[tuple[int, list[str]]]:
    folder: Path = tmp_path_factory.mktemp("together")
    port = free_port()
    given = {"PUBLIC_URL": f"http://127.0.0.1:{port}", "ACCESS_TOKEN_SECONDS": "3600"}
    with serving(folder, port=port, **given) as running:
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "-v", "0", "-c", SEED],
            cwd=ROOT,
            env={**settings_for(folder), **given},
            check=True,
            capture_output=True,
            text=True,
        )
        yield running.port, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_in_a_crowd_everybody_hears_of_themselves_alone_until_they_log_out(crowd: tuple[int, list[str]]) -> None:
    """Each on a connection of its own, all at once; every third logs out in the middle, and is refused ever after."""
    port, tokens = crowd
    barrier = threading.Barrier(CROWD)

    def ask(number: int) -> list[tuple[int, str]]:
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Authorization": f"Bearer {tokens[number]}"}
        heard = []
        barrier.wait(60)
        for time_number in range(TIMES):
            if number % 3 == 0 and time_number == TIMES // 2:
                kept.request("POST", "/api/v1/auth/logout", headers=headers)
                answer = kept.getresponse()
                assert answer.status == 204, answer.read()
                answer.read()
            kept.request("GET", "/api/v1/users/me", headers=headers)
            answer = kept.getresponse()
            heard.append((answer.status, json.loads(answer.read()).get("username", "")))
        kept.close()
        return heard

    with ThreadPoolExecutor(CROWD) as pool:
        for number, heard in enumerate(pool.map(ask, range(CROWD))):
            stays = [(200, f"person{number}")] * (TIMES // 2)
            assert heard == stays + ([(401, "")] * (TIMES // 2) if number % 3 == 0 else stays)
