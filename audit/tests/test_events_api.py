"""GET /api/v1/audit/events, with a reader made of nothing but its permission."""

import json
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from rest_framework.test import APIRequestFactory, force_authenticate

from audit.tests.factories import EventFactory
from audit.views import EventViewSet
from core.ids import uuid7

pytestmark = pytest.mark.django_db
URL = "/api/v1/audit/events"


def person(*permissions):
    return SimpleNamespace(pk=uuid7(), is_authenticated=True, has_perm=lambda name: name in permissions)


def ask(params=None, user=None):
    request = APIRequestFactory().get(URL, params or {})
    force_authenticate(request, user=user or person("audit:read"))
    response = EventViewSet.as_view({"get": "list"})(request)
    if hasattr(response, "render"):
        response.render()
    return response.status_code, json.loads(response.content)


def ids(params):
    status, body = ask(params)
    assert status == 200
    return [row["id"] for row in body["results"]]


def test_strangers_are_told_to_sign_in():
    assert ask(user=AnonymousUser())[0] == 401


def test_it_needs_the_permission():
    EventFactory()
    status, body = ask(user=person("user:read"))
    assert status == 403
    assert body["required"] == "audit:read"
    assert "results" not in body


def test_an_event_tells_all_that_is_known():
    actor, target = uuid7(), uuid7()
    event = EventFactory(actor_id=actor, target_id=target, action="role.granted", details={"role": "editor"})
    _, body = ask()
    assert body["results"] == [
        {
            "id": str(event.pk),
            "at": event.at.isoformat().replace("+00:00", "Z"),
            "actor": str(actor),
            "action": "role.granted",
            "target": str(target),
            "ip": "203.0.113.9",
            "request_id": event.request_id,
            "details": {"role": "editor"},
        }
    ]


def test_a_stranger_is_null():
    EventFactory(ip=None)
    _, body = ask()
    assert [body["results"][0][key] for key in ("actor", "target", "ip")] == [None, None, None]


def test_the_newest_come_first_and_pages_follow_each_other():
    same_moment = timezone.now()
    events = [EventFactory(at=same_moment) for _ in range(5)] + [EventFactory()]
    expected = [str(event.pk) for event in reversed(events)]
    seen, params = [], {"page_size": 2}
    while params:
        _, body = ask(params)
        seen += [row["id"] for row in body["results"]]
        params = dict(parse_qsl(urlsplit(body["next"]).query)) if body["next"] else None
    assert seen == expected


@pytest.mark.parametrize(("name", "column"), [("actor", "actor_id"), ("target", "target_id")])
def test_it_filters_by_person(name, column):
    wanted = EventFactory(**{column: uuid7()})
    EventFactory(**{column: uuid7()})
    EventFactory()
    assert ids({name: getattr(wanted, column)}) == [str(wanted.pk)]


def test_it_filters_by_action():
    wanted = EventFactory(action="session.refused")
    EventFactory(action="session.started")
    assert ids({"action": "session.refused"}) == [str(wanted.pk)]
    assert ids({"action": "session.never_heard_of"}) == []


def test_it_filters_by_time_with_the_first_moment_included():
    moment = timezone.now()
    earlier, then, later = (EventFactory(at=moment + timedelta(hours=shift)) for shift in (-1, 0, 1))
    assert ids({"after": moment.isoformat()}) == [str(later.pk), str(then.pk)]
    assert ids({"before": moment.isoformat()}) == [str(earlier.pk)]
    assert ids({"after": moment.isoformat(), "before": later.at.isoformat()}) == [str(then.pk)]


def test_unknown_parameters_are_ignored():
    event = EventFactory()
    assert ids({"colour": "green", "_connector": "OR", "actor_id__isnull": "x"}) == [str(event.pk)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("actor", "me"),
        ("actor", "\x00"),
        ("target", "1 OR 1=1"),
        ("action", "no action"),
        ("action", "user.changed\x00"),
        ("action", "a." + "b" * 64),
        ("after", "yesterday"),
        ("after", "\x00"),
        ("after", "2026-02-30T00:00:00Z"),
        ("after", "0001-01-01T00:00:00+14:00"),
        ("before", "9999-12-31T23:59:59-14:00"),
        ("before", "99999-01-01T00:00:00Z"),
        ("cursor", "abc"),
        ("page_size", "0"),
    ],
)
def test_invalid_values_are_refused_by_name(field, value):
    EventFactory()
    status, body = ask({field: value})
    assert status == 400
    assert {error["field"] for error in body["errors"]} == {field}


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01", "2026-01-01T00:00:00"])
def test_odd_but_valid_moments_are_understood(value):
    EventFactory()
    assert ask({"after": value})[0] == 200


def test_a_page_costs_one_query(django_assert_num_queries):
    EventFactory.create_batch(3)
    with django_assert_num_queries(1):
        ask()


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_can_be_written(method):
    request = getattr(APIRequestFactory(), method)(URL, {})
    force_authenticate(request, user=person("audit:read"))
    assert EventViewSet.as_view({"get": "list"})(request).status_code == 405
