"""The whole of Muster as it runs in production: server, worker and beat as processes of their own."""

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.faults.services import MailServer, Postgresql, Redis, family, send_signal, wait_until
from tests.serving import ROOT, UNSET, free_port

ADMIN, PASSWORD = "admin@example.org", "Correct-horse-9"
WORKERS = 2
STARTING = 60  # seconds


class Server:
    """`manage.py serve` with two worker processes."""

    def __init__(self, folder: Path, environment: dict[str, str], prefix: tuple[str, ...] = (), **streams: Any) -> None:
        self.port, self.log = free_port(), folder / f"serve-{secrets.token_hex(3)}.log"
        self.environment, self.prefix, self.streams = environment, prefix, streams
        self.start()

    def start(self) -> None:
        serve = [sys.executable, "manage.py", "serve", "--port", str(self.port), "--workers", str(WORKERS)]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*self.prefix, *serve],
                cwd=ROOT,
                env=self.environment,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                **{"stdout": out, "stderr": out, **self.streams},
            )
        if wait_until(self.answers, STARTING) is None:
            raise RuntimeError(f"serve did not start: {self.log.read_text(errors='replace')[-2000:]}")

    def answers(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)

    def workers(self) -> list[int]:
        """The processes that take requests."""
        mine = [pid for pid in family(self.process.pid) if pid != self.process.pid]
        return [pid for pid in mine if name_of(pid) == "web"]

    def memory(self, kind: str = "Pss") -> float:
        """MiB that all its processes hold, what they share counted once (PSS). `Pss_Anon` leaves files out, whose
        share changes with who else on this machine has them open."""
        kilobytes = 0
        for pid in family(self.process.pid):
            with suppress(OSError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                kilobytes += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(f"{kind}:"))
        return kilobytes / 1024

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(45)
        except subprocess.TimeoutExpired:
            send_signal(family(self.process.pid), signal.SIGKILL)
            return self.process.wait()


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


class System:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgresql = Postgresql(folder / "postgresql")
        self.redis = Redis(folder / "redis")
        self.mail = MailServer()
        self.servers: list[Server] = []
        self.celery: dict[str, subprocess.Popen[bytes]] = {}
        self.secret_key = secrets.token_hex(32)
        self.database_url = self.postgresql.make("muster")

    def environment(self, **more: str) -> dict[str, str]:
        """More than one address calls from here, so X-Forwarded-For counts, as behind a proxy."""
        return {
            **{name: value for name, value in os.environ.items() if name not in UNSET},
            "SECRET_KEY": self.secret_key,
            "PUBLIC_URL": "http://127.0.0.1:8000",
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis.url(),
            "EMAIL_URL": f"smtp://127.0.0.1:{self.mail.port}",
            "TRUSTED_PROXIES": "1",
            "PASSWORD_HASHER": "argon2",
            "ACCESS_TOKEN_SECONDS": "3600",
            "RATE_LIMITS": "on",
            "LOG_FORMAT": "json",
            "DJANGO_SUPERUSER_EMAIL": ADMIN,
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            **more,
        }

    def start(self) -> None:
        self.prepare(self.environment())
        self.server = self.serve()
        for name in ("worker", "beat"):
            self.begin_celery(name)

    def prepare(self, environment: dict[str, str]) -> None:
        self.manage("migrate", "-v", "0", environment=environment)
        self.manage("createsuperuser", "--noinput", environment=environment)

    def manage(self, *arguments: str, environment: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment or self.environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {arguments[0]}: {done.stderr[-2000:]}")
        return done.stdout

    def serve(self, *prefix: str, **more: Any) -> Server:
        streams = {name: more.pop(name) for name in ("stdout", "stderr") if name in more}
        server = Server(self.folder, self.environment(**more), prefix, **streams)
        self.servers.append(server)
        return server

    def begin_celery(self, name: str) -> None:
        options = {"worker": ["--concurrency", "2"], "beat": ["--schedule", str(self.folder / "beat")]}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.celery[name] = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "config", name, *options[name], "--loglevel", "INFO"],
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill_worker(self) -> None:
        worker = self.celery["worker"]
        send_signal(family(worker.pid), signal.SIGKILL)
        worker.wait()

    def stop(self) -> None:
        for server in self.servers:
            if server.process.poll() is None:
                server.process.terminate()
        for process in self.celery.values():
            process.terminate()
        for server in self.servers:
            server.stop()
        for process in self.celery.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                send_signal(family(process.pid), signal.SIGKILL)
        self.mail.stop()
        self.redis.stop()
        self.postgresql.stop(signal.SIGINT)


def drain_time(server: Server) -> float:
    """Seconds from SIGTERM to the end."""
    begun = time.monotonic()
    server.stop()
    return time.monotonic() - begun
