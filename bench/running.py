"""One interleaved run: fills, starts and loads subjects, reads what that cost, and ends what it started."""

import contextlib
import math
import os
import platform
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from bench import measure
from bench.load import Load, generate
from bench.results import Measured, Run, Sample
from bench.subjects import HASHING, ROOT, Size, Subject, parsed

CONNECTIONS = 8
HASHED_AT_ONCE = 4
STARTS = 3
PATIENCE = 10
VENVS = ROOT / "var" / "bench"


@dataclass(frozen=True)
class Plan:
    """`is_whole`: memory, start-up and `me` beside log-ins are measured as well."""

    name: str
    entrants: tuple[tuple[Subject, Size], ...]
    operations: tuple[str, ...]
    rounds: int
    seconds: float
    is_whole: bool = False


@dataclass
class Server:
    """One subject that runs, and the answers to the log-ins of those who ask it."""

    subject: Subject
    process: subprocess.Popen[bytes]
    port: int
    measured: Measured
    admin: dict[str, Any] = field(default_factory=dict)
    pairs: list[dict[str, Any]] = field(default_factory=lambda: [{} for _ in range(CONNECTIONS)])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def scripts(self, operation: str) -> list[Any]:
        make = self.subject.operations[operation]
        made = [make(self.host, pair, self.admin) for pair in self.pairs]
        return made[:HASHED_AT_ONCE] if operation in HASHING else made  # a longer queue would be turned away

    def ask(self, data: bytes) -> dict[str, Any]:
        """Of somebody who is patient: while a million users come into memory, some answers take too long."""
        got: list[bytes] = []

        def script() -> Any:
            for _ in range(PATIENCE):
                status, body = yield data
                if status == 200:
                    return got.append(body)
            raise SystemExit(f"bench: {self.measured.name} answers {status}: {body[:300]!r}")

        generate(self.port, [script()], 120)
        return parsed(got[0])


