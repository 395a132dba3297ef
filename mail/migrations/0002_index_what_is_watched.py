"""What `/readyz` and `/metrics` ask: how long the oldest mail waits, and how many failed. Without blocking writers."""

from django.db import migrations, models

OPEN = "state IN ('waiting', 'sending')"
FAILED = "state = 'failed'"
INDEXES = {"outgoing_mail_open": OPEN, "outgoing_mail_failed": FAILED}


def add(apps, editor):
    if editor.connection.vendor == "postgresql":
        editor.execute("SET statement_timeout = 0")  # building takes what it takes, and holds nobody up
    how = "CONCURRENTLY " if editor.connection.vendor == "postgresql" else ""
    for name, condition in INDEXES.items():
        if how:  # what an interrupted attempt left behind is not valid, and would be taken for the index
            editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        editor.execute(f"CREATE INDEX {how}IF NOT EXISTS {name} ON outgoing_mail (created_at) WHERE {condition}")
    if how:
        editor.execute("RESET statement_timeout")


def remove(apps, editor):
    how = "CONCURRENTLY " if editor.connection.vendor == "postgresql" else ""
    for name in INDEXES:
        editor.execute(f"DROP INDEX {how}IF EXISTS {name}")


class Migration(migrations.Migration):
    atomic = False  # as CONCURRENTLY needs it

    dependencies = [("mail", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(add, remove)],
            state_operations=[
                migrations.AddIndex(
                    "OutgoingMail",
                    models.Index(
                        fields=["created_at"],
                        name="outgoing_mail_open",
                        condition=models.Q(("state__in", ["waiting", "sending"])),
                    ),
                ),
                migrations.AddIndex(
                    "OutgoingMail",
                    models.Index(
                        fields=["created_at"], name="outgoing_mail_failed", condition=models.Q(("state", "failed"))
                    ),
                ),
            ],
        )
    ]
