from types import SimpleNamespace
from uuid import UUID

import pytest
from django.db import transaction

from audit.models import Event
from audit.services import record
from audit.tests.factories import EventFactory
from core.actor import Actor
from core.ids import uuid7

pytestmark = pytest.mark.django_db


def test_it_says_who_did_what_to_whom_and_from_where():
    person, target = SimpleNamespace(pk=uuid7()), uuid7()
    actor = Actor(user=person, ip="2001:db8::1", request_id="r-1")
    record(actor, "role.granted", target, role="editor")
    event = Event.objects.get()
    assert (event.actor_id, event.target_id, event.action) == (person.pk, target, "role.granted")
    assert (event.ip, event.request_id, event.details) == ("2001:db8::1", "r-1", {"role": "editor"})


def test_the_target_may_be_a_row():
    row = EventFactory()
    record(Actor(), "user.changed", row)
    assert Event.objects.exclude(pk=row.pk).get().target_id == row.pk


def test_a_command_is_named_though_it_is_nobody():
    record(Actor.system("prune"), "user.deleted")
    event = Event.objects.get()
    assert event.actor_id is None
    assert event.details == {"by": "prune"}


def test_details_hold_ids_as_text():
    role = UUID("01939b1e-0000-7000-8000-000000000001")
    record(Actor(), "role.changed", role=role)
    assert Event.objects.get().details == {"role": str(role)}


def test_an_event_goes_away_with_the_change_that_is_rolled_back():
    with pytest.raises(RuntimeError), transaction.atomic():
        record(Actor(), "user.changed")
        raise RuntimeError
    assert not Event.objects.exists()
