"""Indexes that migrations make and take away while everybody goes on writing."""

from typing import Any

from django.db import migrations

UNHURRIED = "SET statement_timeout = 0; SET lock_timeout = 0"  # it waits for the transactions that began before it
AS_BEFORE = "RESET statement_timeout; RESET lock_timeout"


class _WhileServing:
    """CONCURRENTLY on PostgreSQL, in a migration that is not atomic. SQLite has nothing like it, and is quick.

    What a run that was cut short left behind, an index or none, does not stop the next run.
    """

    def make(self, app_label: str, schema_editor: Any, state: Any, index: Any) -> None:
        model = state.apps.get_model(app_label, self.model_name)  # type: ignore[attr-defined]
        if schema_editor.connection.vendor != "postgresql":
            schema_editor.execute(f"DROP INDEX IF EXISTS {schema_editor.quote_name(index.name)}")
            schema_editor.add_index(model, index)
            return
        schema_editor.execute(UNHURRIED)
        # What a run that was cut short left behind is no index, and stands in the way.
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(index.name)}")
        schema_editor.add_index(model, index, concurrently=True)
        schema_editor.execute(AS_BEFORE)

    def drop(self, app_label: str, schema_editor: Any, state: Any, index: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            schema_editor.execute(f"DROP INDEX IF EXISTS {schema_editor.quote_name(index.name)}")
            return
        schema_editor.execute(UNHURRIED)
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(index.name)}")
        schema_editor.execute(AS_BEFORE)


class AddIndexWhileServing(_WhileServing, migrations.AddIndex):
    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self.make(app_label, schema_editor, to_state, self.index)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self.drop(app_label, schema_editor, from_state, self.index)
