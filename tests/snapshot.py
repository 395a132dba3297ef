"""What the database holds, so that a test can say "and nothing changed"."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

# What is written because something was refused: the trail, and the counters of the limits.
LOGS = frozenset({"audit_events", "audit_floods", "counters", "failed_log_ins"})


def rows(table: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
        return sorted(cursor.fetchall(), key=repr)


def contents(without: frozenset[str] = LOGS) -> dict[str, list[Any]]:
    """Every row of every table but `without`."""
    return {table: rows(table) for table in connection.introspection.table_names() if table not in without}


@contextmanager
def nothing_changes() -> Iterator[None]:
    before = contents()
    yield
    assert contents() == before
