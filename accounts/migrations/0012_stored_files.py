import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import core.ids


class Migration(migrations.Migration):
    """Files of jobs, in pieces. The previous release does not know them."""

    dependencies = [
        ("accounts", "0011_user_external_id"),
    ]

    operations = [
        migrations.CreateModel(
            name="StoredFile",
            fields=[
                ("id", models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("owner_id", models.UUIDField(null=True)),
                ("name", models.CharField(max_length=200)),
                ("size", models.PositiveBigIntegerField(default=0)),
                ("lines", models.PositiveIntegerField(default=0)),
                ("is_whole", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("expires_at", models.DateTimeField()),
            ],
            options={
                "db_table": "stored_files",
                "indexes": [models.Index(fields=["expires_at"], name="stored_files_by_expiry")],
            },
        ),
        migrations.CreateModel(
            name="StoredPiece",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("start", models.PositiveBigIntegerField()),
                ("data", models.BinaryField()),
                (
                    "file",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="pieces",
                        to="accounts.storedfile",
                    ),
                ),
            ],
            options={
                "db_table": "stored_pieces",
                "constraints": [models.UniqueConstraint(fields=("file", "start"), name="stored_pieces_once")],
            },
        ),
    ]
