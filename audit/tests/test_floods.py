from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.utils import timezone

from audit.floods import WRITTEN_EACH, sum_up_floods
from audit.models import Event, Flood
from audit.services import record_failure
from core.actor import Actor
from core.ids import uuid7


@pytest.fixture(autouse=True)
def _one_minute(monkeypatch):
    """No test straddles two minutes."""
    now = timezone.now()
    monkeypatch.setattr("audit.floods.timezone.now", lambda: now)


def later(monkeypatch):
    moment = timezone.now() + timedelta(minutes=5)
    monkeypatch.setattr("audit.floods.timezone.now", lambda: moment)


def fail(times, ip="203.0.113.9", action="session.refused", user=None):
    for _ in range(times):
        record_failure(Actor(user=user, ip=ip), action, reason="password")


@pytest.mark.django_db
def test_the_first_failures_of_a_minute_are_written_one_by_one():
    fail(WRITTEN_EACH)
    assert Event.objects.filter(action="session.refused", details={"reason": "password"}).count() == WRITTEN_EACH


@pytest.mark.django_db
def test_further_failures_are_only_counted():
    fail(WRITTEN_EACH + 300)
    assert Event.objects.count() == WRITTEN_EACH
    assert Flood.objects.get().times == WRITTEN_EACH + 300


@pytest.mark.django_db
def test_other_networks_and_other_actions_are_written_meanwhile():
    fail(WRITTEN_EACH + 1)
    fail(1, ip="203.0.113.10")
    fail(1, action="password.reset_asked")
    assert Event.objects.count() == WRITTEN_EACH + 2


@pytest.mark.django_db
def test_one_ipv6_network_is_one_flood():
    for host in range(WRITTEN_EACH + 5):
        fail(1, ip=f"2001:db8::{host:x}")
    assert Event.objects.count() == WRITTEN_EACH
    assert Flood.objects.get().network == "2001:db8::/64"


@pytest.mark.django_db
def test_failures_of_a_known_person_are_always_written():
    fail(WRITTEN_EACH + 5, user=SimpleNamespace(pk=uuid7()))
    assert Event.objects.count() == WRITTEN_EACH + 5
    assert not Flood.objects.exists()


@pytest.mark.django_db
def test_a_flood_that_is_over_becomes_one_event(monkeypatch):
    fail(WRITTEN_EACH + 300)
    later(monkeypatch)
    assert sum_up_floods() == 1
    event = Event.objects.order_by("id").last()
    assert (event.action, event.ip, event.actor_id) == ("session.refused", "203.0.113.9", None)
    assert event.details["times"] == 300
    assert event.details["since"] < event.details["until"]
    assert not Flood.objects.exists()


@pytest.mark.django_db
def test_a_flood_that_goes_on_is_left_alone():
    fail(WRITTEN_EACH + 1)
    assert sum_up_floods() == 0
    assert Flood.objects.get().times == WRITTEN_EACH + 1
    assert Event.objects.count() == WRITTEN_EACH


@pytest.mark.django_db
def test_a_few_failures_need_no_sum(monkeypatch):
    fail(3)
    fail(3, ip=None)
    later(monkeypatch)
    assert sum_up_floods() == 0
    assert Event.objects.count() == 6
    assert not Flood.objects.exists()


@pytest.mark.django_db
def test_summing_up_twice_writes_one_event(monkeypatch):
    fail(WRITTEN_EACH + 1)
    later(monkeypatch)
    assert (sum_up_floods(), sum_up_floods()) == (1, 0)
    assert Event.objects.count() == WRITTEN_EACH + 1


@pytest.mark.django_db(transaction=True)
def test_parallel_failures_are_counted_exactly():
    def fail_once(_):
        try:
            fail(1)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fail_once, range(60)))
    assert Flood.objects.get().times == 60
    assert Event.objects.count() == WRITTEN_EACH


@pytest.mark.django_db(transaction=True)
def test_parallel_sums_write_one_event(monkeypatch):
    fail(WRITTEN_EACH + 7)
    later(monkeypatch)

    def sum_up(_):
        try:
            return sum_up_floods()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(sum_up, range(16))) == 1
    assert Event.objects.count() == WRITTEN_EACH + 1
