import factory
from factory.django import DjangoModelFactory

from audit.models import Event


class EventFactory(DjangoModelFactory[Event]):
    class Meta:
        model = Event

    action = "user.changed"
    ip = "203.0.113.9"
    request_id = factory.Sequence(lambda n: f"request-{n}")
