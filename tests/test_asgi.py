"""`config.asgi` under an ASGI server, with real sockets."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serving import Server, serving

pytestmark = pytest.mark.slow

GRANIAN = ("-m", "granian", "config.asgi:application", "--interface", "asgi")
NOBODY = json.dumps({"email": "nobody@example.com", "password": "Correct-horse-9"}).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: Any) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("asgi"), command=GRANIAN, PASSWORD_HASHER="argon2") as running:
        yield running


def ask(server: Server, path: str, body: bytes | None = None, media_type: str = "application/json") -> tuple[int, Any]:
    request = urllib.request.Request(f"{server.url}{path}", body, {"Content-Type": media_type})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)["code"]


def test_it_serves_the_same(server: Server) -> None:
    assert ask(server, "/healthz") == (200, {"status": "ok"})
    assert ask(server, "/api/v1/users/me") == (401, "not_authenticated")
    assert ask(server, "/api/v1/auth/login", NOBODY) == (401, "invalid_credentials")
    status, answer = ask(server, "/api/v1/auth/signup", NOBODY)
    assert (status, answer["status"]) == (202, "unverified")


@pytest.mark.parametrize("charset", ["charset=hex", "charset*=hex''x", 'charset="nobody-knows"'])
def test_a_media_type_with_tricks_is_refused_and_no_accident(server: Server, charset: str) -> None:
    answer = ask(server, "/api/v1/auth/login?a=%ff", NOBODY, f"application/json; {charset}")
    assert answer == (400, "malformed_body")
