"""Django's sessions of the pages, kept under a keyed hash: a row or a cache entry cannot be used as the cookie."""

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.utils import timezone
from redis import RedisError

from core.outcome import log
from core.redis import REST
from core.secrets import keyed_hash

_stock: Any = import_module("django.contrib.sessions.backends." + ("cached_db" if settings.REDIS_URL else "db"))


def stored(session_key: str) -> str:
    return keyed_hash(session_key, "page-session")[:40]  # as long as Django's column


class PatientCache:
    """A cache that is away is an empty one: the database has every session. After a failure it rests for a while."""

    _away_until = 0.0

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def get(self, key: str) -> Any:
        return self._ask(lambda: self.cache.get(key))

    def set(self, key: str, value: Any, seconds: int) -> None:
        self._ask(lambda: self.cache.set(key, value, seconds))

    def delete(self, key: str) -> None:
        self._ask(lambda: self.cache.delete(key))

    def __contains__(self, key: str) -> bool:
        return bool(self._ask(lambda: key in self.cache))

    def _ask(self, question: Callable[[], Any]) -> Any:
        if time.monotonic() < PatientCache._away_until:
            return None
        try:
            return question()
        except RedisError as error:
            PatientCache._away_until = time.monotonic() + REST
            log.warning("cache.away", error=type(error).__name__)
            return None


class SessionStore(_stock.SessionStore):
    _cache: Any

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        if settings.REDIS_URL:
            self._cache = PatientCache(self._cache)

    @property
    def cache_key(self) -> str:
        return f"{self.cache_key_prefix}{stored(self._get_or_create_session_key())}"

    def _get_session_from_db(self) -> Any:
        try:
            key = stored(self.session_key)
            return self.model.objects.get(session_key=key, expire_date__gt=timezone.now())
        except (self.model.DoesNotExist, SuspiciousOperation):
            self._session_key = None
            return None

    def exists(self, session_key: str) -> Any:
        return super().exists(stored(session_key))

    def create_model_instance(self, data: Any) -> Any:
        row = super().create_model_instance(data)
        row.session_key = stored(row.session_key)
        return row

    def delete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            super().delete(stored(key))
