"""`./run bench`: what a request costs here and at peers, in one interleaved run, and docs/performance.md of it.

  --quick   two peers, short rounds: at most ten minutes
  --check   me, refresh and list against djoser only; fails when one costs more than djoser's divided by 2, 5 and 3

Everything listens on loopback; what was started is ended by its process id, also after an error.
"""

import contextlib
import json
import os
import platform
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from bench import measure, report
from bench.load import Load, generate
from bench.subjects import ALL, MUSTER, ROOT, Subject, hash_of_all

CONNECTIONS = 8
VENVS = ROOT / "var" / "bench"
LIMITS = {"me": 2.0, "refresh": 5.0, "list": 3.0}  # of --check


@dataclass
class Plan:
    users: int = 100_000
    rounds: int = 5
    seconds: float = 5.0
    names: tuple[str, ...] = tuple(ALL)
    operations: tuple[str, ...] = tuple(MUSTER.operations)


PLANS = {
    "--quick": Plan(rounds=3, seconds=2.0),
    "--check": Plan(users=20_000, rounds=3, seconds=3.0, names=("muster", "djoser"), operations=tuple(LIMITS)),
}


@dataclass
class Sample:
    server: float
    stores: float
    rate: float
    p50: float
    p99: float

    @property
    def cpu(self) -> float:
        return self.server + self.stores


@dataclass
class Running:
    subject: Subject
    process: subprocess.Popen[bytes]
    port: int
    start_seconds: float
    pairs: list[Any] = field(default_factory=list)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    memory: float = 0.0
    me_p99: dict[str, float] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def scripts(self, operation: str) -> list[Any]:
        make = self.subject.operations[operation]
        return [make(self.host, pair, self.pairs[0]) for pair in self.pairs]


class Bench:
    def __init__(self, plan: Plan, database_url: str, redis_url: str) -> None:
        self.plan, self.database_url, self.redis_url = plan, database_url, redis_url
        with psycopg.connect(database_url) as connection:
            [backend] = connection.execute("SELECT pg_backend_pid()").fetchone() or [0]
            self.stores = [int(measure.stat(backend)[1])]
        port = urlsplit(redis_url).port or 0
        self.stores.append(redis_pid(port))
        self.steps, self.done = len(plan.names) * (2 + plan.rounds * len(plan.operations)), 0

    def step(self, what: str) -> None:
        """The progress bar, on a terminal's stderr one line that changes."""
        self.done += 1
        filled = min(30, 30 * self.done // self.steps)
        print(f"\r[{'#' * filled}{' ' * (30 - filled)}] {what:<40}", end="", file=sys.stderr, flush=True)

    def prepare(self, subject: Subject) -> str:
        """Its packages, and a database with its users; the URL of that."""
        self.step(f"{subject.name}: packages and {self.plan.users:,} users")
        subject.install(VENVS)
        name = f"bench_{subject.name.replace('-', '_')}"
        with psycopg.connect(self.database_url, autocommit=True) as server:
            server.execute(f"CREATE DATABASE {name}")
        url = urlsplit(self.database_url)._replace(path=f"/{name}").geturl()
        self.run(subject, subject.migrate, url)
        django, bare = (f"'{value}'" for value in hash_of_all())
        fill = subject.fill.replace("{hash}", django).replace("{bare}", bare).replace("{users}", str(self.plan.users))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(fill)
            connection.execute("VACUUM ANALYZE")
        return url

    def environment(self, subject: Subject, url: str, port: int) -> dict[str, str]:
        ours = {
            "SECRET_KEY": secrets.token_hex(32),
            "REDIS_URL": self.redis_url,
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "ACCESS_TOKEN_SECONDS": "3600",
        }
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "LC_ALL")}
        return {**kept, "DATABASE_URL": url, **(ours if subject is MUSTER else {}), **subject.environment}

    def run(self, subject: Subject, arguments: list[str], url: str) -> None:
        command = [subject.python(VENVS), *arguments]
        subprocess.run(command, cwd=subject.folder, env=self.environment(subject, url, 8000), check=True)

    @contextlib.contextmanager
    def serving(self, subject: Subject, url: str) -> Iterator[Running]:
        port, log = free_port(), VENVS / f"{subject.name}.log"
        command = [subject.python(VENVS), *subject.serve(port)]
        started = time.perf_counter()
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=subject.folder,
                env=self.environment(subject, url, port),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            wait_for(port, process, log)
            yield Running(subject, process, port, time.perf_counter() - started)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()

    def log_everyone_in(self, one: Running) -> None:
        self.step(f"{one.subject.name}: log in")
        for number in range(1, CONNECTIONS + 1):
            one.pairs.append({**logged_in(one, number), "number": number})

    def sample(self, one: Running, operation: str) -> Sample:
        before = self.cpu(one)
        scripts = one.scripts(operation)
        if operation == "log-in":  # as many at once as are hashed at once: a longer queue would be turned away
            scripts = scripts[:4]
        load = generate(one.port, scripts, self.plan.seconds)
        server, stores = (
            (after - earlier) * 1000 / load.requests for after, earlier in zip(self.cpu(one), before, strict=True)
        )
        return Sample(server, stores, load.requests / load.seconds, load.percentile(0.5), load.percentile(0.99))

    def cpu(self, one: Running) -> tuple[float, float]:
        return measure.cpu_seconds(one.process.pid), sum(measure.cpu_seconds(pid) for pid in self.stores)

    def rounds(self, everyone: list[Running]) -> None:
        for operation in self.plan.operations:
            able = [one for one in everyone if operation in one.subject.operations]
            for one in able:  # what is cached is cached
                generate(one.port, one.scripts(operation)[:4], 0.5)
            for number in range(self.plan.rounds):
                for one in able:
                    self.step(f"{operation} at {one.subject.name}, round {number + 1}")
                    one.samples.setdefault(operation, []).append(self.sample(one, operation))

    def me_beside_log_ins(self, one: Running) -> None:
        """The p99 of `me` over two connections, alone and while eight others log in."""
        alone = generate(one.port, one.scripts("me")[:2], self.plan.seconds)
        both, me = Load(), one.scripts("me")[:2]
        generate(one.port, one.scripts("log-in"), self.plan.seconds, beside=(me, both))
        one.me_p99 = {"alone": alone.percentile(0.99), "while others log in": both.percentile(0.99)}


