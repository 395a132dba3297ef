"""Processes that end, schemas that change, backups that are taken, all of it while people work."""

import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.faults.client import PROBES
from tests.faults.journal import sign_up_parts
from tests.faults.proxy import Killer
from tests.faults.run import Run, fault
from tests.faults.services import wait_until
from tests.faults.system import PASSWORD, WORKERS, Server, drain_time
from tests.serving import ROOT

POINTS = 20


@fault(
    "F9",
    "Web worker killed in the middle of a transaction",
    "SIGKILL to the process at 20 points of a sign-up: a proxy to PostgreSQL kills it before a statement gets "
    "through, or after it did and before its answer",
)
def web_worker_killed(run: Run) -> None:
    run.may_cut = True
    killer = Killer(run.system.postgresql.port)
    url = run.system.database_url.replace(f":{run.system.postgresql.port}/", f":{killer.port}/")
    server = run.system.serve(DATABASE_URL=url)
    try:
        warm(run, server)
        killer.arm(0)
        sign_up(run, server)
        statements = killer.count
        every = [(n, is_after) for n in range(1, statements + 1) for is_after in (False, True)]
        number = min(6 if run.is_short else POINTS, len(every))
        points = [every[round(n * (len(every) - 1) / (number - 1))] for n in range(number)]
        whole = sum(kill_at(run, server, killer, *point) for point in points)
    finally:
        server.stop()
        killer.close()
    run.note(
        f"{len(points)} points among {statements} statements: {whole} sign-ups whole, {len(points) - whole} not there"
    )


def warm(run: Run, server: Server) -> None:
    """Each thread of each worker gets its connection, so that all counted statements are those of the request."""
    for _ in range(40):
        run.client(server.port).get("/readyz")
        run.client(server.port).post("/auth/login", {"email": "nobody@example.org", "password": "x"})


def sign_up(run: Run, server: Server, email: str = "") -> int:
    email = email or f"k{secrets.token_hex(8)}@example.org"
    return run.client(server.port).post("/auth/signup", {"email": email, "password": PASSWORD}).status


def kill_at(run: Run, server: Server, killer: Killer, at: int, is_after: bool) -> bool:
    """Whether the sign-up is there. It is there as a whole or not at all, and can be repeated."""
    run.check(wait_until(lambda: told(server, "Started worker") == WORKERS + told(server, "web.died"), 60), "no worker")
    email = f"k{secrets.token_hex(8)}@example.org"
    killer.arm(at, is_after=is_after)
    status = sign_up(run, server, email)
    run.check(killer.killed, f"nobody was killed at {at}")
    run.check(status == 0, f"an answer {status} from a killed process at {at}")
    killer.arm(0)
    run.recovery = max(run.recovery or 0.0, time_to_serve(run, server))
    parts = sign_up_parts(run.system.postgresql.sql, email)
    run.check(len(set(parts.values())) == 1, f"half a sign-up at {at} {'after' if is_after else 'before'}: {parts}")
    run.check(sign_up(run, server, email) == 202, "the sign-up cannot be repeated")
    run.check(sign_up_parts(run.system.postgresql.sql, email)["users"] == 1, "repeated, it made two")
    return parts["users"] == 1


def time_to_serve(run: Run, server: Server) -> float:
    """Until eight new connections in a row were served; the kernel spreads them over the workers."""
    begun, late, served = time.monotonic(), 0.0, 0
    while served < 8 and time.monotonic() - begun < 20:
        if sign_up(run, server) == 202:
            served += 1
        else:
            served, late = 0, time.monotonic() - begun
            run.calm(0.1)
    run.check(served == 8, "no service after the kill")
    return late


def told(server: Server, event: str) -> int:
    """How often the log says so."""
    return server.log.read_text().count(f'"event": "{event}')


