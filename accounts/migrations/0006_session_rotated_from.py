from django.db import migrations, models


class Migration(migrations.Migration):
    """From which network a session was last refreshed; unknown where the previous release still writes sessions."""

    dependencies = [("accounts", "0005_password_length")]

    operations = [
        migrations.AddField(
            model_name="session",
            name="rotated_from",
            field=models.CharField(
                blank=True, db_default="", help_text="The network that asked for it.", max_length=64
            ),
        ),
    ]
