from django.db import migrations, models


class Migration(migrations.Migration):
    """Hashes of other systems can be longer than 128 characters. PostgreSQL rewrites nothing for it."""

    dependencies = [("accounts", "0004_sessions_live_of_key")]

    operations = [
        migrations.AlterField(model_name="user", name="password", field=models.CharField(max_length=255)),
    ]