@fault(
    "F19",
    "SIGTERM under load",
    "two servers with two processes each, ended and begun again in turn; then the Celery worker",
)
def sigterm(run: Run) -> None:
    first, second = run.system.server, run.system.serve()
    took = []
    with run.load(people=8, readers=8, ports=[[first.port, second.port], [second.port, first.port]]):
        run.may_cut = True  # for the probes of the one that is gone; people's answers are looked at below
        for server in (second, first):
            with run.fault(served=True):
                took.append(drain_time(server))
            run.calm(2)
            server.start()
            run.calm(2)
    lost = [a for a in run.record.answers if a.path not in PROBES and (a.status == 0 or a.status >= 500)]
    run.check(not lost, f"{len(lost)} failed: {[(a.method, a.path, a.status, a.error) for a in lost[:5]]}")
    run.check(max(took) <= 30, f"ending took {max(took):.0f} s")
    told = [a.body["detail"] for a in run.ready.answers if a.status == 503 and a.body]
    run.check(any("leaving" in detail for detail in told), "/readyz did not say that the server was leaving")
    second.stop()
    end_worker(run)
    run.note(
        f"{len(lost)} failed requests; the servers ended in {took[0]:.1f} s and {took[1]:.1f} s, "
        "the worker after its mail"
    )


def end_worker(run: Run) -> None:
    """It finishes the mail that it has begun."""
    mail = run.system.mail
    mail.mode = "hold"
    mail.held.clear()
    email = f"t{secrets.token_hex(8)}@example.org"
    run.client().post("/auth/signup", {"email": email, "password": PASSWORD})
    run.check(mail.held.wait(40), "the worker did not begin")
    run.system.celery["worker"].terminate()
    run.system.celery["worker"].wait(60)
    mail.mode = "take"
    state = run.system.postgresql.sql('SELECT state FROM outgoing_mail WHERE "to" = %s', email)
    run.check(state == [("sent",)] and mail.taken[email] == 1, f"the mail was left behind: {state}")
    run.system.begin_celery("worker")


MIGRATION = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "{after}")]
    operations = [{operations}]
