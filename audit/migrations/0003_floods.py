"""Counters for floods of failures."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_append_only")]

    operations = [
        migrations.CreateModel(
            name="Flood",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("network", models.CharField(max_length=64)),
                ("action", models.CharField(max_length=64)),
                ("minute", models.DateTimeField()),
                ("times", models.PositiveIntegerField(default=1)),
            ],
            options={
                "db_table": "audit_floods",
                "constraints": [
                    models.UniqueConstraint(fields=("minute", "network", "action"), name="audit_floods_unique")
                ],
            },
        ),
    ]
