from django.db import migrations, models

from core.indexes import AddIndexWhileServing


class Migration(migrations.Migration):
    """Whom a role was given to, the newest first; and the few grants that end one day."""

    atomic = False
    dependencies = [("rbac", "0001_initial")]

    operations = [
        AddIndexWhileServing(
            model_name="rolegrant",
            index=models.Index(fields=["role", "id"], name="user_roles_role"),
        ),
        AddIndexWhileServing(
            model_name="rolegrant",
            index=models.Index(fields=["id"], condition=models.Q(expires_at__isnull=False), name="user_roles_ending"),
        ),
    ]
