from django.db import migrations, models


class Migration(migrations.Migration):
    """What another system calls an account. The previous release leaves it empty."""

    dependencies = [("accounts", "0010_search")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="external_id",
            field=models.CharField(
                blank=True,
                help_text="What the system that it was taken over from calls it.",
                max_length=128,
                null=True,
            ),
        ),
    ]
