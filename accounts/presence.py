"""Live sessions in Redis: `session:{sid}`, when it was last used, with the idle limit as time to live.

So `last_used_at` costs no write to the database on each request; a periodic task carries it over. Nobody asks
Redis whether a session is alive: that is for the database to say.
"""

from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings

from accounts.models import Session
from core.redis import ask
from core.transactions import after_commit

_PREFIX = "session:"
_BATCH = 500


def appear(session: Session) -> None:
    """At log-in and at each refresh."""
    if not settings.REDIS_URL:
        return
    seconds = int((session.refresh_expires_at - session.rotated_at).total_seconds())
    value = int(session.rotated_at.timestamp())
    after_commit(lambda: ask(lambda redis: redis.set(_key(session.pk), value, ex=max(1, seconds))))


def touch(session_id: UUID, now: datetime) -> None:
    """At each request. Only a key that is there is touched: an ended session does not come back."""
    if settings.REDIS_URL:
        ask(lambda redis: redis.set(_key(session_id), int(now.timestamp()), xx=True, keepttl=True))


def vanish(session_ids: list[UUID]) -> None:
    """At every ending. If Redis is away just then, the key stays until its time is up, and lets nobody in."""
    if settings.REDIS_URL and session_ids:
        after_commit(lambda: ask(lambda redis: redis.delete(*map(_key, session_ids))))


def carry_over() -> int:
    """Write what Redis knows of `last_used_at` to the database; how many sessions that were."""
    keys = ask(lambda redis: list(redis.scan_iter(f"{_PREFIX}*", count=_BATCH))) or []
    carried = 0
    for start in range(0, len(keys), _BATCH):
        carried += _carry(keys[start : start + _BATCH])
    return carried


def _carry(keys: list[str]) -> int:
    values = ask(lambda redis: redis.mget(keys)) or []
    seen = {
        UUID(key.removeprefix(_PREFIX)): datetime.fromtimestamp(int(value), UTC)
        for key, value in zip(keys, values, strict=False)
        if value is not None
    }
    stale = [s for s in Session.objects.filter(pk__in=seen) if s.last_used_at < seen[s.pk]]
    for session in stale:
        session.last_used_at = seen[session.pk]
    Session.objects.bulk_update(stale, ["last_used_at"])
    return len(stale)


def _key(session_id: UUID) -> str:
    return f"{_PREFIX}{session_id}"
