"""Writing down what happened, and letting go of it after its time."""

import math
import time
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models, transaction

from audit import floods
from audit.models import Event, Pruning
from core.actor import Actor

PRUNE_BATCH = 500

Target = models.Model | UUID | None


def record(actor: Actor, action: str, target: Target = None, **details: Any) -> None:
    """Write one event within the caller's transaction, so that it stands exactly when the change does.

    `details` are JSON and hold no secrets; what a stranger typed goes in as `core.secrets.keyed_hash` only.
    """
    event(actor, action, target, **details).save(force_insert=True)


def event(actor: Actor, action: str, target: Target = None, **details: Any) -> Event:
    """What `record` writes, for whoever writes many at once."""
    if actor.is_system:
        details = {"by": actor.device, **details}
    return Event(
        actor_id=actor.user_id,
        action=action,
        target_id=target.pk if isinstance(target, models.Model) else target,
        ip=actor.ip,
        request_id=actor.request_id,
        details=details,
    )


def record_failure(actor: Actor, action: str, target: Target = None, **details: Any) -> None:
    """Like `record`, for what strangers can cause at will: a flood costs one counter, not a row each."""
    with transaction.atomic(savepoint=False):
        if actor.user_id is not None or not floods.is_one_too_many(actor.ip, action):
            record(actor, action, target, **details)


def prune(older_than: datetime, seconds: float = math.inf) -> int:
    """Delete the events before `older_than` in small transactions; the pruning is itself an event.

    After `seconds` the rest is left to the next time.
    """
    end = time.monotonic() + seconds
    deleted = 0
    while batch := _prune_batch(older_than):
        deleted += batch
        if time.monotonic() > end:
            break
    if deleted:
        record(Actor.system("prune"), "audit.pruned", before=older_than, events=deleted)
    return deleted


@transaction.atomic
def _prune_batch(older_than: datetime) -> int:
    Pruning.objects.create(before=older_than)
    oldest = Event.objects.filter(at__lt=older_than).order_by("at", "id").values("pk")[:PRUNE_BATCH]
    deleted, _ = Event.objects.filter(pk__in=oldest).delete()
    Pruning.objects.all().delete()
    return deleted
