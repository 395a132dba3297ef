"""Live sessions in Redis: `session:{sid}`, when it was last used, with the idle limit as time to live.

So `last_used_at` costs no write to the database on each request; a periodic task carries over what was used since it
ran last. Nobody asks Redis whether a session is alive: that is for the database to say.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import DateTimeField, Value
from django.db.models.functions import Greatest

from accounts.models import Session
from accounts.tokens import Generation
from core.redis import ask, send
from core.transactions import after_commit

_PREFIX = "session:"
_USED = "used-sessions"
_BATCH = 500
_REMEMBERED = 1_000

_touched: dict[UUID, int] = {}  # the second in which this process last wrote


def appear(session: Generation) -> None:
    """At log-in and at each refresh."""
    if not settings.REDIS_URL:
        return
    seconds = int((session.refresh_expires_at - session.rotated_at).total_seconds())
    value = int(session.rotated_at.timestamp())
    after_commit(lambda: _write({session.pk: value}, "EX", max(1, seconds)))


def touch(*sessions: Session) -> None:
    """At each request, but once in a second, which is as exact as it is kept. Only a key that is there is touched: an
    ended session does not come back. All at once: a slow Redis is waited for once."""
    if not settings.REDIS_URL:
        return
    seconds = {session.pk: int(session.now.timestamp()) for session in sessions}
    news = {pk: second for pk, second in seconds.items() if _touched.get(pk) != second}
    if news and _write(news, "XX", "KEEPTTL"):
        if len(_touched) >= _REMEMBERED:
            _touched.clear()
        _touched.update(news)


def vanish(session_ids: list[UUID]) -> None:
    """At every ending. If Redis is away just then, the key stays until its time is up, and lets nobody in."""
    if settings.REDIS_URL and session_ids:
        after_commit(lambda: _forget(session_ids))


def carry_over() -> int:
    """Write what Redis knows of `last_used_at` to the database; how many sessions were looked at.

    Running twice at once does nothing twice: whoever takes a name off the list carries that session over.
    """
    looked_at = 0
    for ids in _used():
        try:
            _carry(ids)
        except Exception:
            ask(lambda redis: redis.sadd(_USED, *map(str, ids)))  # noqa: B023 - asked at once
            raise
        looked_at += len(ids)
    return looked_at


def _used() -> Iterator[list[UUID]]:
    while names := ask(lambda redis: redis.spop(_USED, _BATCH)):
        yield [UUID(name) for name in names]


def _carry(ids: list[UUID]) -> None:
    values = ask(lambda redis: redis.mget([_key(session_id) for session_id in ids])) or []
    seen = {
        session_id: datetime.fromtimestamp(int(value), UTC)
        for session_id, value in zip(ids, values, strict=False)
        if value is not None
    }
    there = {session.pk: session for session in Session.objects.filter(pk__in=seen, ended_at=None)}
    # One that was ended while somebody was just writing its key.
    _forget([session_id for session_id in seen if session_id not in there])
    stale = [session for session in there.values() if session.last_used_at < seen[session.pk]]
    for session in stale:
        newest = Greatest("last_used_at", Value(seen[session.pk], output_field=DateTimeField()))
        session.last_used_at = newest
    Session.objects.bulk_update(stale, ["last_used_at"])


def _write(values: dict[UUID, int], *how: Any) -> bool:
    """Whether Redis took them, by session. `how` are options of SET."""
    writes = [("SET", _key(session_id), value, *how) for session_id, value in values.items()]
    return send(*writes, ("SADD", _USED, *map(str, values)))


def _forget(session_ids: list[UUID]) -> None:
    for start in range(0, len(session_ids), _BATCH):
        keys = [_key(session_id) for session_id in session_ids[start : start + _BATCH]]
        ask(lambda redis: redis.unlink(*keys))  # noqa: B023 - asked at once


def _key(session_id: UUID) -> str:
    return f"{_PREFIX}{session_id}"
