"""Django's PostgreSQL, and an end to waiting for a server that keeps its connections and says nothing any more.

The server's own limits (`statement_timeout`) do not help where the server itself is frozen or its host is gone.
"""

from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg.errors import _WaitTimeout

from core import deadline

STATEMENT_SECONDS = 6.0  # longer than the server gives a statement, so that usually the server says so
CHECK_SECONDS = 1.0


class Connection(psycopg.Connection[Any]):
    most = STATEMENT_SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """A connection that was given up is closed, since its answer could come to the next question."""
        try:
            return super().wait(gen, interval, timeout or deadline.seconds_left(self.most))
        except _WaitTimeout:
            self.close()
            raise psycopg.OperationalError("the database does not answer") from None


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return Connection.connect(**conn_params)

    def is_usable(self) -> bool:
        """Asked before each request, of a connection that has been idle."""
        if self.connection is None:
            return False
        self.connection.most = CHECK_SECONDS
        try:
            return bool(super().is_usable())
        finally:
            self.connection.most = STATEMENT_SECONDS
