"""What all tests share."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache

import config.urls  # noqa: F401 - the panel is there, also for tests that look at what it shows
from audit.tests.flushing import flush_may_empty_events
from tests.client import ApiClient
from tests.log_watch import Lines, leaks

pytest_plugins = ["tests.observed"]

# One hash takes a quarter of a second in production. Tests of hashing itself ask for the real cost.
FAST_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]


@pytest.fixture(autouse=True)
def quick_and_clean(request: Any, settings: Any, tmp_path: Any) -> None:
    if "real_hashing" not in request.keywords:
        settings.PASSWORD_HASHERS = FAST_HASHERS
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    cache.clear()


@pytest.fixture
def api() -> ApiClient:
    """A client of the JSON API: `api.post(path, body, token=…)` with paths below /api/v1."""
    return ApiClient()


@pytest.fixture(autouse=True, scope="session")
def events_can_be_flushed() -> Iterator[None]:
    with flush_may_empty_events():
        yield


@pytest.fixture(autouse=True, scope="session")
def no_line_holds_a_secret() -> Iterator[None]:
    """Over the whole run: it fails at the last test when any line held a password or a token that a test used."""
    handler = Lines()
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)
    assert not leaks(handler.lines)
