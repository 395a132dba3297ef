"""The panel's front page: thirty days at a glance, what waits, and what was refused lately.

A day that is over is counted once: its numbers are kept as `Counter` rows. Newest first, and no longer than a page may
take; what is left the next look counts. So a first look at a large journal shows a part, and none is slow.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Counter, FailedLogIns, Session, User
from accounts.person.sentences import sentence
from audit.models import Event
from core.panel_lists import about_how_many, addresses_of
from mail.models import OPEN, OutgoingMail

DAYS = 30
SECONDS = 0.05  # for counting days that nobody has counted yet
KEPT = timedelta(days=DAYS + 5)
SHOWN = 10
COUNTED = 1_000
SIGNED_UP, STARTED, REFUSED = "user.signed_up", "session.started", "session.refused"
LOCKED, ACTIVE = "user.locked", "active"
SERIOUS = ("guard.refused", "session.reused", "session.repeated", "password.refused", "user.deactivated", "key.revoked")

Day = dict[str, int]


@dataclass(frozen=True, slots=True)
class Tile:
    words: str
    number: str
    link: str


@dataclass(frozen=True, slots=True)
class Bar:
    """In a box of 600 by 120; `parts` from the ground up: the height, where it begins, and its kind."""

    left: int
    day: date
    numbers: list[int | None]
    parts: list[tuple[int, int, str]]


@dataclass(frozen=True, slots=True)
class Chart:
    words: str
    kinds: list[tuple[str, str]]
    bars: list[Bar]
    highest: int
    sums: list[int | None]
    link: str


def context(request: HttpRequest) -> dict[str, Any]:
    """What whoever looks may see, and no more."""
    can = request.user.has_perm
    days = by_day() if can("audit:read") else {}
    return {
        "tiles": [tile for permission, tile in tiles() if can(permission)] if can_any(can) else [],
        "charts": charts(days) if days else [],
        "is_counting": any(not day for day in days.values()),
        "events": serious() if can("audit:read") else [],
        "events_link": reverse("admin:audit_event_changelist"),
    }


def can_any(can: Any) -> bool:
    return any(can(permission) for permission in ("user:read", "session:read", "audit:read"))


# --- Days --------------------------------------------------------------------------------------------------------


def by_day() -> dict[date, Day]:
    """The last thirty days, today last; a day that is not counted yet is empty."""
    today = timezone.now().astimezone(UTC).date()
    days = {today - timedelta(days=ago): Day() for ago in range(DAYS - 1, 0, -1)}
    remembered = Counter.objects.in_bulk([key(day, what) for day in days for what in WHAT])
    for day in days:
        found = {what: remembered.get(key(day, what)) for what in WHAT}
        days[day] = {what: row.count for what, row in found.items() if row} if all(found.values()) else {}
    count_missing(days)
    return {**days, today: so_far(today)}


WHAT = (SIGNED_UP, STARTED, REFUSED, LOCKED, ACTIVE)


def key(day: date, what: str) -> str:
    return f"day:{day:%Y-%m-%d}:{what}"


def count_missing(days: dict[date, Day]) -> None:
    end, new = time.monotonic() + SECONDS, []
    for day in sorted((day for day, numbers in days.items() if not numbers), reverse=True):
        if time.monotonic() > end:
            break
        days[day] = counted(day)
        expires_at = midnight(day) + KEPT
        new += [Counter(key=key(day, what), count=number, expires_at=expires_at) for what, number in days[day].items()]
    Counter.objects.bulk_create(new, ignore_conflicts=True)


def counted(day: date) -> Day:
    """One range of the index of actions for each."""
    then = Event.objects.filter(at__gte=midnight(day), at__lt=midnight(day) + timedelta(days=1))
    numbers = {what: then.filter(action=what).count() for what in WHAT if what != ACTIVE}
    return {**numbers, ACTIVE: people_of(day)}


def people_of(day: date) -> int:
    """A quarter of the day at a time: no index has whom a log-in is of, and a whole day's are many to read at once."""
    people: set[Any] = set()
    quarter = timedelta(hours=6)
    for begin in (midnight(day) + number * quarter for number in range(4)):
        started = Event.objects.filter(action=STARTED, at__gte=begin, at__lt=begin + quarter)
        people.update(started.values_list("target_id", flat=True).distinct())
    return len(people)


