from django.db import migrations, models

from core.indexes import AddIndexWhileServing


class Migration(migrations.Migration):
    """The few that staff looks for among millions. An index that holds only them costs everybody else nothing."""

    atomic = False
    dependencies = [("accounts", "0013_user_external_id_once")]

    operations = [
        AddIndexWhileServing(
            model_name="user",
            index=models.Index(fields=["created_at", "id"], condition=models.Q(is_staff=True), name="users_staff"),
        ),
        AddIndexWhileServing(
            model_name="user",
            index=models.Index(fields=["created_at", "id"], condition=models.Q(is_active=False), name="users_inactive"),
        ),
        AddIndexWhileServing(
            model_name="user",
            index=models.Index(
                fields=["created_at", "id"], condition=models.Q(is_verified=False), name="users_unverified"
            ),
        ),
        AddIndexWhileServing(
            model_name="session",
            index=models.Index(fields=["ip", "id"], name="sessions_by_ip"),
        ),
    ]
