import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Which key signed a session's tokens. Null where the previous release still writes sessions."""

    dependencies = [("accounts", "0002_signing_keys")]

    operations = [
        migrations.AddField(
            model_name="session",
            name="key",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                help_text="What signs the tokens of the present generation.",
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                to="accounts.signingkey",
            ),
        ),
        migrations.AlterField(
            model_name="session",
            name="ended_by",
            field=models.CharField(
                blank=True,
                choices=[
                    ("log_out", "Log Out"),
                    ("revoked", "Revoked"),
                    ("reused", "Reused"),
                    ("password", "Password"),
                    ("email", "Email"),
                    ("deactivated", "Deactivated"),
                    ("key", "Key"),
                ],
                max_length=16,
            ),
        ),
    ]
