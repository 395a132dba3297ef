"""deploy/proxy/nginx.conf in a real nginx, in front of a real server."""

import json
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from tests.serving import ROOT, Server, free_port, serving

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
NAME = "id.example.com"
CALLER = "127.0.0.9"  # any loopback address will do, so the caller has one that neither nginx nor the server has

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="nginx is missing. On Debian or Ubuntu, as root: apt install nginx-light"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing, to make a certificate with"),
]


@dataclass
class Proxy:
    server: Server
    http: int
    https: int

    def ask(self, path: str, method: str = "GET", **headers: str) -> HTTPResponse:
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        connection = HTTPSConnection("127.0.0.1", self.https, context=trusting, timeout=60, source_address=(CALLER, 0))
        connection.request(method, path, headers={"Host": NAME, **headers})
        return connection.getresponse()


def sample(folder: Path, server: int, http: int, https: int) -> str:
    """The file as it is, but for the ports, the certificate and times that nobody wants to wait for."""
    text = (ROOT / "deploy" / "proxy" / "nginx.conf").read_text()
    for old, new in {
        "127.0.0.1:8000": f"127.0.0.1:{server}",
        "listen [::]:80;": "",
        "listen [::]:443 ssl http2;": "",
        "listen 80;": f"listen 127.0.0.1:{http};",
        "listen 443 ssl": f"listen 127.0.0.1:{https} ssl",
        f"/etc/letsencrypt/live/{NAME}/": f"{folder}/",
        "_header_timeout 10s": "_header_timeout 1s",
        "_body_timeout 10s": "_body_timeout 1s",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    places = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off; user root; pid {folder}/pid; error_log stderr;
events {{}}
http {{
access_log off;
{places}
{text}
}}
"""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}"]
    files = ["-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"]
    subprocess.run([*key, *files], check=True, capture_output=True)
    known = {"TRUSTED_PROXIES": "1", "PUBLIC_URL": f"https://{NAME}"}
    with serving(folder, "--workers", "1", **known) as server:
        http, https = free_port(), free_port()
        configuration = folder / "nginx.conf"
        configuration.write_text(sample(folder, server.port, http, https))
        command = [str(NGINX), "-p", str(folder), "-c", str(configuration)]
        tested = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert tested.returncode == 0, tested.stderr
        assert "[warn]" not in tested.stderr.replace('the "user" directive', "")
        process = subprocess.Popen(command)
        try:
            wait_for(https)
            yield Proxy(server, http, https)
        finally:
            process.terminate()
            process.wait(30)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.1)
    raise AssertionError("nginx did not start")


def line_about(server: Server, request_id: str) -> Any:
    """The server's log line of that request; lines are written after the answer."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for line in server.log.read_text().splitlines():
            if f'"{request_id}"' in line:
                return json.loads(line)
        time.sleep(0.1)
    raise AssertionError(f"no line about {request_id}")


def test_a_request_passes_with_its_name_and_its_address(proxy):
    answer = proxy.ask("/api/v1/users/me", **{"X-Request-ID": "an-honest-one"})
    assert answer.status == 401
    assert answer.headers["X-Request-ID"] == "an-honest-one"
    assert answer.headers["Strict-Transport-Security"]
    assert line_about(proxy.server, "an-honest-one")["ip"] == CALLER


@pytest.mark.parametrize("claimed", ["198.51.100.7", "198.51.100.7, 127.0.0.1", "203.0.113.5,,", "unknown"])
def test_a_claimed_address_does_not_become_the_callers(proxy, claimed):
    request_id = f"claims-{abs(hash(claimed))}"
    assert proxy.ask("/api/v1/users/me", **{"X-Request-ID": request_id, "X-Forwarded-For": claimed}).status == 401
    assert line_about(proxy.server, request_id)["ip"] == CALLER


def test_plain_http_is_sent_to_https(proxy):
    connection = HTTPConnection("127.0.0.1", proxy.http, timeout=60)
    connection.request("GET", "/api/docs?a=b", headers={"Host": NAME})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (308, f"https://{NAME}/api/docs?a=b")


def test_metrics_are_not_for_the_world(proxy):
    assert proxy.ask("/metrics").status == 404


@pytest.mark.parametrize(
    "begun",
    [
        f"GET /healthz HTTP/1.1\r\nHost: {NAME}\r\nX-Slow: ",
        f"POST /api/v1/auth/login HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 90\r\n\r\n{{",
    ],
    ids=["headers", "body"],
)
def test_who_stops_in_the_middle_is_cut_before_the_server_hears_of_it(proxy, begun):
    before = proxy.server.log.read_text().count("/api/v1/auth/login")
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", proxy.https), timeout=60) as plain,
        trusting.wrap_socket(plain, server_hostname=NAME) as slow,
    ):
        slow.sendall(begun.encode())
        answer = b""
        while more := slow.recv(4096):
            answer += more
    assert not answer or answer.startswith(b"HTTP/1.1 408 ")
    assert proxy.server.log.read_text().count("/api/v1/auth/login") == before


def test_a_body_that_is_too_large_gets_the_servers_own_answer(proxy):
    connection = HTTPSConnection(
        "127.0.0.1", proxy.https, context=ssl._create_unverified_context(), timeout=60, source_address=(CALLER, 0)
    )
    body = b'{"email": "' + b"a" * (1024 * 1024) + b'"}'
    connection.request("POST", "/api/v1/auth/login", body, {"Host": NAME, "Content-Type": "application/json"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Content-Type"]) == (413, "application/problem+json")


def test_while_the_server_is_away_it_says_so_as_the_server_would(proxy, tmp_path):
    """Last, since it stops the server."""
    proxy.server.stop()
    answer = proxy.ask("/healthz")
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = json.loads(answer.read())
    assert (told["code"], told["status"]) == ("service_unavailable", 503)
    assert re.fullmatch(r"[0-9a-f]{32}", told["request_id"])
