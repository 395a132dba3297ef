"""A real `manage.py serve` over a database of its own, for tests that need sockets."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNSET = ("DATABASE_URL", "REDIS_URL", "PUBLIC_URL", "SECRET_KEY_FILE", "DEBUG", "MUSTER_TEST_DATABASE")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def settings_for(folder: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name not in UNSET},
        "SECRET_KEY": "".join(f"{n:x}-long-enough-" for n in range(8)),
        "DATABASE_URL": f"sqlite:///{folder / 'serve.sqlite3'}",
        "EMAIL_URL": f"filemail:///{folder / 'mail'}",
        "RATE_LIMITS": "off",
        "LOG_FORMAT": "json",
    }


@dataclass
class Server:
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 90
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/readyz", timeout=5).read()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(self.log.read_text()[-3000:])

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@contextmanager
def serving(
    folder: Path,
    *options: str,
    command: tuple[str, ...] = ("manage.py", "serve"),
    ready: bool = True,
    port: int = 0,
    **settings: str,
) -> Iterator[Server]:
    """`command` is what Python runs; the port, a free one unless it is given, and `options` follow it."""
    environment = {**settings_for(folder), **settings}
    port, log = port or free_port(), folder / "serve.log"
    subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=environment, check=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port), *options],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(port, process, log)
    try:
        if ready:
            server.wait_until_ready()
        yield server
    finally:
        server.stop()
