import factory
from django.db.models.functions import Now
from factory.django import DjangoModelFactory

from core.ids import uuid7
from mail.models import OutgoingMail


class OutgoingMailFactory(DjangoModelFactory[OutgoingMail]):
    class Meta:
        model = OutgoingMail

    template = "verify"
    to = factory.Sequence(lambda n: f"person-{n}@example.org")
    language = "en"
    user_id = factory.LazyFunction(uuid7)
    challenge_id = factory.LazyFunction(uuid7)
    next_try_at = factory.LazyFunction(Now)
