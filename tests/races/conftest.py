"""The crowd, on SQLite and on PostgreSQL, each with a fresh database."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

from tests.races import people
from tests.races.crowd import CALLERS, Crowd

_numbers = count()
CONNECTIONS = CALLERS + 20  # each caller keeps one; tests and processes have their own


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.race)


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def crowd(request: Any, tmp_path_factory: Any) -> Iterator[Crowd]:
    folder = tmp_path_factory.mktemp("races")
    with fresh_sqlite(folder) if request.param == "sqlite" else fresh_postgresql() as database_url:
        environment = environment_of(database_url, folder / "log")
        migrate = [sys.executable, "manage.py", "migrate", "-v", "0"]
        subprocess.run(migrate, cwd=settings.BASE_DIR, env={**os.environ, **environment}, check=True)
        crowd = Crowd(environment, folder / "log")
        with crowd.under(people.deadlocks_as_failures):
            yield crowd
        crowd.close()


def environment_of(database_url: str, log: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "SECRET_KEY": settings.SECRET_KEY,
        "PASSWORD_HASHER": "argon2",
        "ACCESS_TOKEN_SECONDS": "3600",
        "REFRESH_GRACE_SECONDS": "60",  # a hundred callers on a busy machine take their time
        "RATE_LIMITS": "on",
        "REDIS_URL": "",
        "LOG_LEVEL": "ERROR",
        "LOG_FILE": str(log),
    }


@contextmanager
def fresh_sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'races.sqlite3'}"


@contextmanager
def fresh_postgresql() -> Iterator[str]:
    """A database beside the one of DATABASE_URL, dropped in the end."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        pytest.skip("needs PostgreSQL in DATABASE_URL: ./run services ./run test -m race")
    name = f"muster_races_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as server:
        [allowed] = server.execute("SELECT current_setting('max_connections')::int").fetchone() or (0,)
        assert allowed >= CONNECTIONS, f"PostgreSQL needs max_connections >= {CONNECTIONS}"
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(url)._replace(path=f"/{name}").geturl()
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
