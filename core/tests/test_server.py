"""How a request reaches Django: RSGI in, WSGI out."""

import asyncio
import json
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from core import server
from core.metrics import REQUESTS


class Headers:
    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.pairs = list(pairs)

    def items(self) -> list[tuple[str, str]]:
        return self.pairs

    def get(self, name: str, default: str | None = None) -> str | None:
        return next((value for key, value in self.pairs if key == name), default)

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self.pairs if key == name]

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None


def scope(*headers: tuple[str, str], **changes: str) -> Any:
    fields = {
        "method": "GET",
        "path": "/",
        "query_string": "",
        "scheme": "http",
        "http_version": "1.1",
        "server": "127.0.0.1:8000",
        "client": "192.0.2.7:50000",
    }
    return SimpleNamespace(headers=Headers(*headers), **{**fields, **changes})


def test_repeated_headers_are_joined_and_cookies_by_semicolons():
    pairs = (("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2"), ("cookie", "a=1"), ("cookie", "b=2"))
    env = server.environ(scope(*pairs), b"")
    assert env["HTTP_X_FORWARDED_FOR"] == "1.1.1.1,2.2.2.2"
    assert env["HTTP_COOKIE"] == "a=1; b=2"


def test_a_header_with_an_underscore_is_dropped():
    assert "HTTP_X_FORWARDED_FOR" not in server.environ(scope(("x_forwarded_for", "1.1.1.1")), b"")


def test_an_ipv6_client_is_named_without_brackets_and_port():
    env = server.environ(scope(client="[2001:db8::7]:50000", server="[::1]:8000"), b"")
    assert env["REMOTE_ADDR"] == "2001:db8::7"
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == ("::1", "8000")


def test_a_path_beyond_ascii_is_what_wsgi_wants():
    assert server.environ(scope(path="/ж"), b"")["PATH_INFO"].encode("latin-1").decode() == "/ж"


def test_a_port_in_use_cannot_be_resolved():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        server.resolve("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(
    ("address", "loopback"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("fe80::1%eth0", False)]
)
def test_it_knows_whom_others_can_reach(address, loopback):
    assert server.is_loopback(address) is loopback


# --- Requests that hash a password -------------------------------------------------------------------------------


class Protocol:
    """What granian gives for the answer."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 0, {}, b""

    def response_bytes(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, dict(headers), body

    def response_str(self, status: int, headers: Any, body: str) -> None:
        self.response_bytes(status, headers, body.encode())

    def response_empty(self, status: int, headers: Any) -> None:
        self.response_bytes(status, headers, b"")


class Response(list[bytes]):
    def close(self) -> None:
        pass


def slow_django(release: threading.Event) -> Any:
    def wsgi(env: dict[str, Any], start_response: Any) -> Response:
        if (env["REQUEST_METHOD"], env["PATH_INFO"]) == ("POST", "/hash"):
            release.wait(10)
        start_response("200 OK", [])
        return Response([b"done"])

    return wsgi


def answers(application: server.Application, *asked: Any, first: int) -> list[Protocol]:
    """Ask all at once; when `first` of them are answered, release Django, and come back when all are."""
    protocols = [Protocol() for _ in asked]

    async def ask() -> None:
        application.loop = asyncio.get_running_loop()
        for one, protocol in zip(asked, protocols, strict=True):
            application.take(one, protocol)
        while sum(protocol.status > 0 for protocol in protocols) < first:
            await asyncio.sleep(0.01)
        application.wsgi.release.set()
        while not all(protocol.status for protocol in protocols):
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(ask(), 20))
    return protocols


@pytest.fixture
def application() -> server.Application:
    release = threading.Event()
    wsgi = slow_django(release)
    wsgi.release = release
    return server.Application(wsgi, {"/hash"})


def test_a_storm_of_hashes_keeps_nothing_else_waiting(application):
    storm = [scope(path="/hash", method="POST")] * 60
    others = [scope(path="/")] * 20 + [scope(path="/hash")] * 5  # looking at such a page hashes nothing
    told = answers(application, *storm, *others, first=25)
    assert {protocol.status for protocol in told} == {200}


@pytest.mark.parametrize(
    ("form", "waits"),
    [
        (b"grant_type=refresh_token&refresh_token=x", False),
        (b"grant_type=password&username=a&password=b", True),
        (b"grant_type=password&x=grant_type=refresh_token", True),
        (b"grant_type=refresh_token&grant_type=password", True),
        (b"grant_type=refresh_token&x=" + b"x" * server.LARGEST_FORM, True),
        (b"", True),
        (b"\xff&&==%zz", True),
    ],
)
def test_a_refresh_at_the_token_endpoint_does_not_wait_behind_passwords(form, waits):
    paths = {"/auth/token", "/hash"}
    assert server.may_hash(server.Request(scope(path="/auth/token", method="POST"), None, form), paths) is waits
    assert server.may_hash(server.Request(scope(path="/hash", method="POST"), None, form), paths)


def test_who_waits_too_long_for_a_hash_is_refused_in_the_one_shape(application, monkeypatch):
    monkeypatch.setattr(server, "QUEUE_SECONDS", 0.1)
    storm = [scope(path="/hash", method="POST")] * (server.HASHING_THREADS + 7)
    told = answers(application, *storm, first=7)
    refused = [protocol for protocol in told if protocol.status == 503]
    assert len(refused) == 7
    assert len(told) - len(refused) == server.HASHING_THREADS, "who has a place is served"
    assert int(refused[0].headers["retry-after"]) >= 1
    assert refused[0].headers["content-type"] == "application/problem+json"
    assert json.loads(refused[0].body)["code"] == "service_unavailable"


def test_who_waited_too_long_never_begins(application, monkeypatch):
    begun, slow = [], application.wsgi

    def wsgi(env: dict[str, Any], start_response: Any) -> Response:
        begun.append(env["HTTP_X_REQUEST_ID"])
        return slow(env, start_response)

    wsgi.release = slow.release
    application.wsgi = wsgi
    monkeypatch.setattr(server, "QUEUE_SECONDS", 0.1)
    storm = [scope(("x-request-id", f"r{n}"), path="/hash", method="POST") for n in range(server.HASHING_THREADS + 3)]
    answers(application, *storm, first=3)
    assert sorted(begun) == sorted(f"r{n}" for n in range(server.HASHING_THREADS))


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_a_place_is_given_back_when_the_answer_fails(application, error):
    def broken(env, start_response):
        raise error

    broken.release = application.wsgi.release
    application.wsgi = broken
    storm = [scope(path="/hash", method="POST")] * (server.HASHING_THREADS + 1)
    told = answers(application, *storm, first=len(storm))
    assert {protocol.status for protocol in told} == {500}


@pytest.mark.parametrize("begun", [0, 1, 3])
def test_threads_that_the_system_does_not_give_keep_nobody_waiting_for_ever(application, monkeypatch, begun):
    """A raised error would stay on granian's thread, which then brings no request to anybody any more."""
    start, given = threading.Thread.start, []

    def start_few(thread: threading.Thread) -> None:
        if thread.name.startswith("django"):
            if len(given) == begun:
                raise RuntimeError("can't start new thread")
            given.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_few)
    monkeypatch.setattr(server, "QUEUE_SECONDS", 0.5)
    told = answers(application, *[scope(path="/")] * 20, first=20)
    assert {protocol.status for protocol in told} == ({200} if begun else {503})
    begun = server.THREADS
    assert answers(application, scope(path="/"), first=1)[0].status == 200, "and when it gives them again, all is well"