"""
# One busy table each: one that locks two of them was seen to deadlock with requests that lock them the other way round.
NEXT = {
    "9998_nickname": 'migrations.AddField("User", "nickname", models.CharField(max_length=30, null=True)), '
    'migrations.AddIndex("User", models.Index(fields=["nickname"], name="users_by_nickname"))',
    "9999_colour": 'migrations.AddField("Session", "colour", models.CharField(max_length=9, db_default=""))',
}


@fault(
    "F24",
    "Migration under load",
    "a next release made of this code and two more migrations (two columns, one index): applied and taken back 3 times "
    "under load of this release; beside it a first `migrate` killed at 5 points and run again; each reversible step "
    "of each app taken back and applied",
    short=False,
)
def migration(run: Run) -> None:
    folder = next_release(run.system.folder / "next")
    environment = run.system.environment()
    with run.load():
        for _ in range(1 if run.is_short else 3):
            for target in ("9999", last_of("accounts")):
                migrate(run, folder, environment, "accounts", target)
                run.calm(1)
    steps = step_by_step(run)
    kills = killed_migrate(run, 1 if run.is_short else 5)
    run.note(f"0 refused; {steps} steps back and forth; {kills} killed `migrate`, each completed by the next")


def last_of(app: str) -> str:
    return max(file.stem for file in (ROOT / app / "migrations").glob("[0-9]*.py"))


def next_release(folder: Path) -> Path:
    names = ("accounts", "audit", "config", "core", "mail", "rbac", "manage.py")
    folder.mkdir()
    for name in names:
        source = ROOT / name
        shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy(source, folder / name)
    after = last_of("accounts")
    for name, operations in NEXT.items():
        file = folder / "accounts" / "migrations" / f"{name}.py"
        file.write_text(MIGRATION.format(after=after, operations=operations))
        after = name
    return folder


def migrate(run: Run, folder: Path, environment: dict[str, str], *target: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v", "0", *target],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    run.check(done.returncode == 0, f"migrate {' '.join(target)}: {done.stderr[-300:]}")


def step_by_step(run: Run) -> int:
    """In a database of its own: down to the first migration of each app and up again, one at a time."""
    environment = run.system.environment(DATABASE_URL=run.system.postgresql.make("steps"))
    migrate(run, ROOT, environment)
    steps = 0
    for app in ("accounts", "rbac", "mail", "audit"):
        names = sorted(file.stem for file in (ROOT / app / "migrations").glob("[0-9]*.py"))
        for name in names[-2::-1] + names[1:]:
            migrate(run, ROOT, environment, app, name)
            steps += 1
    return steps


def killed_migrate(run: Run, times: int) -> int:
    kills = 0
    for number in range(times):
        environment = run.system.environment(DATABASE_URL=run.system.postgresql.make(f"killed{number}"))
        process = subprocess.Popen(
            [sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
        )
        want = (number + 1) * 6  # applied migrations after which it is killed

        def applied(name: str = f"killed{number}") -> int:
            return int(run.system.postgresql.sql("SELECT count(*) FROM django_migrations", database=name)[0][0])

        while process.poll() is None and (wait_until(lambda: applied() >= want, 0.3, 0.01) is None):
            pass
        kills += process.poll() is None
        process.kill()
        process.wait()
        migrate(run, ROOT, environment)
        left = subprocess.run(
            [sys.executable, "manage.py", "migrate", "--check"], cwd=ROOT, env=environment, capture_output=True
        )
        run.check(left.returncode == 0, f"a killed migrate left something: {left.stdout.decode()[-300:]}")
    return kills


@fault(
    "F25",
    "Backup under load, and restore",
    "`pg_dump` while people work, restored into another database and served; SQLite's `.backup` likewise",
    short=False,
)
def backup(run: Run) -> None:
    postgresql, folder = run.system.postgresql, run.system.folder
    email, ended = run.new_person(), run.new_person()
    _, pair = run.log_in(email)
    gone, over = run.log_in(ended)
    gone.post("/auth/logout", {"refresh": over["refresh"]}, token="")
    with run.load():
        dump = [postgresql.programs / "pg_dump", "--format=custom", "--file", folder / "dump", postgresql.dsn()]
        subprocess.run(dump, check=True)
    url = postgresql.make("restored")
    restore = [postgresql.programs / "pg_restore", "--exit-on-error", "--no-owner", "--role=app"]
    subprocess.run([*restore, "-d", postgresql.dsn("restored"), folder / "dump"], check=True)
    server = run.system.serve(DATABASE_URL=url, REDIS_URL=run.system.redis.url(3))
    works(run, server, email, pair, over)
    halves(run, lambda statement, *values: postgresql.sql(statement, *values, database="restored"), "%s")
    server.stop()
    backup_of_sqlite(run, folder)
    run.note("both restored whole: same tokens and passwords, ended sessions ended, no half sign-up")


def works(run: Run, server: Server, email: str, pair: Any, over: Any) -> None:
    client = run.client(server.port)
    run.check(client.get("/users/me", token=pair["access"]).status == 200, "a token from before does not work")
    fresh = client.post("/auth/refresh", {"refresh": pair["refresh"]}, token="")
    run.check(fresh.status == 200, "a refresh token from before does not work")
    run.check(client.get("/users/me", token=over["access"]).status == 401, "an ended session came back")
    run.check(client.post("/auth/login", {"email": email, "password": PASSWORD}).status == 200, "a password is lost")


def halves(run: Run, query: Any, mark: str) -> None:
    pending = query("SELECT email FROM users WHERE NOT is_verified ORDER BY created_at DESC LIMIT 30")
    for (email,) in pending:
        parts = sign_up_parts(query, email, mark)
        run.check(len(set(parts.values())) == 1, f"half a sign-up in the backup: {parts}")


def backup_of_sqlite(run: Run, folder: Path) -> None:
    file, copy = folder / "live.sqlite3", folder / "copy.sqlite3"
    rest = {"REDIS_URL": "", "EMAIL_URL": f"filemail://{folder}/m"}
    live = {"DATABASE_URL": f"sqlite:///{file}", **rest}
    run.system.prepare(run.system.environment(**live))
    server = run.system.serve(**live)
    run.admin = run.client(server.port)

    def query(statement: str, *values: Any, of: Path = file) -> list[Any]:
        with sqlite3.connect(of, timeout=10) as connection:
            return connection.execute(statement, values).fetchall()

    email, ended = run.new_person(), run.new_person()
    _, pair = run.log_in(email, server.port)
    gone, over = run.log_in(ended, server.port)
    gone.post("/auth/logout", {"refresh": over["refresh"]}, token="")
    with (
        run.load(people=3, ports=[[server.port]], query=query, mark="?"),
        sqlite3.connect(file) as source,
        sqlite3.connect(copy) as target,
    ):
        source.backup(target)
    server.stop()
    restored = run.system.serve(DATABASE_URL=f"sqlite:///{copy}", **rest)
    run.check(query("PRAGMA integrity_check", of=copy) == [("ok",)], "the copy is damaged")
    works(run, restored, email, pair, over)
    halves(run, lambda statement, *values: query(statement, *values, of=copy), "?")
    restored.stop()
