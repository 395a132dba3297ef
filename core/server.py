"""Between the sockets, which are granian's, and Django, which is WSGI. Figures: docs/adr/0008-server.md.

granian gives each request to `Application.take` by RSGI, its asynchronous interface: there a slow client costs a
coroutine. Through its WSGI interface each half-sent body would hold a thread, for as long as its sender likes.
"""

import asyncio
import ipaddress
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

from django.utils.translation import gettext_lazy as _

from core import deadline, metrics
from core.bodies import BODY_SECONDS, Arrivals, Gone, read_body, small_length
from core.client import peer_of
from core.errors import CONTENT_TYPE, BadRequest, Problem, ServiceUnavailable
from core.language import Words
from core.middleware import ATTEMPT, known_method, known_or_new
from core.outcome import log
from core.prepared import MOST_AT_ONCE
from core.short_ways import Attempt, Headers, Outcome, ShortWays
from core.supervisor import LEAVE
from core.threads import Threads

THREADS = 8  # a worker: fill a core while some wait for the database, and bound its connections
HASHING_THREADS = min(4, os.cpu_count() or 1)  # beside those, for what hashes a password
QUEUE_SECONDS = 7.0  # in which a request waits for a thread; every answer comes within 10 s
BUSY = _("Too many requests are waiting. Repeat this one after Retry-After seconds; nothing of it was begun.")
OVERLOADED = _("Too many passwords are being checked. Repeat the request after Retry-After seconds.")
STREAM_BYTES = 64 * 1024
LARGEST_FORM = 16 * 1024  # to be looked into on the event loop
LEAVING = "muster.leaving"  # in the environment of a request that came after SIGTERM


@dataclass(eq=False, slots=True)
class Request:
    """What granian gives, the body once it is whole, and what came of its short way once it went that."""

    scope: Any
    protocol: Any
    body: bytes = b""
    since: float = field(default_factory=time.monotonic)
    went_short_way: bool = False
    outcome: Outcome = None