def logged_in(one: Running, number: int) -> dict[str, Any]:
    got: list[bytes] = []

    def script() -> Any:
        status, body = yield one.subject.log_in(one.host, number)
        if status != 200:
            raise SystemExit(f"bench: {one.subject.name} answers a log-in with {status}: {body[:300]!r}")
        got.append(body)

    generate(one.port, [script()], 30)
    return dict(json.loads(got[0]))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def redis_pid(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"INFO server\r\n")
        lines = connection.recv(65536).decode().splitlines()
    return int(next(line for line in lines if line.startswith("process_id:")).partition(":")[2])


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


def failures(everyone: list[Running]) -> list[str]:
    """Of --check: what costs more than it may."""
    ours, djoser = everyone
    found = []
    for operation, ratio in LIMITS.items():
        mine, theirs = (statistics.median(s.cpu for s in one.samples[operation]) for one in (ours, djoser))
        verdict = f"{operation}: {mine:.2f} ms, djoser {theirs:.2f} ms, allowed {theirs / ratio:.2f} ms"
        print(verdict)
        if mine > theirs / ratio:
            found.append(verdict)
    return found


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--quick"], ["--check"]):
        print(__doc__)
        return 2
    plan = PLANS[arguments[0]] if arguments else Plan()
    VENVS.mkdir(parents=True, exist_ok=True)
    bench = Bench(plan, os.environ["DATABASE_URL"], os.environ["REDIS_URL"])
    subjects = [ALL[name] for name in plan.names]
    with contextlib.ExitStack() as stack:
        everyone = [stack.enter_context(bench.serving(subject, bench.prepare(subject))) for subject in subjects]
        for one in everyone:
            bench.log_everyone_in(one)
        bench.rounds(everyone)
        for one in everyone:
            one.memory = measure.pss_mib(one.process.pid)
            if arguments != ["--check"]:
                bench.me_beside_log_ins(one)
    print(file=sys.stderr)
    if arguments == ["--check"]:
        found = failures(everyone)
        print(*(f"bench: too much: {line}" for line in found), sep="\n")
        return 1 if found else 0
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, PostgreSQL {postgresql_version()}"
    report.write(ROOT / "docs", everyone, plan, machine)
    return 0


def postgresql_version() -> str:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        return str((connection.execute("SHOW server_version").fetchone() or [""])[0]).split()[0]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
