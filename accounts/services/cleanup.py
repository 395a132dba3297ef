"""Letting go of what has had its time, in batches small enough to hold no lock for long."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session as PageSession
from django.db import transaction
from django.db.models import QuerySet

from accounts import limits, stored_files, tokens
from accounts.job_models import Job
from accounts.models import Challenge, Counter, KnownPlace, Session, User
from accounts.services import keys
from audit.services import record
from core.actor import Actor
from core.clock import database_now

BATCH = 500
PLACES_KEPT = timedelta(days=400)
JOBS_KEPT = timedelta(days=14)


def clean_up() -> dict[str, int]:
    """How many rows of each kind went."""
    now = database_now()
    return {
        "sessions": _delete(Session.objects.filter(refresh_expires_at__lt=now)),
        "challenges": _delete(Challenge.objects.filter(link_expires_at__lt=now - timedelta(days=1))),
        "blacklisted": _repeat(lambda: tokens.delete_expired(now, BATCH)),
        "counters": _delete(Counter.objects.filter(expires_at__lt=now)),
        "failures": limits.forget_failures(now),
        "known_places": _delete(KnownPlace.objects.filter(last_at__lt=now - PLACES_KEPT)),
        "signing_keys": keys.delete_ended(now),
        "jobs": _delete(Job.objects.filter(finished_at__lt=now - JOBS_KEPT)),
        "stored_files": stored_files.delete_expired(),
        "page_sessions": _delete(PageSession.objects.filter(expire_date__lt=now)),
        "users": delete_unverified(),
    }


def delete_unverified() -> int:
    """Sign-ups whose address nobody proved in time; never anybody invited, imported, deactivated or trusted."""
    limit = database_now() - timedelta(days=settings.UNVERIFIED_DAYS)
    old = User.objects.pending().without_roles().filter(created_at__lt=limit)
    return _repeat(lambda: _delete_users(old))


def _delete_users(users: QuerySet[User]) -> int:
    with transaction.atomic():
        batch = list(users.order_by("pk").select_for_update(of=("self",))[:BATCH])
        for user in batch:
            record(Actor.system("clean-up"), "user.expired", user)
        User.objects.filter(pk__in=[user.pk for user in batch]).delete()
    return len(batch)


def _delete(rows: QuerySet[Any]) -> int:
    def batch() -> int:
        ids = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
        rows.model._default_manager.filter(pk__in=ids).delete()
        return len(ids)

    return _repeat(batch)


def _repeat(batch: Callable[[], int]) -> int:
    total = 0
    while deleted := batch():
        total += deleted
        if deleted < BATCH:
            break
    return total
