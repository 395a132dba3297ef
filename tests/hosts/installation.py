"""Muster on two hosts: two servers on addresses of their own, two workers and a beat, over PgBouncer in transaction
mode, a primary with a streaming replica, and Redis. All of it real, on this machine, and gone afterwards."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from aiosmtpd.controller import Controller

from accounts.models import JUST
from scripts import services
from tests.hosts.client import Caller
from tests.sent_mails import SentMails, eventually

ROOT = Path(__file__).resolve().parent.parent.parent
ADMIN, PASSWORD = "admin@example.org", "Correct-horse-9"
ADDRESSES = ("127.0.0.1", "127.0.0.2")
OLDEST = 5  # seconds that the replica may be behind


def servers() -> dict[str, Any]:
    return {
        "postgresql": services.postgresql_folder(),
        "redis-server": services.redis_program(),
        "pgbouncer": services.pgbouncer_program(),
    }


class Replica:
    """A server that can be paused, hung, killed and started again."""

    def __init__(self, programs: Path, folder: Path, primary_url: str) -> None:
        self.programs, self.folder, self.port = programs, folder, services.free_port()
        self.url = f"postgres://{services.ROLE}@127.0.0.1:{self.port}/{services.ROLE}"
        services.copy_primary(programs, folder, primary_url)
        self.running: ExitStack | None = None
        self.server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.running = ExitStack()
        self.server = self.running.enter_context(services.started(self.programs, self.folder, self.port))

    def stop(self) -> None:
        if self.running:
            self.running.close()

    def processes(self) -> list[int]:
        """The server and its children, which lead groups of their own."""
        assert self.server
        pid = self.server.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def signal(self, number: int) -> None:
        for pid in self.processes():
            os.kill(pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.stop()

    def ask(self, question: str) -> Any:
        with psycopg.connect(self.url, autocommit=True) as connection:
            done = connection.execute(question)
            return done.fetchone() if done.description else None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It answers, and learns nothing new."""
        self.ask("SELECT pg_wal_replay_pause()")
        eventually(lambda: self.ask("SELECT pg_get_wal_replay_pause_state() = 'paused'") == (True,))
        try:
            yield
        finally:
            self.ask("SELECT pg_wal_replay_resume()")

    @contextmanager
    def hung(self) -> Iterator[None]:
        """It takes connections, as the kernel does for it, and never answers."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)


class Installation:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        found = servers()
        programs = found["postgresql"]
        self.primary_url: str = stack.enter_context(services.postgresql(programs, folder))
        redis_url = stack.enter_context(services.redis(found["redis-server"], folder))
        self.replica = Replica(programs, folder / "replica", self.primary_url)
        self.replica.start()
        stack.callback(self.replica.stop)
        pooled = stack.enter_context(services.pgbouncer(programs, found["pgbouncer"], folder, self.primary_url))
        # Far from UTC, so that a session variable lost between two transactions would show.
        self.on_primary(f"ALTER ROLE {services.ROLE} SET timezone = 'Asia/Kathmandu'")
        self.pgbouncer_port = urlsplit(pooled).port
        self.mailbox = SentMails()
        smtp = Controller(self.mailbox, hostname="127.0.0.1", port=services.free_port())
        smtp.start()
        stack.callback(smtp.stop)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("SECRET_KEY_FILE", "PUBLIC_URL")},
            "SECRET_KEY": "".join(f"{n:x}-long-enough-" for n in range(8)),
            "DEBUG": "false",
            "ACCESS_TOKEN_SECONDS": "3600",
            "RATE_LIMITS": "off",
            "PASSWORD_HASHER": "argon2",  # the quicker, on machines that do other things as well
            "EMAIL_URL": f"smtp://127.0.0.1:{smtp.port}",
            "DATABASE_URL": pooled,
            "DATABASE_POOLED": "true",
            "DATABASE_REPLICA_URL": self.replica.url,
            "REDIS_URL": redis_url,
            "PUBLIC_URL": "http://127.0.0.1",
            "DJANGO_SUPERUSER_EMAIL": ADMIN,
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        }
        self.hosts = [Caller(address, services.free_port()) for address in ADDRESSES]
        self.here, self.there = self.hosts

    def on_primary(self, statement: str) -> Any:
        with psycopg.connect(self.primary_url, autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else None

    def manage(self, *arguments: str, environment: Any = None) -> subprocess.CompletedProcess[str]:
        command, env = [sys.executable, "manage.py", *arguments], environment or self.environment
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)

    def begin(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        self.stack.callback(process.wait, 45)
        self.stack.callback(process.terminate)

    def start(self) -> None:
        migrated = self.manage("migrate", "-v0")
        assert migrated.returncode == 0, migrated.stderr
        made = self.manage("createsuperuser", "--noinput")
        assert made.returncode == 0, made.stderr
        for number, host in enumerate(self.hosts):
            self.begin(f"web{number}", "manage.py", "serve", "--host", host.address, "--port", str(host.port))
            self.begin(f"worker{number}", *self.celery("worker", "--pool", "threads", "--concurrency", "2"))
        self.begin("beat", *self.celery("beat", "--schedule", str(self.folder / "beat")))
        for host in self.hosts:
            eventually(lambda host=host: is_ready(host), seconds=60)

    def celery(self, *arguments: str) -> list[str]:
        return ["-m", "celery", "-A", "config", *arguments, "--loglevel", "INFO"]

    def sign_up(self, email: str, host: Caller | None = None) -> Caller:
        """A new person, signed in."""
        host = host or self.here
        assert host.post("/auth/signup", {"email": email, "password": PASSWORD}).status == 202
        code = self.mailbox.code_for(email)
        assert host.post("/auth/verify", {"email": email, "code": code}).status == 200
        return host.signed_in(email, PASSWORD)

    def patient_reader(self) -> Caller:
        reader = self.sign_up("reader@example.org")
        admin = self.here.signed_in(ADMIN, PASSWORD)
        assert admin.post(f"/users/{reader.user_id}/roles", {"role": "admin"}).status == 201
        time.sleep(JUST.total_seconds() + 1)
        return reader

    def until_the_replica_answers(self, reader: Caller) -> None:
        """At both hosts, so often that each of their processes has."""
        for host in self.hosts:
            eventually(lambda host=host: all(pages(host, reader) == {"replica"} for _ in range(5)))

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


def pages(host: Caller, reader: Caller) -> set[str]:
    """Which servers gave the next few pages of lists there."""
    before = counted(host)
    for _ in range(4):
        reader.at(host).emails()
    after = counted(host)
    return {server for server in after if after[server] > before.get(server, 0)}


def counted(host: Caller) -> dict[str, float]:
    text = urllib.request.urlopen(f"http://{host.address}:{host.port}/metrics", timeout=10).read().decode()
    found = re.findall(r'^muster_list_pages_total\{server="(\w+)"\} ([\d.e+]+)$', text, re.MULTILINE)
    return {server: float(number) for server, number in found}


def is_ready(host: Caller) -> bool:
    try:
        return host.get("/readyz").status == 200
    except OSError:
        return False


@contextmanager
def installed() -> Iterator[Installation]:
    # Not pytest's own folder, which the user who runs PostgreSQL may not enter.
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="muster-hosts-")))
        installation = Installation(folder, stack)
        installation.start()
        yield installation
