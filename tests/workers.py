"""Celery's workers and beats as processes, over a database of their own beside that of the tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

ROOT = Path(__file__).resolve().parent.parent
_needed = [name for name in ("DATABASE_URL", "REDIS_URL") if not os.environ.get(name)]
needs_stores = pytest.mark.skipif(bool(_needed), reason=f"{' and '.join(_needed)} missing: run ./run services …")


class Workers:
    """`begin` starts one in the background; `run` runs Python in a Django shell and returns what it printed."""

    def __init__(self, folder: Path, database: str, redis: int, app: str) -> None:
        self.folder, self.app = folder, app
        self.environment = {
            **os.environ,
            "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}").geturl(),
            "REDIS_URL": urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{redis}").geturl(),
            "LOG_FORMAT": "json",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, code: str) -> str:
        return self.manage("shell", "-v0", "-c", code)

    def begin(self, name: str, *command: str) -> None:
        celery = [sys.executable, "-m", "celery", "-A", self.app, *command]
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                celery, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def begin_worker(self, name: str) -> None:
        self.begin(name, "worker", "--concurrency", "2", "-n", f"{name}@test", "--loglevel", "INFO")

    def begin_beat(self, name: str) -> None:
        self.begin(name, "beat", "--schedule", str(self.folder / f"{name}.schedule"))

    def kill(self, name: str) -> None:
        """With its children, as when its machine is lost."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(60)


@contextmanager
def workers(folder: Path, database: str, redis: int, app: str = "config") -> Iterator[Workers]:
    """On a database that is made and migrated, and dropped in the end; `redis` is the number of one."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as primary:
        primary.execute(f'DROP DATABASE IF EXISTS "{database}"')
        primary.execute(f'CREATE DATABASE "{database}"')
        found = Workers(folder, database, redis, app)
        try:
            found.manage("migrate", "-v0")
            yield found
        finally:
            found.stop()
            primary.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
