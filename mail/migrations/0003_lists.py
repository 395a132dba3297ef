from django.db import migrations, models

from core.indexes import AddIndexWhileServing


class Migration(migrations.Migration):
    """What staff looks for among millions of mails: the few that expired, and one kind of letter."""

    atomic = False
    dependencies = [("mail", "0002_index_what_is_watched")]

    operations = [
        AddIndexWhileServing(
            model_name="outgoingmail",
            index=models.Index(
                fields=["created_at"], condition=models.Q(state="expired"), name="outgoing_mail_expired"
            ),
        ),
        AddIndexWhileServing(
            model_name="outgoingmail",
            index=models.Index(fields=["template", "created_at", "id"], name="outgoing_mail_letter"),
        ),
    ]
