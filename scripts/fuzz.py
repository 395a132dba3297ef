#!/usr/bin/env python3
"""Sends what the OpenAPI schema allows, and what it forbids, to a server of its own: scripts/fuzz.py [OPTION …]

A fresh database in a temporary folder, a fresh administrator, limits off; OPTIONs go to schemathesis, such as
`--max-examples 200`. Fails when an answer is a server error or does not fit the schema. Run it with the
project's Python.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import schemathesis

ROOT = Path(__file__).resolve().parent.parent
MANAGE = [sys.executable, str(ROOT / "manage.py")]
EMAIL, PASSWORD = "fuzz@example.com", "copper-Meadow-orbit-93"
# Not checked: a body that fits the schema may still be refused, as a wrong password or code is; and what happens
# without authentication, since leaving the cookie out leaves the bearer in (tests/test_access.py tries it all).
CHECKS = ",".join(
    (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "unsupported_method",
    )
)


def environment(folder: Path, port: int) -> dict[str, str]:
    own = {
        "SECRET_KEY": os.urandom(40).hex(),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "EMAIL_URL": f"filemail:///{folder / 'mail'}",
        "RATE_LIMITS": "off",
        "PASSWORD_HASHER": "argon2",
        "ACCESS_TOKEN_SECONDS": "86400",
        "LOG_LEVEL": "WARNING",
        "DJANGO_SUPERUSER_EMAIL": EMAIL,
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    return {**os.environ, "DATABASE_URL": f"sqlite:///{folder / 'fuzz.sqlite3'}", "REDIS_URL": "", **own}


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a server with one administrator and nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    environ = environment(folder, port)
    subprocess.run([*MANAGE, "migrate", "-v", "0"], env=environ, check=True)
    subprocess.run([*MANAGE, "createsuperuser", "--noinput"], env=environ, check=True)
    server = subprocess.Popen([*MANAGE, "serve", "--port", str(port)], env=environ, stdin=subprocess.DEVNULL)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(40)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=5).read()
        except OSError:
            time.sleep(0.2)
        else:
            return
    sys.exit("fuzz: the server did not get ready.")


@schemathesis.auth(refresh_interval=1)
class FreshSession:
    """Logs in again every second, because the fuzzer logs out, and finds and ends its own session."""

    def get(self, case: Any, context: Any) -> str:
        credentials = {"email": EMAIL, "password": PASSWORD}
        answer = requests.post(f"{os.environ['FUZZ_URL']}/api/v1/auth/login", json=credentials, timeout=20)
        answer.raise_for_status()  # the administrator cannot be fuzzed away
        return str(answer.json()["access"])

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


def fuzz(url: str, *options: str) -> int:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/api/schema", "--url", url, "--checks", CHECKS),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "20261121"),
        *("--workers", "1", "--request-timeout", "20", "--continue-on-failure", "--no-shrink", *options),
    ]
    environ = {**os.environ, "FUZZ_URL": url, "SCHEMATHESIS_HOOKS": str(Path(__file__).resolve())}
    return subprocess.run(command, env=environ, check=False, stdin=subprocess.DEVNULL).returncode


def main(options: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="muster-fuzz-") as folder, serving(Path(folder)) as url:
        return fuzz(url, *options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
