"""One process of the crowd: it calls the real WSGI application, each caller in a thread with its own connection.

Nothing of Django is imported before the process knows its database.
"""

import io
import json
import os
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar
from wsgiref.util import setup_testing_defaults

MOST_THREADS = 32
MOST_REPEATS = 60
REST = 0.1  # seconds before a repeat: shorter than Retry-After asks for, so harder

_addresses = count(0x0A000001)


def address() -> str:
    """A client address from which nobody has called before."""
    return ".".join(str(byte) for byte in next(_addresses).to_bytes(4, "big"))


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    path: str
    body: dict[str, Any] = field(default_factory=dict)
    access: str = ""
    ip: str = field(default_factory=address)
    after: float = 0.0
    """Seconds to wait once all have begun."""


@dataclass(frozen=True, slots=True)
class Answer:
    call: Call
    status: int
    headers: dict[str, str]
    body: Any
    begun: float
    ended: float
    repeats: int
    """How often it was 503 with Retry-After before."""


class _House:
    """What one process has: the application, its callers' threads, and the conditions that hold just now."""

    application: Callable[..., Any]
    start: Any
    conditions: ClassVar[list[ExitStack]] = []
    threads = ThreadPoolExecutor(MOST_THREADS)


def obey(pipe: Any, start: Any, environment: dict[str, str]) -> None:
    """Do what comes through the pipe, function and arguments, and send back (whether it was done, what came of it)."""
    os.environ.update(environment)
    from config.wsgi import application

    _House.application, _House.start = application, start
    while True:
        work, args = pipe.recv()
        try:
            pipe.send((True, work(*args)))
        except Exception:
            pipe.send((False, traceback.format_exc()))


def enter(condition: Callable[[], Any]) -> None:
    _House.conditions.append(ExitStack())
    _House.conditions[-1].enter_context(condition())


def leave() -> None:
    _House.conditions.pop().close()


def call_together(calls: list[Call]) -> list[Answer]:
    """All calls begin when every caller of every process is connected and ready."""
    ready, go = threading.Barrier(len(calls) + 1), threading.Event()

    def caller(call: Call) -> Answer:
        from django.db import OperationalError, connection

        with suppress(OperationalError):  # then the call itself will say so
            connection.ensure_connection()
        ready.wait()
        go.wait()
        time.sleep(call.after)
        return _call_until_served(call)

    answers = [_House.threads.submit(caller, call) for call in calls]
    ready.wait()
    _House.start.wait()
    go.set()
    return [answer.result() for answer in answers]


def _call_until_served(call: Call) -> Answer:
    begun = time.monotonic()
    repeats, (status, headers, body) = 0, _call(call)
    while status == 503 and "Retry-After" in headers and repeats < MOST_REPEATS:
        time.sleep(REST)
        repeats, (status, headers, body) = repeats + 1, _call(call)
    return Answer(call, status, headers, body, begun, time.monotonic(), repeats)


def _call(call: Call) -> tuple[int, dict[str, str], Any]:
    sent = json.dumps(call.body).encode()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": call.method,
        "PATH_INFO": f"/api/v1{call.path}",
        "REMOTE_ADDR": call.ip,
        "HTTP_HOST": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(sent)),
        "wsgi.input": io.BytesIO(sent),
    }
    if call.access:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {call.access}"
    setup_testing_defaults(environ)
    began: list[Any] = []
    response = _House.application(environ, lambda status, headers: began.extend((status, headers)))
    try:
        received = b"".join(response)
    finally:
        response.close()
    return int(began[0][:3]), dict(began[1]), json.loads(received) if received else None
