"""`manage.py doctor`: is everything in order? Plain words; exit code 1 when something is not."""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.mail import get_connection
from django.core.management.base import BaseCommand
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor

from accounts.keys import opened
from accounts.models import SigningKey
from accounts.services.heartbeat import failures, is_beating
from core import redis, replica
from core.clock import database_now
from mail.models import OutgoingMail
from rbac.models import RoleGrant

Finding = tuple[bool, str]
SKEW_SECONDS = 5
TIMEOUTS = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]


class Command(BaseCommand):
    help = "Check configuration, database, Redis, mail, migrations, clock, proxies, background work and token keys."

    def handle(self, **_: Any) -> None:
        findings = [finding for check in CHECKS for finding in attempt(check)]
        for is_good, text in findings:
            self.stdout.write(f"{'ok  ' if is_good else 'BAD '} {text}")
        if not all(is_good for is_good, _ in findings):
            sys.exit(1)


def attempt(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except (Error, OSError) as error:
        return [(False, f"{check.__name__}: {type(error).__name__}: {next(iter(str(error).splitlines()), '')}")]


def configuration() -> Iterator[Finding]:
    yield True, "Configuration: read without objections."
    public = settings.PUBLIC_URL
    yield (
        not settings.DEBUG,
        "DEBUG is off." if not settings.DEBUG else "DEBUG is on; turn it off in production.",
    )
    is_https = public.startswith("https://")
    is_local = any(name in public for name in ("//127.", "//localhost", "//[::1]"))
    yield is_https or is_local, f"PUBLIC_URL is {public}" + ("" if is_https or is_local else "; use https://")


def database() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    yield True, f"Database: {connection.vendor} answers."


def timeouts() -> Iterator[Finding]:
    """Behind PgBouncer they come with the role, where they are easily forgotten."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_settings WHERE setting = '0' AND name = ANY(%s)", [TIMEOUTS])
        missing = ", ".join(sorted(name for (name,) in cursor.fetchall()))
    yield (
        not missing,
        f"Timeouts: the database's role has no {missing}; see PgBouncer in docs/operations.md."
        if missing
        else "Timeouts: statements, locks and idle transactions have an end.",
    )


def followed() -> Iterator[Finding]:
    if not replica.is_configured():
        return
    try:
        replica.watch.look()
        yield True, "Replica: answers and follows."
    except (Error, replica.NotFollowing) as error:
        yield False, f"Replica: does not follow ({type(error).__name__}); the primary answers everything."


def migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    yield (
        not missing,
        f"Migrations: {f'{len(missing)} missing; run manage.py migrate' if missing else 'all applied.'}",
    )


def clock() -> Iterator[Finding]:
    skew = abs((datetime.now(UTC) - database_now()).total_seconds())
    yield skew < SKEW_SECONDS, f"Clock: {skew:.1f} s away from the database's."


def redis_store() -> Iterator[Finding]:
    if not settings.REDIS_URL:
        yield True, "Redis: not configured; limits and background work use the database."
    else:
        there = redis.is_there()
        yield there, "Redis: answers." if there else "Redis: does not answer at REDIS_URL."


def mail() -> Iterator[Finding]:
    backend = settings.EMAIL_BACKEND.rsplit(".", 2)[-2]
    if backend == "smtp":
        get_connection(timeout=5).open()
    where = settings.EMAIL_FILE_PATH or f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    yield True, f"Mail: {backend} at {where}."
    failed = OutgoingMail.objects.filter(state="failed").count()
    yield not failed, f"Outbox: {failed} mails failed."


def proxies() -> Iterator[Finding]:
    told = f"TRUSTED_PROXIES is {settings.TRUSTED_PROXIES}"
    if settings.PUBLIC_URL.startswith("https://") and not settings.TRUSTED_PROXIES:
        yield (
            False,
            f"Proxies: {told}, yet https means one stands before us; everybody would share its address.",
        )
    else:
        yield True, f"Proxies: {told}."


def background() -> Iterator[Finding]:
    alive = is_beating()
    runner = "Celery worker and beat" if settings.REDIS_URL else "serve or runserver"
    yield alive, "Background work: alive." if alive else f"Background work: no sign of life; start {runner}."
    if failed := failures():
        told = ", ".join(f"{name} {times} times" for name, times in sorted(failed.items()))
        yield False, f"Background work: failed within a day: {told}; the logs say why."


def token_keys() -> Iterator[Finding]:
    """Looks only: a key that is missing or does not open is replaced at the next log-in."""
    row = SigningKey.objects.signing().first()
    if row is None:
        yield True, "Token keys: none signs under this SECRET_KEY yet; the next log-in makes one."
    elif opened(row) is None:
        yield False, f"Token keys: {row.kid} is damaged and cannot be opened; the next log-in makes another."
    elif row.algorithm != settings.TOKEN_ALGORITHM:
        wanted = f"TOKEN_ALGORITHM is {settings.TOKEN_ALGORITHM}"
        yield False, f"Token keys: {row.kid} signs with {row.algorithm}, but {wanted}; run manage.py keys rotate."
    else:
        yield True, f"Token keys: {row.kid} signs with {row.algorithm} since {row.created_at:%Y-%m-%d}."
    foreign = SigningKey.objects.exclude(pk__in=SigningKey.objects.ours()).filter(revoked_at=None)
    for kid in foreign.values_list("kid", flat=True):
        yield (
            False,
            f"Token keys: {kid} was sealed under another SECRET_KEY, and its sessions are refused here. Give that "
            f"one back, or let them go: manage.py keys revoke {kid}",
        )


def administrators() -> Iterator[Finding]:
    there = RoleGrant.objects.of_administrators().exists()
    yield (
        there,
        "Administrators: there are some." if there else "Administrators: none; run manage.py createsuperuser.",
    )


CHECKS = (
    configuration,
    database,
    timeouts,
    followed,
    migrations,
    clock,
    redis_store,
    mail,
    proxies,
    background,
    token_keys,
    administrators,
)
