"""Django's PostgreSQL, and an end to waiting for a server that keeps its connections and says nothing any more.

The server's own limits (`statement_timeout`) do not help where the server itself is frozen or its host is gone.
"""

import select
import time
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from django.db.backends.postgresql.operations import DatabaseOperations
from psycopg.adapt import AdaptersMap
from psycopg.errors import _WaitTimeout
from psycopg.types.datetime import TimestamptzLoader

from core import deadline

STATEMENT_SECONDS = 6.0  # longer than the server gives a statement, so that usually the server says so
CHECK_SECONDS = 1.0
FRESH_SECONDS = 1.0  # after an answer, in which a look at the socket is check enough
_PLANNED = "planned"


class Connection(psycopg.Connection[Any]):
    most = STATEMENT_SECONDS
    answered_at = 0.0
    planned_adapters: AdaptersMap

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """A connection that was given up is closed, since its answer could come to the next question."""
        try:
            answer = super().wait(gen, interval, timeout or deadline.seconds_left(self.most))
        except _WaitTimeout:
            self.close()
            raise psycopg.OperationalError("the database does not answer") from None
        self.answered_at = time.monotonic()
        return answer

    def is_quiet(self) -> bool:
        """Nothing to read: a server that ends a connection says so, or at least closes it."""
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        return not poll.poll(0)


_ServerBindingCursor: Any = base.ServerBindingCursor


class PlannedCursor(_ServerBindingCursor):
    """Binds on the server, so that psycopg can prepare what it executes; Django's own never does."""

    @property
    def adapters(self) -> AdaptersMap:
        """One map for all such cursors of a connection. Registering for each would copy it."""
        adapters: AdaptersMap = self.connection.planned_adapters
        return adapters


class Operations(DatabaseOperations):
    def last_executed_query(self, cursor: Any, sql: str, params: Any) -> str:
        """For logs and tests: Django finds the words of its own cursors only."""
        return super().last_executed_query(cursor, sql, params) or sql


class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = Operations

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        connection = Connection.connect(**conn_params)
        connection.planned_adapters = AdaptersMap(connection.adapters)
        # Django's loader is written in Python, to put in a zone that is always UTC here; a page has 150 moments.
        connection.planned_adapters.register_loader("timestamptz", TimestamptzLoader)
        return connection

    def create_cursor(self, name: str | None = None) -> Any:
        return PlannedCursor(self.connection) if name is _PLANNED else super().create_cursor(name)

    def planned_rows(self, sql: str, params: Any) -> list[tuple[Any, ...]]:
        """All rows of a statement that PostgreSQL plans once for this connection, but behind PgBouncer: see
        `core.prepared`. Past Django's wrappers of cursors, but where somebody listens to them.
        """
        if self.queries_logged or self.execute_wrappers:
            with self._cursor(_PLANNED) as cursor:  # type: ignore[attr-defined]
                cursor.execute(sql, params)
                return list(cursor.fetchall())
        self.close_if_health_check_failed()
        self.ensure_connection()
        with self.wrap_database_errors, PlannedCursor(self.connection) as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())

    def is_usable(self) -> bool:
        """Asked before each request. Most come a moment after the last, and a question for each would show."""
        if self.connection is None or self.connection.closed:
            return False
        if time.monotonic() - self.connection.answered_at < FRESH_SECONDS and self.connection.is_quiet():
            return True
        self.connection.most = CHECK_SECONDS
        try:
            return bool(super().is_usable())
        finally:
            self.connection.most = STATEMENT_SECONDS
