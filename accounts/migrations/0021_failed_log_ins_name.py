from django.db import migrations


class Migration(migrations.Migration):
    """What the panel calls them. Nothing in the database changes."""

    dependencies = [("accounts", "0020_lists")]

    operations = [
        migrations.AlterModelOptions(
            name="failedlogins",
            options={"verbose_name": "failed log-ins", "verbose_name_plural": "failed log-ins"},
        )
    ]
