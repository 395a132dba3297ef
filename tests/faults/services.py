"""A PostgreSQL, a Redis and a mail server of one's own, which can be stopped, frozen, filled and begun again."""

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import psycopg
import redis
from aiosmtpd.controller import Controller

from scripts import services
from tests.serving import free_port

OWNER, APP = "muster", "app"
MOST_CONNECTIONS = 120


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for each in found:
        with suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def send_signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


class Daemon:
    """One server process, on one port for all its lives."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir()

    def begin(self, arguments: list[Any], answers: Callable[[], bool], **who: Any) -> None:
        log = self.folder / "log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **who
            )
        services.wait_for(answers, self.process, log)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP: connections stay open, and nobody answers on them."""
        assert self.process
        pids = family(self.process.pid)
        send_signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            send_signal(pids, signal.SIGCONT)


class Postgresql(Daemon):
    """As Debian ships it, syncing and all, since what was acknowledged must survive a crash."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        programs = services.postgresql_folder()
        if not programs:
            services.refuse("not installed: postgresql")
        self.programs, self.who = programs, services.unprivileged()
        self.connections: dict[str, psycopg.Connection[Any]] = {}
        if self.who:
            os.chown(folder, self.who["user"], self.who["group"])
        initdb = [self.programs / "initdb", "-D", folder / "data", "-U", OWNER, "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run([*initdb, "--locale=C.UTF-8"], check=True, capture_output=True, cwd=folder, **self.who)
        self.start()
        self.sql(f"CREATE ROLE {APP} LOGIN", database="postgres")

    def start(self) -> None:
        self.connections.clear()
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "max_connections": MOST_CONNECTIONS,
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        program = [self.programs / "postgres", "-D", self.folder / "data", *arguments]
        self.begin(program, self.answers, cwd=self.folder, **self.who)

    def answers(self) -> bool:
        with suppress(psycopg.Error), psycopg.connect(self.dsn("postgres"), connect_timeout=2):
            return True
        return False

    def dsn(self, database: str = "muster", role: str = OWNER) -> str:
        return f"postgres://{role}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, *values: Any, database: str = "muster") -> list[Any]:
        """On a connection that is kept, and made anew when the server has been away."""
        known = self.connections.get(database)
        if known is None or known.closed:
            known = self.connections[database] = psycopg.connect(self.dsn(database), autocommit=True)
        try:
            cursor = known.execute(statement, values or None)
        except psycopg.OperationalError:
            known.close()
            raise
        return cursor.fetchall() if cursor.description else []

    def make(self, database: str) -> str:
        self.sql(f"CREATE DATABASE {database} OWNER {APP}", database="postgres")
        return self.dsn(database, APP)

    def backends(self) -> list[int]:
        """Those of the service."""
        return [
            pid
            for (pid,) in self.sql("SELECT pid FROM pg_stat_activity WHERE usename = %s AND datname = 'muster'", APP)
        ]

    def cut_connections(self) -> None:
        self.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND datname = 'muster'", APP
        )


class Redis(Daemon):
    """As docker-compose.yml has it: append-only, and never evicting."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.program = services.redis_program()
        if not self.program:
            services.refuse("not installed: redis-server")
        self.start()

    def start(self) -> None:
        options = ["--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"]
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        self.begin([self.program, *where, *options], lambda: services.is_pong(self.port))
        wait_until(lambda: self.client().ping(), 10)

    def url(self, number: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{number}"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url(), socket_timeout=5, decode_responses=True)


class MailServer:
    """SMTP that does as `mode` says: take, refuse, refuse_for_now, hang, drop (the connection, instead of an
    answer to the mail), hold (take it, and say so only after 3 s)."""

    def __init__(self) -> None:
        self.mode = "take"
        self.held = threading.Event()
        self.taken: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        self.texts: dict[str, str] = {}
        self.port = free_port()
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self.controller.start()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.mode == "refuse_for_now":
            return "451 4.3.0 Try again later"
        if self.mode == "refuse":
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        [recipient] = envelope.rcpt_tos
        self.begun[recipient] += 1
        if self.mode == "hang":
            await asyncio.sleep(60)
        if self.mode == "drop":
            server.transport.abort()
        if self.mode in ("take", "hold"):
            message = message_from_bytes(envelope.content, policy=policy.default)
            self.texts[recipient] = message.get_body(("plain",)).get_content()
            self.taken[recipient] += 1
        if self.mode == "hold":
            self.held.set()
            await asyncio.sleep(3)
        return "250 OK"

    def stop(self) -> None:
        self.controller.stop()


def wait_until(is_so: Callable[[], Any], seconds: float, pause: float = 0.1) -> float | None:
    """How long it took, or None when it did not come to pass."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        with suppress(Exception):
            if is_so():
                return time.monotonic() - begun
        time.sleep(pause)
    return None