class Application:
    """A worker: its few threads run Django; its event loop reads bodies, with a deadline, before they do.

    Requests to `hashing_paths` have threads and a line of their own: a storm of log-ins keeps no other waiting. What
    asks its question together with others has one thread, which asks for all that came while it asked last.
    """

    def __init__(
        self,
        wsgi: Callable[..., Iterable[bytes]],
        hashing_paths: Collection[str] = (),
        short_ways: ShortWays | None = None,
    ) -> None:
        self.wsgi, self.short_ways = wsgi, short_ways or ShortWays({})
        self.threads = Threads("django", THREADS, self.run)
        self.asking_thread = Threads("asking", 1, self.run_together, together=MOST_AT_ONCE)
        self.hashing_paths = hashing_paths
        self.hashing_threads = Threads("hashing", HASHING_THREADS, self.run_hashing)
        # Probes have threads of their own: whoever asks for them must hear most of all when the others all hang.
        self.probes = {path: Threads(path, 1, self.run) for path in ("/healthz", "/readyz")}
        self.leaving = False
        self.reading: set[asyncio.Task[None]] = set()  # asyncio itself forgets tasks that nobody holds

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """granian has its handler of SIGTERM already; what came while we were starting is heard now."""
        self.loop = loop
        self.arrivals = Arrivals(loop, self.take_whole, self.refuse_late)
        loop.add_signal_handler(LEAVE, self.leave)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {LEAVE, signal.SIGTERM})

    def leave(self) -> None:
        """Answer what comes, and close each connection with its answer; `/readyz` says 503, so that balancers turn
        to others.

        Before SIGTERM, because granian forgets the connections that it accepts in the moment of that signal:
        a busy one of them would keep the worker from ever ending.
        """
        self.leaving = True

    def take(self, scope: Any, protocol: Any) -> None:
        """A request, on the one thread of granian's that brings them all. What is raised here it never looks at, and
        then brings nothing more.

        What has no body goes straight to a thread, and what has a small one as soon as it is there: waking the event
        loop for it would cost more than all else here.
        """
        try:
            headers = scope.headers
            if "content-length" not in headers and "transfer-encoding" not in headers:
                self.hand_over(Request(scope, protocol))
            elif (length := small_length(headers)) is not None:
                self.arrivals.expect(scope, protocol, length)
            else:
                self.loop.call_soon_threadsafe(self.read, scope, protocol)
        except BaseException as error:
            give_up(protocol, error)

    def take_whole(self, scope: Any, protocol: Any, body: bytes) -> None:
        try:
            self.hand_over(Request(scope, protocol, body))
        except BaseException as error:
            give_up(protocol, error)

    def refuse_late(self, scope: Any, protocol: Any) -> None:
        refuse(scope, protocol, RequestTimeout())

    def read(self, scope: Any, protocol: Any) -> None:
        task = self.loop.create_task(self.receive(scope, protocol))
        self.reading.add(task)
        task.add_done_callback(self.reading.discard)

    async def receive(self, scope: Any, protocol: Any) -> None:
        if len(scope.headers.get_all("transfer-encoding")) > 1:
            return refuse(scope, protocol, BadRequest(_("Send one Transfer-Encoding header.")))
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await read_body(scope.headers, protocol)
        except TimeoutError:
            return self.refuse_late(scope, protocol)
        except Exception as error:
            if not isinstance(error, Gone):
                log.error("request.unreadable", exc_info=error)
            protocol.response_empty(400, [("connection", "close")])
            return None
        return self.hand_over(Request(scope, protocol, body))

    def hand_over(self, request: Request) -> None:
        threads = self.threads_for(request)
        if threads is self.hashing_threads:
            metrics.PASSWORDS.labels("waiting").inc()
        self.line_up(request, threads)

    def line_up(self, request: Request, threads: Threads[Request]) -> None:
        if threads.take(request):
            self.loop.call_soon_threadsafe(self.loop.call_later, QUEUE_SECONDS, self.turn_away, threads)

    def threads_for(self, request: Request) -> Threads[Request]:
        if may_hash(request, self.hashing_paths):
            return self.hashing_threads
        if (request.scope.method, request.scope.path) in self.short_ways.together:
            return self.asking_thread
        return self.probes.get(request.scope.path, self.threads)

    def turn_away(self, threads: Threads[Request]) -> None:
        """Whoever waited for too long, and then those behind them, until nobody waits."""
        late, again = threads.late(QUEUE_SECONDS)
        if again is not None:  # before anything that could fail: a line that nobody watches would never be again
            self.loop.call_later(again, self.turn_away, threads)
        for request in late:
            if threads is self.hashing_threads:
                metrics.PASSWORDS.labels("waiting").dec()
                metrics.PASSWORD_REFUSALS.inc()
                refuse_busy(request, "password-queue", OVERLOADED)
            else:
                refuse_busy(request, "queue", BUSY)

    def run_together(self, requests: list[Request]) -> None:
        """Whoever has more to hear than a plain success goes on by itself, on a thread where it holds up nobody."""
        deadline.begin(requests[0].since)  # the oldest
        try:
            outcomes = self.short_ways.answers([(request.scope, request.body) for request in requests])
        except BaseException as error:  # see `run`
            for request in requests:
                give_up(request.protocol, error)
            return
        finally:
            deadline.end()
        for request, outcome in zip(requests, outcomes, strict=True):
            request.went_short_way, request.outcome = True, outcome
            # What waited for a database that is away has waited long enough, and asks nobody any more.
            if isinstance(outcome, tuple) or (outcome and outcome.error):
                self.run([request])
            else:
                self.line_up(request, self.threads)

    def run_hashing(self, requests: list[Request]) -> None:
        [request] = requests
        metrics.PASSWORDS.labels("waiting").dec()
        metrics.PASSWORD_WAIT.observe(time.monotonic() - request.since)
        self.run(requests)

    def run(self, requests: list[Request]) -> None:
        [request] = requests
        try:
            self.answer(request)
        except Gone:
            log.info("request.left", path=request.scope.path[:200])
        except BaseException as error:  # also SystemExit, and panics of libraries in Rust, which would end the thread
            give_up(request.protocol, error)

    def answer(self, request: Request) -> None:
        deadline.begin(request.since)
        if not request.went_short_way:
            request.outcome = self.short_ways.answer(request.scope, request.body)
        if isinstance(request.outcome, tuple):
            deadline.end()
            status, headers, body = request.outcome
            request.protocol.response_bytes(status, self.with_farewell(headers), body)
        else:
            self.answer_by_django(request, request.outcome)

    def with_farewell(self, headers: Headers) -> Headers:
        return [*headers, ("connection", "close")] if self.leaving else headers

    def answer_by_django(self, request: Request, attempt: Attempt | None) -> None:
        protocol, env = request.protocol, environ(request.scope, request.body)
        status, headers = 500, []

        def start_response(line: str, fields: Headers, exc_info: Any = None) -> None:
            nonlocal status, headers
            status, headers = int(line[:3]), list(fields)

        env[LEAVING], env[ATTEMPT] = self.leaving, attempt
        response: Any = self.wsgi(env, start_response)
        deadline.end()  # a long answer may take its time
        headers = self.with_farewell(headers)
        try:
            if getattr(response, "streaming", False):
                stream(response, protocol.response_stream(status, headers), self.loop)
            else:
                protocol.response_bytes(status, headers, b"".join(response))
        finally:
            response.close()


