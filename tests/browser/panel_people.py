"""People, sessions, mails and thirty days of events for the panel. Runs inside of the site: `manage.py shell -c`."""

from datetime import timedelta
from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.utils import timezone

from accounts.models import Session, User
from audit.models import Event
from mail.models import OutgoingMail
from rbac.models import Role, RoleGrant
from tests.browser.crowd import FIRST, LAST, person

HOW_MANY = 620
CHIEFS = {"en": "chief@example.org", "ru": "nachalnik@example.org"}


def settle(password: str) -> None:
    encoded, now = make_password(password), timezone.now()
    crowd = [
        person(
            f"{FIRST[n % 7].lower()}.{LAST[n % 6].lower()}{n}@example.org",
            FIRST[n % 7],
            LAST[n % 6],
            is_active=n % 11 > 0,
            created_at=now - timedelta(hours=n),
            last_login=now - timedelta(hours=n * 3) if n % 5 else None,
        )
        for n in range(HOW_MANY)
    ]
    chiefs = [
        person(email, "Robin", "Chief", language=language, is_staff=True, password=encoded)
        for language, email in CHIEFS.items()
    ]
    User.objects.bulk_create([*crowd, *chiefs])
    editor = Role.objects.create(name="editor", description="Writes and mends articles")
    admin = Role.objects.get(name="admin")
    RoleGrant.objects.bulk_create([RoleGrant(user=user, role=editor, granted_by=chiefs[0]) for user in crowd[:40]])
    RoleGrant.objects.bulk_create([RoleGrant(user=user, role=admin) for user in chiefs])
    happen(crowd, chiefs[0].pk)


def happen(crowd: list[User], chief: UUID) -> None:
    now, events = timezone.now(), []
    for ago in range(30):
        at = now - timedelta(days=ago, minutes=5)
        for action, times in (
            ("user.signed_up", 4 + ago * 7 % 11),
            ("session.started", 30 + ago * 13 % 29),
            ("session.refused", 3 + ago * 5 % 13),
        ):
            events += [Event(action=action, at=at, target_id=crowd[n * 7 % 600].pk) for n in range(times)]
    events += [Event(action="guard.refused", actor_id=crowd[n].pk, target_id=chief) for n in range(3)]
    Event.objects.bulk_create(events)
    times = dict.fromkeys(("created_at", "rotated_at", "last_used_at"), now)
    ends = dict.fromkeys(("access_expires_at", "refresh_expires_at", "expires_at"), now + timedelta(days=9))
    devices = ("Firefox on Linux", "Safari on iOS", "Chrome on Windows")
    Session.objects.bulk_create(
        Session(user=user, ip=f"192.0.2.{n % 250}", device=devices[n % 3], **times, **ends)
        for n, user in enumerate(crowd[:120])
    )
    states = ("sent", "sent", "sent", "failed", "expired")
    OutgoingMail.objects.bulk_create(
        OutgoingMail(
            template="verify",
            to=user.email,
            language="en",
            user_id=user.pk,
            state=states[n % 5],
            next_try_at=now,
            attempts=1,
        )
        for n, user in enumerate(crowd[:80])
    )
