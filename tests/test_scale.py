"""What docs/scale.md says to do, done; and the script that measures, on a few rows."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

ROOT = Path(__file__).resolve().parent.parent
URL = os.environ.get("DATABASE_URL", "")
GUARDED = "audit_events is append-only"
PARTITIONS = ("audit_events_to_2030_01", "audit_events_2030_02", "audit_events_later")

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not URL.startswith("postgres"), reason="needs PostgreSQL: ./run services ./run test -m service"),
]


def statements() -> list[list[str]]:
    blocks = re.findall(r"^```sql\n(.*?)^```", (ROOT / "docs" / "scale.md").read_text(), re.DOTALL | re.MULTILINE)
    return [[part for part in re.split(r";\n", block) if part.strip()] for block in blocks]


@pytest.fixture
def database() -> Iterator[Any]:
    with psycopg.connect(URL, autocommit=True) as server:
        server.execute("DROP DATABASE IF EXISTS muster_scale")
        server.execute("CREATE DATABASE muster_scale")
        url = urlsplit(URL)._replace(path="/muster_scale").geturl()
        manage(url, "migrate", "-v", "0")
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection
        server.execute("DROP DATABASE muster_scale WITH (FORCE)")


def manage(url: str, *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    environment = {**os.environ, "DATABASE_URL": url, "REDIS_URL": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(connection: Any, block: list[str]) -> None:
    for statement in block:
        connection.execute(statement)


def record(connection: Any, at: str) -> None:
    connection.execute(
        "INSERT INTO audit_events (id, at, action, request_id, details) "
        "VALUES (gen_random_uuid(), %s, 'x.y', '', '{}')",
        [at],
    )


def number(connection: Any, table: str = "audit_events") -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_events_in_partitions_stay_append_only_and_a_month_is_dropped_at_once(database):
    before, exchange, month, drop = statements()
    record(database, "2020-01-01Z")
    run(database, before)
    run(database, exchange)
    run(database, month)
    for at in ("2030-01-31Z", "2030-02-01Z", "2031-01-01Z"):
        record(database, at)
    assert [number(database, table) for table in PARTITIONS] == [2, 1, 1]
    for attack in ("UPDATE {} SET action = 'z.z'", "DELETE FROM {}", "TRUNCATE {}"):
        for table in ("audit_events", *PARTITIONS):
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match=GUARDED):
                database.execute(attack.format(table))
    url = urlsplit(URL)._replace(path="/muster_scale").geturl()
    manage(url, "prune", "--audit-days", "365")
    assert number(database, "audit_events_to_2030_01") == 2, "the old event is gone, and the pruning is an event"
    run(database, drop)
    assert number(database) == 2
    manage(url, "makemigrations", "--check", "--dry-run")


def test_the_sizes_can_be_measured_again():
    script = [sys.executable, str(ROOT / "scripts" / "sizes.py"), "2000"]
    done = subprocess.run(script, cwd=ROOT, env={**os.environ, "REDIS_URL": ""}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| `audit_events` | 80 |" in done.stdout
    assert "a search that finds one" in done.stdout