class Bench:
    def __init__(self, plan: Plan, database_url: str, redis_url: str) -> None:
        self.plan, self.database_url, self.redis_url = plan, database_url, redis_url
        self.empty: dict[tuple[str, ...], str] = {}
        self.stores = [postmaster(database_url), redis_pid(urlsplit(redis_url).port or 0)]
        asked = sum(operation in subject.operations for subject, _ in plan.entrants for operation in plan.operations)
        self.steps = len(plan.entrants) * (2 + plan.rounds * plan.is_whole) + plan.rounds * asked
        self.done = 0

    def run(self) -> Run:
        plan = self.plan
        with contextlib.ExitStack() as stack:
            everyone = [stack.enter_context(self.entered(*entrant)) for entrant in plan.entrants]
            for one in everyone:
                self.log_in(one)
            self.rounds(everyone)
            for one in everyone:
                one.measured.memory = measure.pss_mib(one.process.pid)
        print(file=sys.stderr)
        measured = [one.measured for one in everyone]
        return Run(machine(self.database_url), CONNECTIONS, plan.rounds, plan.seconds, measured)

    def step(self, what: str) -> None:
        """The progress bar: one line that changes on a terminal, a line a step elsewhere."""
        self.done += 1
        filled = 30 * self.done // self.steps
        start, end = ("\r", "\033[K") if sys.stderr.isatty() else ("", "\n")
        bar = f"{start}{self.plan.name} [{'#' * filled}{' ' * (30 - filled)}] {what}"
        print(bar, end=end, file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def entered(self, subject: Subject, size: Size) -> Iterator[Server]:
        """With its packages, a database of its own with so many users, and its server."""
        self.step(f"{subject.name}: packages and {size.users:,} users")
        VENVS.mkdir(parents=True, exist_ok=True)
        subject.install(VENVS)
        url = self.filled(subject, size)
        starts = []
        for _ in range(STARTS - 1 if self.plan.is_whole else 0):
            with self.serving(subject, url, size) as one:
                starts += one.measured.start_seconds
        with self.serving(subject, url, size) as one:
            one.measured.start_seconds += starts
            yield one

    def filled(self, subject: Subject, size: Size) -> str:
        """The URL of a new database. It is not vacuumed later, when that would be counted at somebody else."""
        url = self.copied(self.migrated(subject))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET autovacuum = off")
            connection.execute("SELECT pg_reload_conf()")
            fill(connection, subject.sql(size))
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
        return url

    def migrated(self, subject: Subject) -> str:
        """The URL of the empty database of everybody who has such tables."""
        key = (subject.packages, *subject.migrate)
        if key not in self.empty:
            url = self.copied(None)
            command = [subject.python(VENVS), *subject.migrate]
            subprocess.run(command, cwd=subject.folder, env=self.environment(subject, url, 8000), check=True)
            self.empty[key] = url
        return self.empty[key]

    def copied(self, url: str | None) -> str:
        name = f"bench_{secrets.token_hex(4)}"
        template = urlsplit(url).path[1:] if url else "template1"
        with psycopg.connect(self.database_url, autocommit=True) as server:
            server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return urlsplit(self.database_url)._replace(path=f"/{name}").geturl()

    def environment(self, subject: Subject, url: str, port: int) -> dict[str, str]:
        ours = {
            "SECRET_KEY": secrets.token_hex(32),
            "REDIS_URL": self.redis_url,
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "ACCESS_TOKEN_SECONDS": "3600",
        }
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "LC_ALL")}
        return {**kept, "DATABASE_URL": url, **(ours if subject.is_ours else {}), **subject.environment}

    @contextlib.contextmanager
    def serving(self, subject: Subject, url: str, size: Size) -> Iterator[Server]:
        port, log = free_port(), VENVS / f"{subject.name.replace(' ', '-')}.log"
        started = time.perf_counter()
        with log.open("wb") as out:
            process = subprocess.Popen(
                [subject.python(VENVS), *subject.serve(port)],
                cwd=subject.folder,
                env=self.environment(subject, url, port),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            wait_for(port, process, log)
            measured = Measured(subject.name, subject.versions(), size)
            measured.start_seconds.append(time.perf_counter() - started)
            yield Server(subject, process, port, measured)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with contextlib.suppress(ProcessLookupError):  # a worker of granian's that stayed behind
                os.killpg(process.pid, signal.SIGKILL)

    def log_in(self, one: Server) -> None:
        self.step(f"{one.measured.name}: log in")
        log_in = one.subject.log_in
        if log_in is None:
            return
        one.admin = one.ask(log_in(one.host, 1))
        one.pairs = [{**one.ask(log_in(one.host, n)), "number": n} for n in range(2, 2 + CONNECTIONS)]
        if one.subject.find_deep_page and "list, deep" in one.subject.operations:
            one.admin["deep page"] = one.subject.find_deep_page(one.ask, one.host, one.admin, one.measured.size)

    def rounds(self, everyone: list[Server]) -> None:
        """Every subject in turn for each operation, and that several times: what disturbs one disturbs all."""
        for operation in self.plan.operations:
            for one in able(everyone, operation):  # what is cached is cached
                generate(one.port, one.scripts(operation), 0.5)
        for number in range(1, self.plan.rounds + 1):
            for operation in self.plan.operations:
                for one in able(everyone, operation):
                    self.step(f"round {number}: {operation} at {one.measured.name}")
                    one.measured.samples.setdefault(operation, []).append(self.sample(one, operation))
            for one in able(everyone, "me") if self.plan.is_whole else ():
                self.step(f"round {number}: me beside log-ins at {one.measured.name}")
                self.me_beside_log_ins(one)

    def sample(self, one: Server, operation: str) -> Sample:
        before = self.cpu(one)
        load = generate(one.port, one.scripts(operation), self.plan.seconds)
        if not load.requests:
            return Sample(math.inf, 0.0, 0.0, math.inf, math.inf, load.turned_away)
        server, stores = (
            (after - earlier) * 1000 / load.requests for after, earlier in zip(self.cpu(one), before, strict=True)
        )
        rate = load.requests / load.seconds
        return Sample(server, stores, rate, load.percentile(0.5), load.percentile(0.99), load.turned_away)

    def cpu(self, one: Server) -> tuple[float, float]:
        return measure.cpu_seconds(one.process.pid), sum(measure.cpu_seconds(pid) for pid in self.stores)

    def me_beside_log_ins(self, one: Server) -> None:
        """The p99 of `me` over two connections, alone and while eight others log in."""
        alone, both = generate(one.port, one.scripts("me")[:2], self.plan.seconds), Load()
        make = one.subject.operations["log-in"]
        log_ins = [make(one.host, pair, one.admin) for pair in one.pairs]
        generate(one.port, log_ins, self.plan.seconds, beside=(one.scripts("me")[:2], both))
        one.measured.me_p99_alone.append(alone.percentile(0.99))
        one.measured.me_p99_beside.append(both.percentile(0.99))


def fill(connection: psycopg.Connection[Any], sql: str) -> None:
    """Indexes are made anew at the end, and foreign keys not looked up, or a million users take ten minutes."""
    connection.execute("SET session_replication_role = replica")
    connection.execute("SET maintenance_work_mem = '512MB'")
    found = connection.execute(
        "SELECT i.indexname, i.indexdef FROM pg_indexes i WHERE i.schemaname = 'public'"
        " AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conname = i.indexname)"
    ).fetchall()
    for name, _ in found:
        connection.execute(f'DROP INDEX "{name}"')
    connection.execute(sql)
    for _, definition in found:
        connection.execute(definition)


def sized(subject: Subject, size: Size) -> tuple[Subject, Size]:
    """An entrant who is named after its size."""
    return replace(subject, name=f"{size.users} users, {size.sessions} sessions, {size.roles} roles"), size


def able(everyone: list[Server], operation: str) -> list[Server]:
    return [one for one in everyone if operation in one.subject.operations]


def machine(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        [version] = connection.execute("SHOW server_version").fetchone() or [""]
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, PostgreSQL {str(version).split()[0]}"


def postmaster(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        [backend] = connection.execute("SELECT pg_backend_pid()").fetchone() or [0]
        return int(measure.stat(backend)[1])


def redis_pid(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"INFO server\r\n")
        lines = connection.recv(65536).decode().splitlines()
    return int(next(line for line in lines if line.startswith("process_id:")).partition(":")[2])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it answers anything at all."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            if connection.recv(16).startswith(b"HTTP/1.1"):
                return
        time.sleep(0.02)
    raise SystemExit(f"bench: it does not start. {log.read_text(errors='replace')[-2000:]}")
