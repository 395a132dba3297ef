"""The short way, for what other systems ask at each request of their own. docs/adr/0050-short-ways.md

A request of the usual kind passes no middleware, no resolver and no DRF, which together cost more than its answer. What
is unusual about it, or in what comes of it, sends it the long way, which decides everything anew. So a short way
answers successes only, word for word as the long way would (`tests/test_short_ways.py` compares them), and whoever
reads about security reads the long way and the services that both use.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import isgeneratorfunction
from io import BytesIO
from operator import methodcaller
from typing import Any, TypeAlias
from uuid import UUID

from django.conf import settings
from django.core.exceptions import SuspiciousOperation, ValidationError
from django.db import InterfaceError, OperationalError, close_old_connections
from django.http.request import split_domain_port, validate_host
from django.urls import Resolver404, resolve
from django.utils.module_loading import import_string
from rest_framework.utils.encoders import JSONEncoder

from core.client import address_of, peer_of
from core.errors import Problem
from core.logs import bind_contextvars, clear_contextvars
from core.middleware import known_or_new, security_headers, tell
from core.outcome import log
from core.parsers import StrictJSONParser

# With one of these it is another kind of request: from the script of a page, by cookie, or framed in another way.
UNUSUAL = frozenset(("cookie", "origin", "expect", "transfer-encoding"))
LARGEST = 8 * 1024  # letters of headers, bytes of a body
JSON = "application/json"
API = "/api/v1"
WAITED_SECONDS = 1.0  # for a database, and once is enough

Headers: TypeAlias = list[tuple[str, str]]
Asking: TypeAlias = Generator["Question", Any, "Answer | None"]
Way: TypeAlias = Callable[["Asked"], "Answer | Asking | None"]
"""Gives None, or raises, whenever there is more to say than a plain success, and has changed nothing then. A generator
yields what it asks, to be asked together with others, and is sent what was found."""
Outcome: TypeAlias = "tuple[int, Headers, bytes] | Attempt | None"
"""Status, headers and body. Else the long way is to be gone, with the attempt if there was one."""


@dataclass(frozen=True, slots=True)
class Question:
    """`read` takes the keys of several questions, and gives what it found for each of them."""

    read: Callable[[list[Any]], Sequence[Any]]
    key: Any


@dataclass(slots=True)
class Asked:
    path: str
    query: str
    host: str
    address: str | None
    authorization: str
    body: dict[str, Any]
    """The JSON object that came; empty with GET."""


@dataclass(slots=True)
class Answer:
    data: Any
    user_id: UUID | None = None
    headers: Headers = field(default_factory=list)


@dataclass(slots=True)
class Attempt:
    """What came of a short way that was left, for the long one to go on from. `core.middleware` takes it up."""

    request_id: str
    started: float
    error: Exception | None = None
    """The database is away or busy, and was waited for. To do so again would take longer than a client waits."""


class Going:
    """One of several requests that go their short ways on one thread, each with lines of log of its own."""

    def __init__(self, steps: Generator[Question, Any, Outcome]) -> None:
        self.steps, self.context = steps, copy_context()
        self.question: Question | None = None
        self.outcome: Outcome = None

    def go_on(self, step: Callable[[Any], Question]) -> None:
        """To its next question, or to its end."""
        self.question = None
        try:
            self.question = self.context.run(step, self.steps)
        except StopIteration as end:
            self.outcome = end.value
        except Exception as error:  # beside the way itself; it must not cost the others their answers
            log.error("short_way.failed", exc_info=error)


class ShortWays:
    """`ways` are functions by method and path, with the URLs that name their views:
    `{("GET", "/api/v1/users/me"): ("accounts.urls", me)}`. Where a project has put a view of its own, there is none.
    """

    def __init__(self, ways: Mapping[tuple[str, str], tuple[str, Way]]) -> None:
        self.ways = {key: (way, name) for key, (urls, way) in ways.items() if (name := name_of(key[1], urls))}
        self.together = frozenset(key for key, (way, _) in self.ways.items() if isgeneratorfunction(way))
        self.headers = [("Content-Type", JSON), ("Vary", "origin"), *security_headers(False, True).items()]
        self.dump = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
        self.parse = StrictJSONParser().parse
        self.is_ours = lru_cache(maxsize=64)(is_ours)

    def answer(self, scope: Any, body: bytes) -> Outcome:
        return self.answers([(scope, body)])[0]

    def answers(self, requests: Sequence[tuple[Any, bytes]]) -> list[Outcome]:
        """Of each request, by scope and body. Questions with the same `read` are asked at once."""
        everyone = [Going(self.steps(scope, body)) for scope, body in requests]
        for one in everyone:
            one.go_on(next)
        while asking := [(one, one.question) for one in everyone if one.question]:
            read = asking[0][1].read
            those = [(one, question.key) for one, question in asking if question.read is read]
            try:
                found = read([key for _, key in those])
            except Exception as error:
                for one, _ in those:
                    one.go_on(methodcaller("throw", error))
            else:
                for (one, _), what in zip(those, found, strict=True):
                    one.go_on(methodcaller("send", what))
        return [one.outcome for one in everyone]

    def steps(self, scope: Any, body: bytes) -> Generator[Question, Any, Outcome]:
        found = self.ways.get((scope.method, scope.path))
        headers = usual(scope, body) if found else None
        if found is None or headers is None or not self.is_ours(headers.get("host", "")):
            return None
        started = time.perf_counter()
        request_id = known_or_new(headers.get("x-request-id", ""))
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        address = address_of(peer_of(scope), headers.get("x-forwarded-for", ""))
        close_old_connections()  # those that broke, as Django does before each request
        try:
            given = self.parse(BytesIO(body)) if body else {}
            authorization = headers.get("authorization", "")
            asked = Asked(scope.path, scope.query_string, headers["host"], address, authorization, given)
            answer = found[0](asked)
            if isinstance(answer, Generator):
                answer = yield from answer
            if answer is None:
                return Attempt(request_id, started)
            text = self.in_json(answer.data)
        except (Problem, ValidationError, SuspiciousOperation):
            return Attempt(request_id, started)
        except (OperationalError, InterfaceError) as error:
            return Attempt(request_id, started, error if time.perf_counter() - started > WAITED_SECONDS else None)
        except Exception as error:  # a mistake of ours, perhaps of this way alone
            log.error("short_way.failed", exc_info=error)
            return Attempt(request_id, started)
        tell(
            operation=found[1],
            method=scope.method,
            path=scope.path,
            status=200,
            code=None,
            address=address,
            user_id=answer.user_id,
            seconds=time.perf_counter() - started,
        )
        return 200, [*self.headers, ("X-Request-ID", request_id), *answer.headers], text

    def in_json(self, data: Any) -> bytes:
        """As `rest_framework.renderers.JSONRenderer` writes it."""
        return self.dump(data).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()


def name_of(path: str, urls: str) -> str | None:
    """Of the operation at this path; None where that is not what `urls` say of it."""
    try:
        found, ours = resolve(path), resolve(path.removeprefix(API), urls)
    except Resolver404:
        return None
    return found.view_name if found.func is ours.func else None


def usual(scope: Any, body: bytes) -> dict[str, str] | None:
    """The headers by name, if that is a request of the usual kind."""
    headers: dict[str, str] = {}
    size = 0
    for name, value in scope.headers.items():
        if name in headers or name in UNUSUAL:
            return None
        headers[name] = value
        size += len(name) + len(value)
    is_json = headers.get("content-type") == JSON and headers.get("content-length") == str(len(body))
    is_framed = is_json if scope.method == "POST" else not body and "content-length" not in headers
    is_usual = (
        is_framed
        and size < LARGEST
        and len(body) < LARGEST
        and len(scope.query_string) < LARGEST
        and scope.http_version == "1.1"
        and headers.get("accept", "*/*") in ("*/*", JSON)
    )
    return headers if is_usual else None


def is_ours(host: str) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def short_ways() -> ShortWays | None:
    """Those of the settings. None where each request is to be traced or looked into."""
    if not settings.SHORT_WAYS or settings.DEBUG or settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return None
    return ShortWays(import_string(settings.SHORT_WAYS))
