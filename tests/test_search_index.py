"""The index for searching, on a real PostgreSQL: made, used, taken away, and done without."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from accounts.user_list import ESTIMATE, FEW
from tests.races.conftest import fresh_postgresql
from tests.serving import ROOT, settings_for

pytestmark = [pytest.mark.slow, pytest.mark.service]

INDEX = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('users_search')"
PEOPLE = """INSERT INTO users (id, password, email, email_key, first_name, middle_name, last_name, language, is_active,
        is_verified, is_staff, joined_by, password_contested, search_text)
    SELECT gen_random_uuid(), '!', e, e, '', '', '', 'en', true, true, false, 'import', false, e
    FROM (SELECT md5(n::text) || '@example.org' AS e FROM generate_series(1, 20000) n) made"""
FIND = "EXPLAIN SELECT id FROM users WHERE search_text LIKE '%{}%' ORDER BY {} LIMIT 51"
HIDDEN = "GREATEST(created_at), GREATEST(id)"


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_postgresql() as url:
        yield url


def migrate(url: str, folder: Path, *target: str) -> str:
    environment = {**settings_for(folder), "DATABASE_URL": url}
    command = [sys.executable, "manage.py", "migrate", "-v", "0", *target]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def ask(url: str, question: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(question)
        return cursor.fetchall() if cursor.description else []


def test_a_fragment_that_few_have_is_found_by_the_index_and_one_that_many_have_by_the_order(url, tmp_path):
    migrate(url, tmp_path)
    ask(url, PEOPLE)
    ask(url, "VACUUM ANALYZE users")
    assert estimated(url, "a1b2c3d") <= FEW < estimated(url, "example")
    assert "users_search" in str(ask(url, FIND.format("a1b2c3d", HIDDEN)))
    assert "users_by_created" in str(ask(url, FIND.format("example", "created_at, id")))


def test_what_few_have_is_never_looked_for_along_the_order(url, tmp_path):
    """However small the page, by which PostgreSQL expects to end soon."""
    migrate(url, tmp_path)
    ask(url, PEOPLE)
    ask(url, "VACUUM ANALYZE users")
    assert "users_by_created" in str(ask(url, FIND.format("example", "created_at, id")))
    assert "users_by" not in str(ask(url, FIND.format("example", HIDDEN)))


def estimated(url: str, text: str) -> int:
    plan = str(ask(url, ESTIMATE.replace("%s", f"'%{text}%'")))
    found = re.search(r"rows=(\d+)", plan)
    assert found, plan
    return int(found[1])


def test_it_goes_and_comes_back_and_an_interrupted_one_is_made_anew(url, tmp_path):
    migrate(url, tmp_path)
    assert ask(url, INDEX) == [(True,)]
    migrate(url, tmp_path, "accounts", "0007")
    assert ask(url, INDEX) == []
    ask(url, "CREATE INDEX users_search ON users (email)")
    ask(url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_search'::regclass")
    migrate(url, tmp_path)
    assert ask(url, INDEX) == [(True,)]
    assert "gin" in str(ask(url, "SELECT indexdef FROM pg_indexes WHERE indexname = 'users_search'"))


def test_where_the_role_may_not_create_extensions_one_line_says_so_and_all_else_is_made(url, tmp_path):
    name = urlsplit(url).path[1:]
    ask(url, "CREATE ROLE lesser LOGIN")
    try:
        ask(url, "GRANT ALL ON SCHEMA public TO lesser")
        parts = urlsplit(url)
        theirs = parts._replace(netloc=f"lesser@{parts.netloc.rpartition('@')[2]}").geturl()
        said = migrate(theirs, tmp_path)
        assert said.count("\n") == 1
        assert "permission denied to create extension" in said
        assert "docs/scale.md" in said
        assert ask(url, INDEX) == []
        assert ask(url, "SELECT count(*) FROM users") == [(0,)]
    finally:
        ask(url, f"REASSIGN OWNED BY lesser TO muster; REVOKE ALL ON DATABASE {name} FROM lesser")
        ask(url, "DROP OWNED BY lesser")
        ask(url, "DROP ROLE lesser")


def test_it_may_take_longer_than_a_request(url, tmp_path):
    migrate(url, tmp_path, "accounts", "0007")
    migrate(url, tmp_path, "rbac")
    ask(url, PEOPLE)
    parts = urlsplit(url)
    hurried = parts._replace(query="options=-c%20statement_timeout%3D100").geturl()
    migrate(hurried, tmp_path, "accounts")
    assert ask(url, INDEX) == [(True,)]
