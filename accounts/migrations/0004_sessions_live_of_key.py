from typing import Any

from django.db import migrations, models
from django.db.models import Q


class AddIndexWhileServing(migrations.AddIndex):
    """CONCURRENTLY on PostgreSQL, however long it takes, since nobody waits for it; SQLite has nothing like it."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        schema_editor.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        # What a run that was cut short left behind is no index, and stands in the way.
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(self.index.name)}")
        schema_editor.add_index(to_state.apps.get_model(app_label, self.model_name), self.index, concurrently=True)
        schema_editor.execute("RESET statement_timeout; RESET lock_timeout")

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
            return
        schema_editor.remove_index(from_state.apps.get_model(app_label, self.model_name), self.index, concurrently=True)


class Migration(migrations.Migration):
    """The live sessions of a key, which a revocation ends and the clean-up asks about."""

    atomic = False
    dependencies = [("accounts", "0003_session_key")]

    operations = [
        AddIndexWhileServing(
            model_name="session",
            index=models.Index(condition=Q(ended_at=None), fields=["key", "id"], name="sessions_live_of_key"),
        ),
    ]
