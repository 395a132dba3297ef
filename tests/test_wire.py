"""What only a raw socket can send, against the real server: it answers once, or hangs up, and stays up."""

import json
import re
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Server, serving

pytestmark = pytest.mark.slow

HOST = b"Host: 127.0.0.1\r\n"
LOG_IN = b"POST /api/v1/auth/login HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
GET = b"GET /api/v1/users/me HTTP/1.1\r\n"
# What a smuggler hides behind a body: if it is ever answered, a second answer shows.
HIDDEN = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-ID: smuggled\r\n\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    return Path(tmp_path_factory.mktemp("wire"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with serving(folder, "--workers", "1") as running:
        yield running


def rows_of(folder: Path) -> dict[str, list[Any]]:
    """The database as another process sees it, without what counts refusals and what the background work does."""
    quiet = {"audit_events", "audit_floods", "counters", "failed_log_ins", "sqlite_sequence"}
    with sqlite3.connect(folder / "serve.sqlite3") as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in names if name not in quiet}


def exchange(server: Server, *pieces: bytes, half_close: bool = False, seconds: float = 5) -> bytes:
    """Everything that comes back until the server hangs up or falls silent."""
    with server.connect() as wire:
        wire.settimeout(seconds)
        received = b""
        try:
            for piece in pieces:
                wire.sendall(piece)
            if half_close:
                wire.shutdown(socket.SHUT_WR)
            while chunk := wire.recv(65536):
                received += chunk
        except OSError:
            pass
        return received


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", received)]


@pytest.fixture(autouse=True)
def it_stays_up_and_nothing_changes(server: Server, folder: Path) -> Iterator[None]:
    before, told = rows_of(folder), len(server.log.read_text())
    yield
    assert statuses(exchange(server, b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")) == [200]
    assert rows_of(folder) == before
    assert "Traceback" not in server.log.read_text()[told:]


def is_refused_once(received: bytes) -> None:
    """One 4xx, or no answer at all; never HTML, never what stood behind."""
    found = statuses(received)
    assert len(found) <= 1, received[:500]
    assert all(400 <= status < 500 for status in found), received[:500]
    assert b"<html" not in received.lower()
    assert b"smuggled" not in received


BODY = b'{"email":"a@example.org","password":"x"}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)

AMBIGUOUS = {
    "length and chunked": LENGTH + b"Transfer-Encoding: chunked\r\n",
    "chunked and length": b"Transfer-Encoding: chunked\r\n" + LENGTH,
    "two lengths": LENGTH + b"Content-Length: 4\r\n",
    "two lengths in one": b"Content-Length: 4, %d\r\n" % len(BODY),
    "a length with a plus": b"Content-Length: +4\r\n",
    "a negative length": b"Content-Length: -4\r\n",
    "a hexadecimal length": b"Content-Length: 0x4\r\n",
    "a length with a blank": b"Content-Length: 4 0\r\n",
    "a length beyond numbers": b"Content-Length: 99999999999999999999999\r\n",
    "an empty length": b"Content-Length: \r\n",
    "a length in other digits": "Content-Length: ٤\r\n".encode(),
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n",
    "identity": b"Transfer-Encoding: identity\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n",
    "a blank before the colon": b"Transfer-Encoding : chunked\r\n",
    "a blank before the colon of the length": b"Content-Length : 4\r\n",
    "a folded header": b"Transfer-Encoding:\r\n chunked\r\n",
    "a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "a NUL": b"X-Header: a\x00b\r\n",
    "a header without colon": b"nonsense\r\n",
    "a header without name": b": value\r\n",
    "a return alone": b"X-Header: a\rTransfer-Encoding: chunked\r\n",
}


@pytest.mark.parametrize("name", list(AMBIGUOUS))
def test_a_body_whose_end_is_unclear_is_refused_and_hides_no_request(server: Server, name: str) -> None:
    """RFC 9112 §6.3 (request smuggling)."""
    framing = AMBIGUOUS[name]
    body = b"0\r\n\r\n" if b"chunked" in framing else BODY
    is_refused_once(exchange(server, LOG_IN + framing + b"\r\n" + body + HIDDEN, half_close=True))


BAD_CHUNKS = {
    "no number": b"zz\r\nabc\r\n0\r\n\r\n",
    "a negative size": b"-1\r\nabc\r\n0\r\n\r\n",
    "a size beyond numbers": b"ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "a prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a plus": b"+3\r\nabc\r\n0\r\n\r\n",
    "too short": b"2\r\nabc\r\n0\r\n\r\n",
    "an empty size": b"\r\nabc\r\n0\r\n\r\n",
    "an endless extension": b"3;" + b"x" * 200_000 + b"\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_a_chunk_that_is_none_is_refused(server: Server, name: str) -> None:
    head = LOG_IN + b"Transfer-Encoding: chunked\r\n\r\n"
    is_refused_once(exchange(server, head + BAD_CHUNKS[name], half_close=True))


def test_a_chunked_body_without_end_runs_nothing(server: Server) -> None:
    is_refused_once(exchange(server, LOG_IN + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc", half_close=True))


@pytest.mark.parametrize("end", [b"", b"zz\r\n", b"0\r\n"])
def test_a_chunked_body_without_end_runs_nothing_even_if_it_looks_whole(server: Server, end: bytes) -> None:
    """RFC 9112 §8: a log-in that was run would be answered 401."""
    body = b"%x\r\n%s\r\n%s" % (len(BODY), BODY, end)
    assert statuses(exchange(server, LOG_IN + b"Transfer-Encoding: chunked\r\n\r\n" + body, half_close=True)) == [400]


def test_a_chunked_body_may_have_trailers_that_it_announced(server: Server) -> None:
    head = LOG_IN + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n"
    body = b"%x\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(BODY), BODY)
    assert statuses(exchange(server, head + body)) == [401]


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("size", [1024 * 1024 + 1, 3_000_000, 30_000_000])
def test_a_body_over_one_mebibyte_is_413(server: Server, framing: str, size: int) -> None:
    if framing == "length":
        head, pieces = b"Content-Length: %d\r\n" % size, [b" " * size]
    else:
        head = b"Transfer-Encoding: chunked\r\n"
        pieces = [b"%x\r\n" % size, b" " * size, b"\r\n0\r\n\r\n"]
    received = exchange(server, LOG_IN + head + b"Connection: close\r\n\r\n", *pieces, seconds=20)
    assert statuses(received) == [413]
    assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == "body_too_large"


def test_a_body_shorter_than_announced_runs_nothing(server: Server) -> None:
    is_refused_once(exchange(server, LOG_IN + b"Content-Length: 500\r\n\r\n" + BODY, half_close=True))


def test_what_is_longer_than_announced_is_no_second_request(server: Server) -> None:
    head = LOG_IN + b"Content-Length: %d\r\n\r\n" % len(BODY)
    found = statuses(exchange(server, head + BODY + b"garbage that is no request\r\n\r\n", half_close=True))
    assert found[0] == 401
    assert found[1:] in ([], [400])


def test_a_body_without_length_is_no_body(server: Server) -> None:
    received = exchange(server, LOG_IN + b"Connection: close\r\n\r\n" + BODY)
    assert statuses(received) == [400]


HOSTS = {
    "an empty one": b"Host:\r\n",
    "two": HOST + b"Host: evil.example\r\n",
    "two the other way": b"Host: evil.example\r\n" + HOST,
    "two alike": HOST + HOST,
    "another": b"Host: evil.example\r\n",
    "ours in the middle": b"Host: evil.127.0.0.1.example\r\n",
    "one with a path": b"Host: 127.0.0.1/evil\r\n",
    "one with a user": b"Host: 127.0.0.1@evil.example\r\n",
}


@pytest.mark.parametrize("name", HOSTS)
def test_a_host_that_we_are_not_is_400(server: Server, name: str) -> None:
    """RFC 9112 §3.2: two are one too many."""
    received = exchange(server, GET + HOSTS[name] + b"Connection: close\r\n\r\n")
    assert statuses(received) == [400]
    assert b"unknown_host" in received or b"application/problem+json" in received or not body_of(received)


def test_a_request_of_http_1_1_without_host_is_400(server: Server) -> None:
    """RFC 9112 §3.2."""
    assert statuses(exchange(server, GET + b"Connection: close\r\n\r\n")) == [400]


def body_of(received: bytes) -> bytes:
    return received.partition(b"\r\n\r\n")[2]


def test_a_target_that_names_another_host_leads_nowhere(server: Server) -> None:
    request = b"GET http://evil.example/api/v1/users/me HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    received = exchange(server, request)
    assert all(400 <= status < 500 for status in statuses(received))
    assert b"evil.example" not in received


LINES = {
    "HTTP/0.9": b"GET /healthz\r\n",
    "a bare word": b"hello\r\n\r\n",
    "HTTP/9.9": b"GET /healthz HTTP/9.9\r\n" + HOST + b"\r\n",
    "no protocol": b"GET /healthz  \r\n" + HOST + b"\r\n",
    "small letters": b"get /healthz http/1.1\r\n" + HOST + b"\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"\x00" * 100,
    "a blank in the target": b"GET /health z HTTP/1.1\r\n" + HOST + b"\r\n",
    "a NUL in the target": b"GET /healthz\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes in the target": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    "an endless target": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "an endless method": b"A" * 100_000 + b" /api/v1/users HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n",
    "only line breaks": b"\r\n" * 1000,
}


@pytest.mark.parametrize("name", LINES)
def test_a_request_line_that_is_none_is_refused(server: Server, name: str) -> None:
    is_refused_once(exchange(server, LINES[name], half_close=True))


def test_100_kb_of_headers_are_431(server: Server) -> None:
    for headers in (
        b"X-Long: " + b"x" * 100_000 + b"\r\n",
        b"".join(b"X-%d: %s\r\n" % (n, b"y" * 90) for n in range(1000)),
    ):
        received = exchange(server, GET + HOST + headers + b"Connection: close\r\n\r\n")
        assert statuses(received) in ([431], [400])
        assert b"<html" not in received.lower()


@pytest.mark.parametrize("method", [b"TRACE", b"FOO", b"PUT", b"PROPFIND"])
def test_a_method_that_is_not_there_is_405_and_echoes_nothing(server: Server, method: bytes) -> None:
    head = method + b" /api/v1/auth/login HTTP/1.1\r\n" + HOST
    received = exchange(server, head + b"X-Canary: canary-4711\r\nConnection: close\r\n\r\n")
    assert statuses(received) == [405]
    assert b"allow: post" in received.lower()
    assert b"canary-4711" not in received


def test_line_breaks_in_a_path_write_no_header(server: Server) -> None:
    for path in (b"/%0d%0aX-Injected:%201", b"/docs%0d%0aX-Injected:%201", b"//evil.example/%0d%0aX-Injected:1"):
        received = exchange(server, b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        assert all(status < 500 for status in statuses(received))
        assert b"\r\nx-injected" not in received.lower()


@pytest.mark.parametrize(
    "charset",
    [
        b"hex",
        b"undefined",
        b"zip",
        b"idna",
    ],
)
def test_a_charset_that_is_no_text_encoding_is_400(server: Server, charset: bytes) -> None:
    head = LOG_IN.replace(b"/login ", b"/login?x=%C3%A9 ").replace(b"/json", b"/json; charset=" + charset)
    received = exchange(server, head + LENGTH + b"Connection: close\r\n\r\n" + BODY)
    assert statuses(received) == [400]
    assert b"application/problem+json" in received


@pytest.mark.parametrize("path", [b"/nothing", b"/api/v1/users/me", b"/api/v1/auth/login"])
def test_every_refusal_on_the_wire_is_a_problem_with_its_id(server: Server, path: bytes) -> None:
    received = exchange(server, b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert b"application/problem+json" in received
    problem = json.loads(body_of(received))
    assert f"x-request-id: {problem['request_id']}".encode() in received.lower()


def test_the_server_says_nothing_about_itself(server: Server) -> None:
    received = exchange(server, b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n").lower()
    for word in (b"granian/", b"python", b"django", b"hyper", b"x-powered-by"):
        assert word not in received
