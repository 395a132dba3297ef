"""What tests say about changes: that nothing happened, or that only a refusal was recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import get_user_model

from audit.models import Event
from core.actor import Actor
from core.errors import Problem
from rbac.models import Permission, Role, RoleGrant


def acting(user: Any) -> Actor:
    """An actor as of a new request, in which nothing is remembered."""
    return Actor(user=get_user_model().objects.get(pk=user.pk), ip="203.0.113.7", request_id="test")


def state() -> dict[str, Any]:
    """All that says who may do what."""
    return {
        "permissions": list(Permission.objects.order_by("pk").values()),
        "roles": list(Role.objects.order_by("pk").values()),
        "role_permissions": sorted(Role.permissions.through.objects.values_list("role_id", "permission_id")),
        "grants": list(RoleGrant.objects.order_by("pk").values()),
        "users": list(get_user_model().objects.order_by("pk").values()),
    }


def told(problem: Problem) -> list[tuple[str, str]]:
    """Field and code of each error in a validation problem."""
    return [(error["field"], error["code"]) for error in problem.errors or ()]


@contextmanager
def nothing_changes() -> Iterator[None]:
    before, events = state(), Event.objects.count()
    yield
    assert state() == before
    assert Event.objects.count() == events


@contextmanager
def refused(code: str, operation: str) -> Iterator[None]:
    """A guard rail refuses: nothing changes, and the refusal is recorded."""
    before = state()
    known = set(Event.objects.values_list("pk", flat=True))
    yield
    assert state() == before
    [event] = Event.objects.exclude(pk__in=known)
    assert event.action == "guard.refused"
    assert event.details["code"] == code
    assert event.details["operation"] == operation
