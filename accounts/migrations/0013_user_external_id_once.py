from typing import Any

from django.db import migrations, models
from django.db.models import Q


class AddUniqueWhileServing(migrations.AddConstraint):
    """CONCURRENTLY on PostgreSQL, however long it takes, since nobody waits for it; SQLite has nothing like it."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        schema_editor.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        # What a run that was cut short left behind is no index, and stands in the way.
        schema_editor.execute("DROP INDEX CONCURRENTLY IF EXISTS users_external_id")
        schema_editor.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY users_external_id ON users (external_id) WHERE external_id IS NOT NULL"
        )
        schema_editor.execute("RESET statement_timeout; RESET lock_timeout")


class Migration(migrations.Migration):
    """No two accounts are called the same by another system."""

    atomic = False
    dependencies = [("accounts", "0012_stored_files")]

    operations = [
        AddUniqueWhileServing(
            model_name="user",
            constraint=models.UniqueConstraint(
                condition=Q(external_id__isnull=False), fields=("external_id",), name="users_external_id"
            ),
        ),
    ]
