"""How a body comes in: a small one in one piece past the event loop, any other by pieces on it."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from core import bodies
from core.bodies import Arrivals, Gone, read_body, small_length
from core.middleware import MAX_BODY
from core.tests.test_server import Headers


def read(headers: Headers, *chunks: bytes) -> bytes:
    async def body() -> Any:
        for chunk in chunks:
            yield chunk

    return asyncio.run(read_body(headers, body()))


def test_a_body_is_read_whole():
    assert read(Headers(("content-length", "4")), b"ab", b"cd", b"") == b"abcd"


def test_a_body_cut_short_is_no_body():
    with pytest.raises(Gone):
        read(Headers(("content-length", "5")), b"ab", b"cd")


def test_a_body_that_is_too_large_is_not_kept():
    body = read(Headers(("transfer-encoding", "chunked")), *[b"x" * MAX_BODY] * 5)
    assert MAX_BODY < len(body) <= 2 * MAX_BODY


def test_a_body_that_was_only_announced_is_not_waited_for():
    assert read(Headers(("content-length", "9999999"), ("expect", "100-continue")), b"never read") == b""


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ([("content-length", "0")], 0),
        ([("content-length", "16384")], 16384),
        ([("content-length", "16385")], None),
        ([("content-length", "1" * 5000)], None),
        ([("content-length", "-1")], None),
        ([("content-length", "\u0662")], None),
        ([("content-length", "2"), ("transfer-encoding", "chunked")], None),
        ([("content-length", "2"), ("expect", "100-continue")], None),
        ([("transfer-encoding", "chunked")], None),
    ],
)
def test_it_knows_small_bodies_of_the_plain_kind(headers, length):
    assert small_length(Headers(*headers)) == length


# --- In one piece ------------------------------------------------------------------------------------------------


class Future:
    """As granian's: done once, and its callback is brought by the loop's `call_soon_threadsafe`."""

    def __init__(self, loop: Any) -> None:
        self.loop, self.outcome, self.is_cancelled = loop, None, False

    def add_done_callback(self, callback: Callable[..., Any], context: Any = None) -> None:
        self.callback = callback

    def come(self, outcome: Any) -> None:
        self.outcome = outcome
        self.loop.call_soon_threadsafe(self.callback, self, context=None)

    def cancel(self) -> bool:
        self.is_cancelled = self.outcome is None
        if self.is_cancelled:
            self.loop.call_soon(self.callback, self)
        return self.is_cancelled

    def cancelled(self) -> bool:
        return self.is_cancelled

    def result(self) -> bytes:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return bytes(self.outcome)


class Protocol:
    def __init__(self, loop: Any) -> None:
        self.made, self.answers = [Future(loop)], []
        self.future = weakref.proxy(self.made[0])

    def __call__(self) -> Future:
        return self.made.pop()  # and keeps it no longer

    def response_empty(self, status: int, headers: Any) -> None:
        self.answers.append((status, headers))


@pytest.fixture
def loop() -> Any:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def worker(loop: Any) -> Any:
    came, late = [], []
    arrivals = Arrivals(loop, lambda scope, _, body: came.append((scope, body)), lambda scope, _: late.append(scope))
    return SimpleNamespace(arrivals=arrivals, loop=loop, came=came, late=late)


def expected(worker: Any, length: int) -> Protocol:
    protocol = Protocol(worker.loop)
    worker.arrivals.expect("scope", protocol, length)
    return protocol


def test_what_came_whole_is_handed_on_where_it_came(worker):
    expected(worker, 4).future.come(b"abcd")
    assert worker.came == [("scope", b"abcd")]  # no step of the loop was taken


@pytest.mark.parametrize("outcome", [b"abc", b"abcde", b"", RuntimeError("the client left")])
def test_what_is_not_whole_is_answered_400_and_runs_nothing(worker, outcome):
    protocol = expected(worker, 4)
    protocol.future.come(outcome)
    assert protocol.answers == [(400, [("connection", "close")])]
    assert worker.came == []


def test_what_does_not_come_in_time_is_told_so_and_never_handed_on(worker, monkeypatch):
    monkeypatch.setattr(bodies, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.02)
    protocol = expected(worker, 4)
    monkeypatch.setattr(bodies, "BODY_SECONDS", 60)
    in_time = expected(worker, 2)
    worker.loop.run_until_complete(asyncio.sleep(0.1))
    assert worker.late == ["scope"]
    assert protocol.answers == []  # by us; `late` answers
    in_time.future.come(b"ok")
    assert worker.came == [("scope", b"ok")]
    worker.loop.run_until_complete(asyncio.sleep(0.05))
    assert not worker.arrivals.is_watched


def test_nobody_looks_while_nothing_is_awaited_and_somebody_does_again_later(worker, monkeypatch):
    monkeypatch.setattr(bodies, "LOOK_SECONDS", 0.01)
    expected(worker, 0).future.come(b"")
    worker.loop.run_until_complete(asyncio.sleep(0.05))
    assert not worker.arrivals.is_watched
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0)
    expected(worker, 1)
    worker.loop.run_until_complete(asyncio.sleep(0.05))
    assert worker.late == ["scope"]


def test_what_came_leaves_nothing_that_only_a_collector_would_find(worker):
    """granian's futures hold their callback, and Python's collector does not look into them."""
    gc.disable()
    try:
        future = expected(worker, 1).future
        future.come(b"x")
        with pytest.raises(ReferenceError):
            future.cancelled()
    finally:
        gc.enable()


def test_all_else_goes_to_the_loop_as_before(worker):
    done = []
    worker.loop.call_soon_threadsafe(done.append, 1)
    assert done == []
    worker.loop.run_until_complete(asyncio.sleep(0))
    assert done == [1]
