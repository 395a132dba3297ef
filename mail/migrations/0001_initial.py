"""The outbox."""

import django.utils.timezone
from django.db import migrations, models

from core.ids import uuid7


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="OutgoingMail",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("template", models.CharField(max_length=40)),
                ("to", models.CharField(max_length=320)),
                ("language", models.CharField(max_length=8)),
                ("user_id", models.UUIDField(blank=True, null=True)),
                ("challenge_id", models.UUIDField(blank=True, null=True)),
                ("with_code", models.BooleanField(default=True)),
                ("context", models.JSONField(blank=True, default=dict)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("sending", "Sending"),
                            ("sent", "Sent"),
                            ("failed", "Failed"),
                            ("expired", "Expired"),
                        ],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_try_at", models.DateTimeField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("last_error", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "verbose_name": "outgoing mail",
                "verbose_name_plural": "outgoing mail",
                "db_table": "outgoing_mail",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["waiting", "sending"])),
                        fields=["next_try_at"],
                        name="outgoing_mail_due",
                    ),
                    models.Index(fields=["created_at"], name="outgoing_mail_created"),
                    models.Index(fields=["user_id"], name="outgoing_mail_user"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["waiting", "sending", "sent", "failed", "expired"])),
                        name="outgoing_mail_state",
                    )
                ],
            },
        ),
    ]
