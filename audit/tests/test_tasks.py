from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Event, Flood
from audit.tasks import prune, sum_up_floods
from audit.tests.factories import EventFactory

pytestmark = pytest.mark.django_db


def test_events_are_kept_for_as_many_days_as_configured(settings):
    settings.AUDIT_DAYS = 30
    EventFactory(at=timezone.now() - timedelta(days=30, minutes=1))
    kept = EventFactory(at=timezone.now() - timedelta(days=29))
    prune()
    assert list(Event.objects.exclude(action="audit.pruned")) == [kept]


def test_floods_are_summed_up():
    minute = timezone.now() - timedelta(minutes=5)
    Flood.objects.create(network="203.0.113.9", action="session.refused", minute=minute, times=100)
    sum_up_floods()
    assert Event.objects.get().details["times"] == 80
