"""The migrations of the token keys: back and forth, with sessions there, and with the previous release at work."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.races.conftest import fresh_postgresql
from tests.serving import ROOT, settings_for

pytestmark = pytest.mark.slow

Execute = Callable[[str], list[Any]]
USER = f"""INSERT INTO users (id, password, email, email_key, first_name, middle_name, last_name, language, is_active,
    is_verified, is_staff, joined_by, password_contested, search_text)
    VALUES ('{"0" * 32}', '!', 'a@b.example', 'a@b.example', '', '', '', 'en', true, true, false, 'signup', false, '')
"""


def session() -> str:
    """As the previous release writes it, which knows of no key."""
    moment = "'2026-01-01 00:00:00+00:00'"
    return f"""INSERT INTO sessions (id, user_id, gen, created_at, rotated_at, access_expires_at, refresh_expires_at,
        expires_at, last_used_at, device, ended_by)
        VALUES ('{uuid4().hex}', '{"0" * 32}', 1, {", ".join([moment] * 6)}, 'Test', '')"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def database(request: Any, tmp_path: Path) -> Iterator[tuple[str, Execute]]:
    if request.param == "sqlite":
        file = tmp_path / "old.sqlite3"

        def in_sqlite(statement: str) -> list[Any]:
            with sqlite3.connect(file) as connection:
                return connection.execute(statement).fetchall()

        yield f"sqlite:///{file}", in_sqlite
        return
    with fresh_postgresql() as url:

        def in_postgresql(statement: str) -> list[Any]:
            with psycopg.connect(url) as connection:
                cursor = connection.execute(statement)
                return cursor.fetchall() if cursor.description else []

        yield url, in_postgresql


def test_sessions_of_the_previous_release_survive_both_ways(database: tuple[str, Execute], tmp_path: Path) -> None:
    url, execute = database

    def migrate(*target: str) -> None:
        environment = {**settings_for(tmp_path), "DATABASE_URL": url}
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v", "0", *target], cwd=ROOT, env=environment, check=True
        )

    migrate()
    migrate("accounts", "0001")
    execute(USER)
    execute(session())
    migrate("accounts")
    execute(session())
    assert execute("SELECT key_id FROM sessions") == [(None,), (None,)]
    execute("""INSERT INTO signing_keys (kid, algorithm, sealed, sealed_under, created_at)
        VALUES ('k', 'HS256', '', 'x', '2026-01-01 00:00:00+00:00')""")
    execute("UPDATE sessions SET key_id = 'k'")
    migrate("accounts", "0001")
    execute(session())
    migrate()
    assert execute("SELECT key_id FROM sessions") == [(None,)] * 3
    assert execute("SELECT count(*) FROM signing_keys") == [(0,)]
