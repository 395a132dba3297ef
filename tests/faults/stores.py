"""Databases and Redis: stopped, frozen, locked, exhausted, emptied, full."""

import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.client import Client
from tests.faults.run import Run, Skipped, fault
from tests.faults.services import APP, wait_until
from tests.faults.system import PASSWORD

CROWD = 40  # readers beside the six who write, more than there are threads


@fault("F1", "Database stopped", "SIGQUIT to PostgreSQL under load (no clean shutdown), started again after 6 s")
def database_stopped(run: Run) -> None:
    database = run.system.postgresql
    client, body = run.log_in(run.new_person())
    with run.load(), run.fault(away="database"):
        database.stop(signal.SIGQUIT)
        run.calm(1)
        refused = [client.get("/users/me"), client.post("/auth/refresh", {"refresh": body["refresh"]})]
        run.check({a.status for a in refused} == {503}, "a token alone let somebody in")
        run.check(all(int(a.headers["retry-after"]) <= 2 for a in refused), "Retry-After is over 2 s")
        run.calm(5)
        database.start()


@fault("F2", "Database locked", "`LOCK TABLE users` for 12 s under load of 46 callers", short=False)
def database_locked(run: Run) -> None:
    with run.load(readers=CROWD), run.fault(), psycopg.connect(run.system.postgresql.dsn()) as locker:
        locker.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        run.calm(12)


@fault("F2b", "Database frozen", "SIGSTOP to every PostgreSQL process for 15 s under load of 46 callers")
def database_frozen(run: Run) -> None:
    with run.load(readers=CROWD), run.fault(away="database"), run.system.postgresql.frozen():
        run.calm(15)


@fault(
    "F3", "Connections cut", "`pg_terminate_backend` for all connections, every 0.2 s for 8 s, under load", short=False
)
def connections_cut(run: Run) -> None:
    with run.load(), run.fault():
        end = time.monotonic() + 8
        while time.monotonic() < end:
            run.system.postgresql.cut_connections()
            run.calm(0.2)


@fault(
    "F4",
    "Database connections exhausted",
    "all of max_connections taken by others, 1,000 requests meanwhile",
    short=False,
)
def connections_exhausted(run: Run) -> None:
    database = run.system.postgresql
    person = run.new_person()
    client, _ = run.log_in(person)
    others: list[Any] = []
    with run.load():
        with run.fault(away="database"):
            end = time.monotonic() + 10
            while time.monotonic() < end:
                with suppress(psycopg.OperationalError):
                    others.append(psycopg.connect(database.dsn("postgres", APP), connect_timeout=2))
                    continue
                break
            database.cut_connections()
            refill(database, others)
            statuses = [client.get("/users/me").status for _ in range(1000)]
            run.check(statuses.count(503) > 500, f"only {statuses.count(503)} of 1,000 met the exhaustion")
            for other in others:
                other.close()
        run.calm(1)
    run.check(len(database.backends()) <= 16 + 8, f"{len(database.backends())} connections are left open")


def refill(database: Any, others: list[Any]) -> None:
    """Take what the service had, until nobody is let in."""
    refused = 0
    while refused < 5:
        try:
            others.append(psycopg.connect(database.dsn("postgres", APP), connect_timeout=2))
            refused = 0
        except psycopg.OperationalError:
            refused += 1
            time.sleep(0.1)


# --- Redis -------------------------------------------------------------------------------------------------------


@contextmanager
def redis_stopped(run: Run) -> Iterator[None]:
    run.system.redis.stop(signal.SIGKILL)
    try:
        yield
    finally:
        run.system.redis.start()


@contextmanager
def redis_frozen(run: Run) -> Iterator[None]:
    with run.system.redis.frozen():
        yield


@contextmanager
def redis_emptied(run: Run) -> Iterator[None]:
    run.system.redis.client().flushall()
    yield


@contextmanager
def redis_full(run: Run) -> Iterator[None]:
    client = run.system.redis.client()
    client.config_set("maxmemory", "1mb")
    try:
        yield
    finally:
        client.config_set("maxmemory", "0")


