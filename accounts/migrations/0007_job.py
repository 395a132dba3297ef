import django.db.models.functions.datetime
from django.db import migrations, models

import core.ids


class Migration(migrations.Migration):
    """A table for long work in the background. The previous release does not know it."""

    dependencies = [
        ("accounts", "0006_session_rotated_from"),
    ]

    operations = [
        migrations.CreateModel(
            name="Job",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=40)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("actor_id", models.UUIDField(null=True)),
                ("ip", models.GenericIPAddressField(null=True)),
                ("device", models.CharField(blank=True, max_length=100)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                ("parameters", models.JSONField(default=dict)),
                ("position", models.JSONField(default=dict)),
                ("outcome", models.JSONField(default=dict)),
                ("total", models.PositiveIntegerField(null=True)),
                ("done", models.PositiveIntegerField(default=0)),
                ("failed", models.PositiveIntegerField(default=0)),
                ("claims", models.PositiveIntegerField(default=0)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("started_at", models.DateTimeField(null=True)),
                ("due_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "jobs",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["waiting", "running"])), fields=["due_at"], name="jobs_due"
                    ),
                    models.Index(fields=["actor_id", "id"], name="jobs_of_actor"),
                    models.Index(
                        condition=models.Q(("state__in", ["waiting", "running"]), _negated=True),
                        fields=["finished_at"],
                        name="jobs_finished",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["waiting", "running", "done", "failed", "cancelled"])),
                        name="jobs_state",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("failed__lte", models.F("done"))), name="jobs_failed_are_done"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("finished_at", None), ("state__in", ["waiting", "running"])),
                            models.Q(
                                models.Q(("state__in", ["waiting", "running"]), _negated=True),
                                ("finished_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="jobs_finished_have_a_time",
                    ),
                ],
            },
        ),
    ]
