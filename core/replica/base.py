"""The database backend of the replica: PostgreSQL's, and no answer is waited for longer than a little while.

`statement_timeout` ends nothing on a server that hangs, or that the network has lost.
"""

from typing import Any

import psycopg
from django.db.backends.postgresql import base

SECONDS = 2.0  # then the primary is asked, which needs the rest of the time in which a request is answered


class ImpatientConnection(psycopg.Connection[Any]):
    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = SECONDS) -> Any:
        return super().wait(gen, interval, timeout)


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return ImpatientConnection.connect(**conn_params)
