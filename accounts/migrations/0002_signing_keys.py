from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """A table for the keys of tokens. The previous release does not know it."""

    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="SigningKey",
            fields=[
                ("kid", models.CharField(max_length=32, primary_key=True, serialize=False)),
                (
                    "algorithm",
                    models.CharField(
                        choices=[("HS256", "Hs256"), ("EdDSA", "Eddsa"), ("RS256", "Rs256")], max_length=8
                    ),
                ),
                ("sealed", models.BinaryField(help_text="The private half, encrypted under SECRET_KEY.")),
                ("sealed_under", models.CharField(help_text="Which SECRET_KEY: its fingerprint.", max_length=16)),
                ("created_at", models.DateTimeField()),
                (
                    "retired_at",
                    models.DateTimeField(help_text="Signs no more since; what it signed stays good.", null=True),
                ),
                ("revoked_at", models.DateTimeField(help_text="What it signed is refused since.", null=True)),
            ],
            options={
                "db_table": "signing_keys",
                "constraints": [
                    models.UniqueConstraint(
                        condition=Q(retired_at=None), fields=("sealed_under",), name="signing_keys_one_signs"
                    ),
                    models.CheckConstraint(
                        condition=Q(revoked_at=None) | Q(retired_at__isnull=False),
                        name="signing_keys_revoked_is_retired",
                    ),
                ],
            },
        ),
    ]
