"""The trail cannot be rewritten, whoever asks: the triggers are in the database."""

from datetime import timedelta

import pytest
from django.db import Error, IntegrityError, connection, transaction
from django.utils import timezone

from audit.models import Event, Pruning
from audit.services import prune
from audit.tests.factories import EventFactory

pytestmark = pytest.mark.django_db


def test_it_refuses_to_change_an_event():
    event = EventFactory(action="role.granted")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Event.objects.filter(pk=event.pk).update(action="role.withdrawn")
    event.refresh_from_db()
    assert event.action == "role.granted"


def test_it_refuses_to_change_even_what_a_pruning_releases():
    event = EventFactory(at=timezone.now() - timedelta(days=400))
    Pruning.objects.create(before=timezone.now())
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Event.objects.filter(pk=event.pk).update(details={"forged": True})
    event.refresh_from_db()
    assert event.details == {}


def test_it_refuses_to_delete_events_by_model_and_by_sql():
    EventFactory(at=timezone.now() - timedelta(days=400))
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Event.objects.all().delete()
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("DELETE FROM audit_events")
    assert Event.objects.count() == 1


def test_a_pruning_releases_older_events_only():
    kept = EventFactory()
    Pruning.objects.create(before=kept.at)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Event.objects.all().delete()
    assert Event.objects.count() == 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no TRUNCATE")
def test_it_refuses_to_truncate():
    EventFactory()
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE audit_events")
    assert Event.objects.count() == 1


def test_prune_deletes_what_is_older_and_says_so(monkeypatch):
    monkeypatch.setattr("audit.services.PRUNE_BATCH", 2)
    cutoff = timezone.now() - timedelta(days=365)
    EventFactory.create_batch(5, at=cutoff - timedelta(seconds=1))
    kept = EventFactory(at=cutoff)
    assert prune(cutoff) == 5
    assert not Pruning.objects.exists()
    trace = Event.objects.exclude(pk=kept.pk).get()
    assert (trace.action, trace.details["events"], trace.details["by"]) == ("audit.pruned", 5, "prune")


def test_prune_leaves_the_rest_to_the_next_time(monkeypatch):
    monkeypatch.setattr("audit.services.PRUNE_BATCH", 2)
    EventFactory.create_batch(5, at=timezone.now() - timedelta(days=400))
    assert [prune(timezone.now() - timedelta(days=365), seconds=0) for _ in range(3)] == [2, 2, 1]


def test_prune_leaves_no_trace_when_there_is_nothing_to_delete():
    EventFactory()
    assert prune(timezone.now() - timedelta(days=1)) == 0
    assert Event.objects.count() == 1


def test_after_prune_nothing_can_be_deleted_any_more():
    EventFactory(at=timezone.now() - timedelta(days=400))
    prune(timezone.now() - timedelta(days=500))
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Event.objects.all().delete()
    assert Event.objects.count() == 1
