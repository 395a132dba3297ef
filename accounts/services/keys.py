"""Keys that sign tokens: replacing one, giving one up, and letting go of those that have had their time."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Coalesce

from accounts import keys
from accounts.keys import Key
from accounts.models import Session, SigningKey
from accounts.services.sessions import end
from audit.services import record
from core.actor import Actor
from core.clock import database_now
from core.errors import NotFound

BATCH = 500


def rotate(actor: Actor) -> Key:
    """A new key of TOKEN_ALGORITHM signs from now on. What the old one signed stays good, so nobody notices."""
    algorithm = settings.TOKEN_ALGORITHM
    secret = keys.generated(algorithm)
    with transaction.atomic():
        keys.one_at_a_time()
        old = SigningKey.objects.signing().first()
        new = keys.succeed(secret, algorithm, database_now())
        record(actor, "key.rotated", kid=new.kid, algorithm=algorithm, retired=old.kid if old else None)
    return new


def revoke(actor: Actor, kid: str) -> int:
    """What this key signed is refused from now on, by every host; how many sessions ended. Raises NotFound.

    The row is what refuses. The sessions end after it, in batches, since there may be millions; if that is cut
    short, do it again, or leave it to the clean-up.
    """
    _mark_revoked(actor, kid, keys.generated(settings.TOKEN_ALGORITHM))
    return _end_sessions(actor, kid)


@transaction.atomic
def _mark_revoked(actor: Actor, kid: str, successor: bytes) -> None:
    keys.one_at_a_time()
    row = SigningKey.objects.filter(kid=kid).first()
    if row is None:
        raise NotFound
    if row.revoked_at:
        return
    now = database_now()
    is_signing = SigningKey.objects.signing().filter(kid=kid).exists()
    new = keys.succeed(successor, settings.TOKEN_ALGORITHM, now) if is_signing else None
    SigningKey.objects.filter(kid=kid).update(revoked_at=now, retired_at=Coalesce("retired_at", now))
    record(actor, "key.revoked", kid=kid, replaced_by=new.kid if new else None)


def _end_sessions(actor: Actor, kid: str) -> int:
    signed = Session.objects.filter(key=kid, ended_at=None).order_by("pk").values_list("pk", flat=True)
    total = 0
    while ids := list(signed[:BATCH]):
        total += len(end(actor, Session.objects.filter(pk__in=ids), Session.Ended.KEY))
    return total


def delete_ended(now: datetime) -> int:
    """Clean-up: keys of which no good token can be left. Ends what a revocation left undone, too."""
    for kid in SigningKey.objects.exclude(revoked_at=None).values_list("kid", flat=True):
        _end_sessions(Actor.system("clean-up"), kid)
    live = Session.objects.filter(key=OuterRef("pk"), ended_at=None)
    longest = timedelta(seconds=settings.SESSION_MAX_SECONDS)
    old = SigningKey.objects.filter(~Exists(live), retired_at__lt=now - longest)
    return old.delete()[0]
