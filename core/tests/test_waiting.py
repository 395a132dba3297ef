"""Nobody waits for ever: not for a thread, and not for a database that has fallen silent."""

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection

from core import deadline, server
from core.postgresql import base
from core.tests.test_server import Protocol, Response, scope

needs_postgresql = pytest.mark.skipif(
    not os.environ.get("DATABASE_URL", "").startswith("postgres"), reason="needs PostgreSQL in DATABASE_URL"
)


@pytest.fixture
def stuck(monkeypatch) -> Iterator[server.Application]:
    """A server all of whose threads hang, and which knows it soon."""
    released = threading.Event()

    def wsgi(env: Any, start_response: Any) -> Response:
        if env["PATH_INFO"] not in ("/healthz", "/readyz"):
            released.wait(20)
        start_response("200 OK", [])
        return Response([b"done"])

    monkeypatch.setattr(server, "QUEUE_SECONDS", 0.3)
    yield server.Application(wsgi)
    released.set()


def ask_all(application: server.Application, *scopes: Any) -> list[Protocol]:
    protocols = [Protocol() for _ in scopes]

    async def ask() -> None:
        application.loop = asyncio.get_running_loop()
        for pair in zip(scopes, protocols, strict=True):
            application.take(*pair)
        await asyncio.sleep(2)

    asyncio.run(ask())
    return protocols


def test_whoever_gets_no_thread_in_time_is_told_to_come_again(stuck):
    crowd = [scope(("x-request-id", f"r{n}"), path="/x") for n in range(server.THREADS + 1)]
    *begun, surplus = ask_all(stuck, *crowd)
    assert {protocol.status for protocol in begun} == {0}, "what has begun is not given up"
    assert surplus.status == 503
    assert surplus.headers["retry-after"]
    assert surplus.headers["content-type"] == "application/problem+json"
    problem = json.loads(surplus.body)
    assert problem["request_id"] == surplus.headers["x-request-id"] == f"r{server.THREADS}"
    assert problem["code"] == "service_unavailable"


def test_probes_are_answered_while_all_others_hang(stuck):
    crowd = [scope(path="/x") for _ in range(server.THREADS + 1)]
    *_, health, ready = ask_all(stuck, *crowd, scope(path="/healthz"), scope(path="/readyz"))
    assert (health.status, ready.status) == (200, 200)


def test_only_a_request_has_an_end():
    assert deadline.seconds_left(6) is None
    deadline.begin(time.monotonic() - 7)
    try:
        assert 0 < deadline.seconds_left(6) <= 2
        assert deadline.seconds_left(1) == 1
        deadline.begin(time.monotonic() - 60)
        assert deadline.seconds_left(6) > 0
    finally:
        deadline.end()
    assert deadline.seconds_left(6) is None


@pytest.fixture
def late() -> Iterator[None]:
    """The request at hand has half a second left."""
    deadline.begin(time.monotonic() - deadline.REQUEST_SECONDS + 0.5)
    yield
    deadline.end()


@needs_postgresql
@pytest.mark.service
@pytest.mark.django_db(transaction=True)
def test_a_question_that_takes_too_long_is_given_up_with_its_connection(late):
    with connection.cursor() as cursor, pytest.raises(OperationalError, match="does not answer"):
        cursor.execute("SELECT pg_sleep(4)")
    assert connection.connection.closed
    deadline.end()
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'mine'")
        assert cursor.fetchone() == ("mine",)


@needs_postgresql
@pytest.mark.service
@pytest.mark.django_db(transaction=True)
def test_outside_of_requests_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(base.Connection, "most", 0.1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(1)")


@needs_postgresql
@pytest.mark.service
@pytest.mark.django_db(transaction=True)
def test_a_connection_whose_server_is_silent_is_not_usable(late):
    """A socket that takes what is sent and says nothing, as the kernel does for a frozen process."""
    connection.ensure_connection()
    ours, theirs = socket.socketpair()
    os.dup2(ours.fileno(), connection.connection.fileno())
    connection.connection.answered_at = 0  # idle for longer than a moment
    try:
        assert not connection.is_usable()
    finally:
        for end in (ours, theirs):
            end.close()
        connection.close()


def test_psycopg_still_asks_us_before_it_waits():
    """Ours replaces a method of psycopg that its documents do not name."""
    assert "timeout" in psycopg.Connection.wait.__code__.co_varnames
