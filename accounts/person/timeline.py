"""What happened to somebody, and what they did: two indexes of the trail, read side by side."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.models import User
from accounts.person.sentences import ALARMING, sentence
from audit.models import Event
from core.pagination import beyond, read_cursor, write_cursor

LENGTH = 25
ORDER = ["-at", "-id"]


@dataclass(frozen=True, slots=True)
class Entry:
    """`by` and `about` are others than the person whose timeline this is, as far as they are still known."""

    at: datetime
    words: str
    is_alarming: bool
    ip: str | None
    by: User | None
    by_system: str
    about: User | None


@dataclass(frozen=True, slots=True)
class Timeline:
    entries: list[Entry]
    older: str | None
    """The cursor of what comes next."""


def timeline_of(user: User, cursor: str | None) -> Timeline:
    """Newest first. Raises InvalidInput for a cursor that is not ours."""
    name = f"timeline {user.pk}"
    position = read_cursor(cursor, name)[1] if cursor else None
    events = events_of(user.pk, position, LENGTH + 1)
    shown = events[:LENGTH]
    has_more = len(events) > LENGTH
    older = write_cursor(False, [shown[-1].at, shown[-1].pk], name) if has_more else None
    return Timeline(list(entries(user, shown)), older)


def events_of(user_id: UUID, position: list[Any] | None, at_most: int) -> list[Event]:
    """Each side from its own index. Asked in one question, a database would read all that this person ever did, and
    sort it; asked by `=`, PostgreSQL would look for somebody busy among the events of everybody, the newest first,
    and read them all if that was long ago: a range that is to be in order leaves it nothing but that index.
    """
    found: dict[UUID, Event] = {}
    for side in ("target_id", "actor_id"):
        events = Event.objects.filter(**{f"{side}__range": (user_id, user_id)})
        if position:
            events = events.filter(beyond(ORDER, position))
        found |= {event.pk: event for event in events.order_by(f"-{side}", *ORDER)[:at_most]}
    return sorted(found.values(), key=lambda event: (event.at, event.pk), reverse=True)[:at_most]


def entries(user: User, events: list[Event]) -> Iterable[Entry]:
    people = others_in(user, events)
    for event in events:
        yield Entry(
            at=event.at,
            words=sentence(event),
            is_alarming=event.action in ALARMING,
            ip=event.ip,
            by=people.get(event.actor_id),
            by_system=str(event.details.get("by", "")) if event.actor_id is None else "",
            about=people.get(event.target_id),
        )


def others_in(user: User, events: list[Event]) -> dict[UUID | None, User]:
    ids = {i for event in events for i in (event.actor_id, event.target_id) if i and i != user.pk}
    named = User.objects.filter(pk__in=ids).only("email", *User.NAMES) if ids else ()
    return {other.pk: other for other in named}
