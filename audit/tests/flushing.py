"""Emptying the trail between tests that commit: a flush deletes or truncates, which the database refuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

from django.db import transaction
from django.test import TransactionTestCase
from django.utils import timezone

from audit.models import Event, Pruning


def empty_events(using: str = "default") -> None:
    with transaction.atomic(using=using):
        Pruning.objects.using(using).create(before=timezone.now() + timedelta(days=36500))
        Event.objects.using(using).all().delete()
        Pruning.objects.using(using).all().delete()


@contextmanager
def flush_may_empty_events() -> Iterator[None]:
    """While this is open, tests that commit release their events before Django flushes the tables."""
    flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]

    def empty_then_flush(case: Any) -> None:
        for using in case._databases_names(include_mirrors=False):
            empty_events(using)
        flush(case)

    with mock.patch.object(TransactionTestCase, "_fixture_teardown", empty_then_flush):
        yield
