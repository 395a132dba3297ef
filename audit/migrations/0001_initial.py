"""Events: what happened."""

import django.core.serializers.json
import django.utils.timezone
from django.db import migrations, models

from core.ids import uuid7


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Event",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("actor_id", models.UUIDField(blank=True, null=True)),
                ("action", models.CharField(max_length=64)),
                ("target_id", models.UUIDField(blank=True, null=True)),
                ("ip", models.GenericIPAddressField(blank=True, null=True)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                (
                    "details",
                    models.JSONField(blank=True, default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder),
                ),
            ],
            options={
                "db_table": "audit_events",
                "indexes": [
                    models.Index(fields=["at", "id"], name="audit_events_at"),
                    models.Index(fields=["actor_id", "at", "id"], name="audit_events_actor"),
                    models.Index(fields=["target_id", "at", "id"], name="audit_events_target"),
                    models.Index(fields=["action", "at", "id"], name="audit_events_action"),
                ],
            },
        ),
    ]
