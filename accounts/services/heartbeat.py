"""Signs of life, and failures, of the background work, which may run on another host: both stand in the database."""

import math
from datetime import timedelta

from accounts.limits import count_in_database
from accounts.models import Counter
from core.clock import database_now

HEARTBEAT = "heartbeat of the background work"
SILENCE = timedelta(seconds=60)
"""After so long without a sign of life the background work counts as silent; it gives one every 15 s."""
FAILED = "failed:"
WINDOW_SECONDS = 86400


def beat() -> None:
    """Leave a sign of life."""
    end = database_now() + SILENCE
    Counter.objects.update_or_create(key=HEARTBEAT, defaults={"count": 1, "expires_at": end})


def age() -> float:
    """Seconds since the last sign of life; infinite when there is none."""
    ends = Counter.objects.filter(key=HEARTBEAT).values_list("expires_at", flat=True).first()
    return max(0.0, (database_now() - ends + SILENCE).total_seconds()) if ends else math.inf


def is_beating() -> bool:
    return age() < SILENCE.total_seconds()


def count_failure(what: str) -> None:
    """`what` is the name of a task of ours, or of a kind of broken message; nothing that a stranger chose."""
    count_in_database(f"{FAILED}{what}"[:64], WINDOW_SECONDS)


def failures() -> dict[str, int]:
    """How often each piece has failed, counted for a day from the first failure on."""
    rows = Counter.objects.filter(key__startswith=FAILED, expires_at__gt=database_now())
    return {key.removeprefix(FAILED): count for key, count in rows.values_list("key", "count")}
