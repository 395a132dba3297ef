"""The few things we do with transactions beyond `atomic`."""

import hashlib
from collections.abc import Callable

from django.db import connection, transaction


def after_commit(work: Callable[[], object]) -> None:
    """Run `work` once the change is safe; its failure is logged and never reaches the caller.

    A lambda, because Django 5.2 logs a failing robust callback by its `__qualname__`, which a
    `functools.partial` does not have.
    """
    transaction.on_commit(lambda: work(), robust=True)


def serialised(name: str) -> None:
    """Hold, until the transaction ends, the one lock of this name.

    SQLite needs none: its transactions are IMMEDIATE, so there is only one writer.
    """
    if not connection.in_atomic_block:
        raise RuntimeError(f"serialised({name!r}) needs a transaction")
    if connection.vendor == "postgresql":
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
