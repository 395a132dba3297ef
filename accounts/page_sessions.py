"""Django's sessions of the pages, kept under a keyed hash: a row or a cache entry cannot be used as the cookie."""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.utils import timezone

from core.secrets import keyed_hash

_stock: Any = import_module("django.contrib.sessions.backends." + ("cached_db" if settings.REDIS_URL else "db"))


def stored(session_key: str) -> str:
    return keyed_hash(session_key, "page-session")[:40]  # as long as Django's column


class SessionStore(_stock.SessionStore):
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
