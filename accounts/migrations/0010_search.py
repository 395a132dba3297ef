"""An index for searching by any part of a name, on PostgreSQL. SQLite looks through all."""

import sys

from django.db import DatabaseError, migrations

INSTALL = "CREATE EXTENSION IF NOT EXISTS pg_trgm"
# Without the list of what is to be inserted yet, which each search would have to look through as well.
CREATE = "CREATE INDEX CONCURRENTLY users_search ON users USING gin (search_text gin_trgm_ops) WITH (fastupdate = off)"
DROP = "DROP INDEX CONCURRENTLY IF EXISTS users_search"
# Whether many or few have a fragment decides which way is the quicker one. 100 samples, the default, cannot tell.
SAMPLE = "ALTER TABLE users ALTER search_text SET STATISTICS {}"
UNHURRIED = "SET statement_timeout = 0; SET lock_timeout = 0"  # it waits for the transactions that began before it
AS_BEFORE = "RESET statement_timeout; RESET lock_timeout"
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('users_search')"


def create(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        try:
            cursor.execute(INSTALL)
        except DatabaseError as error:
            sys.stderr.write(
                f"search has no index, and looks through all users: {str(error).splitlines()[0]}. See docs/scale.md.\n"
            )
            return
        cursor.execute(SAMPLE.format(1000))
        cursor.execute(VALID)
        if cursor.fetchone() == (True,):  # made by hand, as docs/scale.md once said
            return
        cursor.execute(UNHURRIED)
        cursor.execute(DROP)  # what an interrupted run has left
        cursor.execute(CREATE)
        cursor.execute("ANALYZE users (search_text)")
        cursor.execute(AS_BEFORE)


def drop(apps, schema_editor):
    """The extension stays: others may use it."""
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(UNHURRIED)
            cursor.execute(DROP)
            cursor.execute(AS_BEFORE)
            cursor.execute(SAMPLE.format(-1))


class Migration(migrations.Migration):
    atomic = False  # CREATE INDEX CONCURRENTLY lets everybody write meanwhile, and is never part of a transaction
    dependencies = [("accounts", "0007_job")]
    operations = [migrations.RunPython(create, drop, elidable=False)]