def test_taking_a_request_never_raises(application):
    """See above: whatever it is, only this request may suffer."""
    application.loop, protocol = None, Protocol()
    application.take(scope(("content-length", "4"), ("expect", "100-continue"), method="POST"), protocol)
    assert protocol.status == 500


class Leaver(Protocol):
    """Takes the first piece of a download only."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def response_stream(self, status: int, headers: Any) -> "Leaver":
        return self

    async def send_bytes(self, piece: bytes) -> None:
        self.taken += 1
        if self.taken > 1:
            raise RuntimeError("closed")


class Download:
    streaming = True

    def __init__(self) -> None:
        self.made, self.is_closed = 0, False

    def __iter__(self) -> Any:
        while True:
            self.made += 1
            yield b"x" * server.STREAM_BYTES

    def close(self) -> None:
        self.is_closed = True


def test_who_leaves_in_the_middle_of_a_download_is_no_error(application, caplog):
    download = Download()

    def wsgi(env: dict[str, Any], start_response: Any) -> Download:
        start_response("200 OK", [])
        return download

    async def ask() -> None:
        application.loop = asyncio.get_running_loop()
        await asyncio.to_thread(application.run, [server.Request(scope(path="/download"), Leaver())])

    application.wsgi = wsgi
    with caplog.at_level("INFO"):
        asyncio.run(asyncio.wait_for(ask(), 20))
    assert (download.made, download.is_closed) == (2, True)
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_strangers_make_up_no_label_of_a_metric(application, monkeypatch):
    monkeypatch.setattr(server, "QUEUE_SECONDS", 0.1)
    monkeypatch.setattr(server, "may_hash", lambda request, paths: True)
    hashes = [scope(path="/hash", method="POST")] * server.HASHING_THREADS
    answers(application, *hashes, scope(path="/hash", method="BREW"), first=1)
    told = [sample.labels for metric in REQUESTS.collect() for sample in metric.samples]
    assert {labels["method"] for labels in told if labels["operation"] == "password-queue"} <= {"POST", "other"}
    assert {"operation": "password-queue", "method": "other", "status": "503"} in told


def test_a_body_is_read_before_a_thread_begins(application):
    """And what cannot be read reaches none. Here by pieces; `core/tests/test_bodies.py` has those of one piece."""

    class Sender(Protocol):
        def __init__(self, *chunks: bytes) -> None:
            super().__init__()
            self.chunks = chunks

        async def __aiter__(self) -> Any:
            for chunk in self.chunks:
                yield chunk

    protocols = [Sender(b"ab", b"cd"), Sender(b"ab")]
    read: list[bytes] = []

    def wsgi(env: dict[str, Any], start_response: Any) -> Response:
        read.append(env["wsgi.input"].read())
        start_response("200 OK", [])
        return Response([b"done"])

    async def ask() -> None:
        application.loop = asyncio.get_running_loop()
        for protocol in protocols:
            application.take(scope(("content-length", "4"), ("expect", "100-continue"), method="POST"), protocol)
        while not all(protocol.status for protocol in protocols):
            await asyncio.sleep(0.01)

    application.wsgi = wsgi
    asyncio.run(asyncio.wait_for(ask(), 20))
    assert [protocol.status for protocol in protocols] == [200, 400]
    assert read == [b"abcd"]