def without_redis(run: Run, state: Any, away: str) -> None:
    """Log-in, refresh and checks go on, nobody comes back in, limits hold, and each mail arrives in the end."""
    locked_out, waits_since = run.new_person(), run.client()
    guess(run, waits_since, locked_out, 10)
    left, body = run.log_in(run.new_person())
    run.check(left.post("/auth/logout", {"refresh": body["refresh"]}, token="").status == 204, "no log-out")
    with run.load() as people, run.fault(away=away, served=True), state(run):
        run.calm(1)
        run.check(left.get("/users/me").status == 401, "an ended session came back to life")
        again = left.post("/auth/refresh", {"refresh": body["refresh"]}, token="")
        run.check(again.status == 401, "an ended session was refreshed")
        right = waits_since.post("/auth/login", {"email": locked_out, "password": PASSWORD})
        run.check(right.status == 429, f"a waiting account was let in: {right.status}")
        limits_hold(run)
        run.calm(5)
    signed_up = [email for person in people for email, answer in person.signed_up if answer.is_done]
    taken = run.system.mail.taken
    run.check(
        wait_until(lambda: all(taken[email] for email in signed_up), 100, 1) is not None,
        f"{sum(not taken[email] for email in signed_up)} of {len(signed_up)} mails did not arrive",
    )
    run.check(all(taken[email] <= 1 for email in signed_up), "a mail came twice")
    run.note(f"{len(signed_up)} mails, each delivered once")


def guess(run: Run, client: Client, email: str, times: int) -> list[int]:
    wrong = {"email": email, "password": "Wrong-horse-9"}
    return [client.post("/auth/login", wrong, token="").status for _ in range(times)]


def limits_hold(run: Run) -> None:
    """Ten wrong passwords and no eleventh; sixty requests for mail of one client and no sixty-first."""
    guesser, victim = run.client(), run.new_person()
    tried = guess(run, guesser, victim, 12)
    run.check(tried.count(401) <= 10 and tried[-1] == 429, f"the limit of log-ins does not hold: {tried}")
    asker = run.client()
    asked = [asker.post("/auth/password/forgot", {"email": f"n{n}@example.org"}).status for n in range(62)]
    run.check(asked.count(202) <= 60 and asked[-1] == 429, f"the limit of mails does not hold: {asked.count(202)}")


@fault("F5", "Redis stopped", "SIGKILL to Redis under load, started again after some 8 s")
def stopped_redis(run: Run) -> None:
    without_redis(run, redis_stopped, "redis")


@fault("F5b", "Redis frozen", "SIGSTOP to Redis under load, for some 8 s", short=False)
def frozen_redis(run: Run) -> None:
    without_redis(run, redis_frozen, "redis")


@fault("F5c", "Redis emptied", "FLUSHALL under load", short=False)
def emptied_redis(run: Run) -> None:
    without_redis(run, redis_emptied, "")


@fault("F5d", "Redis full", "`maxmemory 1mb` under load, so that every write is refused", short=False)
def full_redis(run: Run) -> None:
    without_redis(run, redis_full, "")


# --- SQLite ------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: str = "24m") -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True).returncode:
        raise Skipped("mounting a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder])


def fill(file: Path) -> None:
    with file.open("ab", buffering=0) as out:
        for size in (65536, 512):
            with suppress(OSError):
                while out.write(b"x" * size) == size:
                    pass


@fault("F10", "Disk full (SQLite)", "a 24 MB file system filled to the last byte under load, and emptied after 6 s")
def disk_full(run: Run) -> None:
    with small_disk(run.system.folder / "disk") as disk:
        file = disk / "muster.sqlite3"
        more = {"DATABASE_URL": f"sqlite:///{file}", "REDIS_URL": "", "EMAIL_URL": f"filemail://{run.system.folder}/m"}
        run.system.prepare(run.system.environment(**more))
        server = run.system.serve(**more)
        run.admin = Client(run.admin.record, server.port)
        reader, _ = run.log_in(run.new_person(), server.port)
        ballast = disk / "ballast"

        def query(statement: str, *values: Any) -> list[Any]:
            with sqlite3.connect(file, timeout=10) as connection:
                return connection.execute(statement, values).fetchall()

        with run.load(people=4, ports=[[server.port]], query=query, mark="?") as people, run.fault():
            fill(ballast)
            end = time.monotonic() + 6
            while time.monotonic() < end:
                fill(ballast)
                read = reader.get("/users/me").status
                run.check(read == 200, f"reading stopped: {read}")
                run.calm(0.5)
            ballast.unlink()
        refused = sum(answer.status == 503 for person in people for _, answer in person.names)
        run.check(refused, "no write met the full disk")
        run.check(query("PRAGMA integrity_check") == [("ok",)], "the file is damaged")
        server.stop()
