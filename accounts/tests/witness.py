"""What refusals must leave alone, and what they must write down."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accounts.models import Challenge, KnownPlace, Session, User
from audit.models import Event
from mail.models import OutgoingMail
from rbac.models import RoleGrant

WATCHED = (User, Session, Challenge, KnownPlace, RoleGrant, OutgoingMail)


def state(but: tuple[str, ...] = ()) -> dict[str, Any]:
    """People and all that hangs on them, without the columns `but`."""
    return {
        model.__name__: [
            {name: value for name, value in row.items() if name not in but}
            for row in model._default_manager.order_by("pk").values()
        ]
        for model in WATCHED
    }


@contextmanager
def nothing_changes(*but: str) -> Iterator[None]:
    """Nobody's account, session, code or role, and no mail; counters and events are no part of it."""
    before = state(but)
    yield
    assert state(but) == before


def events(action: str | None = None) -> list[str]:
    """What was recorded, oldest first."""
    found = Event.objects.order_by("at", "id")
    return list((found.filter(action=action) if action else found).values_list("action", flat=True))


def problem(response: Any) -> dict[str, Any]:
    """The body of an error without what differs each time."""
    body = dict(response.json())
    assert response["Content-Type"] == "application/problem+json"
    assert body.pop("request_id") == response["X-Request-ID"]
    assert body["status"] == response.status_code
    return body


def field_codes(response: Any) -> dict[str, str]:
    """Of a 400: field → code."""
    assert response.status_code == 400, response.content
    body = problem(response)
    assert body["code"] == "validation_error"
    return {entry["field"]: entry["code"] for entry in body["errors"]}