def so_far(today: date) -> Day:
    """Counted at each look. Whoever signed in today did so last today, which an index knows without the events."""
    then = Event.objects.filter(at__gte=midnight(today))
    numbers = {what: then.filter(action=what).count() for what in WHAT if what != ACTIVE}
    people: Any = User.objects.sortable()
    return {**numbers, ACTIVE: people.filter(last_login_key__gte=midnight(today)).count()}


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


# --- What is drawn -----------------------------------------------------------------------------------------------


def charts(days: dict[date, Day]) -> list[Chart]:
    listed = reverse("admin:audit_event_changelist")
    return [
        chart(_("Sign-ups"), [(SIGNED_UP, "one", _("Sign-ups"))], days, f"{listed}?action={SIGNED_UP}"),
        chart(
            _("Log-ins"),
            [
                (STARTED, "one", _("Successful")),
                (REFUSED, "bad", _("Failed attempts")),
                (LOCKED, "locked", _("Locked")),
            ],
            days,
            f"{listed}?action={REFUSED}",
        ),
        chart(_("People who signed in"), [(ACTIVE, "one", _("People"))], days, f"{listed}?action={STARTED}"),
    ]


def chart(words: str, kinds: list[tuple[str, str, str]], days: dict[date, Day], link: str) -> Chart:
    highest = max((sum(numbers.get(what, 0) for what, _kind, _words in kinds) for numbers in days.values()), default=0)
    bars = [bar(place, day, numbers, kinds, highest or 1) for place, (day, numbers) in enumerate(days.items())]
    sums = [total(days, what) for what, _kind, _words in kinds]
    return Chart(words, [(kind, name) for _what, kind, name in kinds], bars, highest, sums, link)


def total(days: dict[date, Day], what: str) -> int | None:
    """Nothing for people: who came on two days is one."""
    return None if what == ACTIVE else sum(numbers.get(what, 0) for numbers in days.values())


def bar(place: int, day: date, numbers: Day, kinds: Iterable[tuple[str, str, str]], highest: int) -> Bar:
    parts, ground = [], 120
    for what, kind, _words in kinds:
        height = round(numbers.get(what, 0) * 116 / highest)
        ground -= height
        parts.append((height, ground, kind))
    return Bar(place * 20 + 2, day, [numbers.get(what) for what, _kind, _words in kinds], parts)


# --- What waits, and what was refused ----------------------------------------------------------------------------


def tiles() -> list[tuple[str, Tile]]:
    """Each with the permission that its list needs. Nothing here reads more than a thousand entries of an index."""
    mails = reverse("admin:mail_outgoingmail_changelist")
    waiting = OutgoingMail.objects.filter(state__in=OPEN)
    failed = OutgoingMail.objects.filter(state="failed")
    locked = FailedLogIns.objects.filter(wait_until__gt=timezone.now()).exclude(network="")
    live = Session.objects.all().about_how_many_live(COUNTED)
    return [
        ("user:read", Tile(_("Users"), f"{about_how_many(User):,}", reverse("admin:accounts_user_changelist"))),
        ("session:read", Tile(_("Live sessions"), f"{live:,}", reverse("admin:accounts_session_changelist"))),
        ("user:read", Tile(_("Mails waiting"), bounded(waiting), f"{mails}?state=open")),
        ("user:read", Tile(_("Mails failed"), bounded(failed), f"{mails}?state=failed")),
        ("session:read", Tile(_("Locked now"), bounded(locked), reverse("admin:accounts_failedlogins_changelist"))),
    ]


def bounded(rows: Any) -> str:
    number = rows.values("pk")[: COUNTED + 1].count()
    return f"{number:,}" if number <= COUNTED else f"{COUNTED:,}+"


def serious() -> list[dict[str, Any]]:
    """The newest of each kind by the index of actions, and of these the newest."""
    found = [
        event for action in SERIOUS for event in Event.objects.filter(action=action).order_by("-at", "-id")[:SHOWN]
    ]
    newest = sorted(found, key=lambda event: (event.at, event.pk), reverse=True)[:SHOWN]
    names = addresses_of(id_ for event in newest for id_ in (event.actor_id, event.target_id))
    return [
        {
            "event": event,
            "words": sentence(event),
            "actor": names.get(event.actor_id, ""),
            "target": names.get(event.target_id, ""),
        }
        for event in newest
    ]