def may_hash(request: Request, paths: Collection[str]) -> bool:
    scope = request.scope
    is_one = scope.method in ("POST", "PUT", "DELETE") and scope.path in paths
    return is_one and not (scope.path.endswith("/token") and is_refresh(request.body))


def give_up(protocol: Any, error: BaseException) -> None:
    protocol.response_empty(500, [("connection", "close")])
    log.error("request.unanswered", exc_info=error)


def refuse_busy(request: Request, operation: str, why: Words) -> None:
    metrics.count(operation, known_method(request.scope.method), 503, "service_unavailable", QUEUE_SECONDS)
    refuse(request.scope, request.protocol, ServiceUnavailable(why, retry_after=5))


def is_refresh(form: bytes) -> bool:
    """The one grant (RFC 6749 §6) at the token endpoint that needs no password. Said twice it is none."""
    return len(form) <= LARGEST_FORM and parse_qs(form.decode("latin-1")).get("grant_type") == ["refresh_token"]


def environ(scope: Any, body: bytes) -> dict[str, Any]:
    """PEP 3333. Names with an underscore are dropped: X_Forwarded_For must not pass for X-Forwarded-For."""
    server, _, port = scope.server.rpartition(":")
    env = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server.strip("[]"),
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1" if scope.http_version == "1.1" else "HTTP/1.0",
        "REMOTE_ADDR": peer_of(scope),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        separator = "; " if key == "HTTP_COOKIE" else ","
        env[key] = f"{env[key]}{separator}{value}" if key in env else value
    if scope.http_version == "1.1":
        env.setdefault("HTTP_HOST", "")  # RFC 9112 §3.2: a request without one is refused, as an unknown host is
    return env


def stream(chunks: Iterable[bytes], transport: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Send in larger pieces, and stop making more when the client is gone. Raises Gone."""

    async def send(piece: bytes) -> None:
        try:
            await transport.send_bytes(piece)
        except Exception:
            raise Gone from None

    waiting = bytearray()
    for chunk in chunks:
        waiting += chunk
        if len(waiting) >= STREAM_BYTES:
            asyncio.run_coroutine_threadsafe(send(bytes(waiting)), loop).result()
            waiting.clear()
    if waiting:
        asyncio.run_coroutine_threadsafe(send(bytes(waiting)), loop).result()


def refuse(scope: Any, protocol: Any, problem: Problem) -> None:
    """An answer to what never reaches Django, in the form of all others."""
    request_id = known_or_new(scope.headers.get("x-request-id", ""))
    headers = [("content-type", CONTENT_TYPE), ("connection", "close"), ("x-request-id", request_id)]
    headers += [(name.lower(), value) for name, value in problem.headers.items()]
    log.warning("request.turned_away", request_id=request_id, path=scope.path[:200], status=problem.status_code)
    body = json.dumps(problem.body(request_id), separators=(",", ":"))
    protocol.response_str(problem.status_code, headers, body)


class RequestTimeout(Problem):
    status_code = 408
    code = "request_timeout"
    title = _("Request timeout")
    default_detail = _("The body did not arrive within 30 seconds.")


def resolve(host: str, port: int) -> str:
    """The numeric address of `host`; OSError when there is none, or when somebody listens on `port` already.

    Asked before granian binds: it sets SO_REUSEPORT, so two servers of one user would share a port unnoticed.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    socket.create_server(address[:2], family=family).close()
    return str(address[0])


def is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
