"""Which database a query goes to when it does not say."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS


class PrimaryRouter:
    """The primary, always: also for what hangs on a row that the replica gave, where Django would go there again."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return DEFAULT_DB_ALIAS

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True

    def allow_migrate(self, database: str, app_label: str, **hints: Any) -> bool:
        return database == DEFAULT_DB_ALIAS
