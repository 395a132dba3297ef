"""Passwords are hashed in a narrow lane: as many at once as fill the cores, and the rest wait their turn.

A hash costs a quarter of a second of one core, so a storm of log-ins would otherwise keep everything else waiting.
Under `serve` the requests that come here have threads of their own as well: see `core.server`.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.contrib.auth import hashers as django_hashers
from django.utils.translation import gettext_lazy as _

from accounts import hashers
from core import metrics
from core.errors import ServiceUnavailable

PLACES = min(4, os.cpu_count() or 1)  # in this process
PATIENCE = 2.0  # seconds

_places = threading.BoundedSemaphore(PLACES)
_mine = threading.local()


@contextmanager
def lane() -> Iterator[None]:
    """Have a place while hashing. Raises ServiceUnavailable when none gets free in time."""
    if getattr(_mine, "has_place", False):  # a weak hash is made anew while the old one is checked
        yield
        return
    started = time.perf_counter()
    with metrics.PASSWORDS.labels("waiting").track_inprogress():
        got = _places.acquire(timeout=PATIENCE)
    metrics.PASSWORD_WAIT.observe(time.perf_counter() - started)
    if not got:
        metrics.PASSWORD_REFUSALS.inc()
        raise ServiceUnavailable(
            _("Too many passwords are being checked. Repeat the request after Retry-After seconds.")
        )
    _mine.has_place = True
    try:
        with metrics.PASSWORDS.labels("running").track_inprogress():
            yield
    finally:
        _mine.has_place = False
        _places.release()


def make_password(password: str | None) -> str:
    with lane():
        return django_hashers.make_password(password)


def check_password(password: str, encoded: str, setter: Callable[[str], object] | None = None) -> bool:
    with lane():
        return django_hashers.check_password(password, encoded, setter)


def hash_beside(password: str, encoded: str) -> str:
    """See `accounts.hashers`."""
    with lane():
        return hashers.hash_beside(password, encoded)
