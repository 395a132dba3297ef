"""Limits on guessing and on mail, in one place for the API, the token endpoint, the pages and the panel.

Two kinds. Windows ("60 an hour per client") are counted in Redis, or in the database where Redis is not
configured or away. Failures of one account always stand in the database: emptying Redis unlocks nobody.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext_lazy as _

from accounts.addresses import canonical
from accounts.errors import TooManyAttempts
from accounts.models import Counter, FailedLogIns, KnownPlace, User
from core.client import network
from core.clock import database_now
from core.errors import TooManyRequests
from core.redis import ask
from core.secrets import keyed_hash

HOUR = 3600
DAY = 86400
MAILS_PER_ADDRESS = 5  # an hour
MAIL_REQUESTS_PER_CLIENT = 60  # an hour
FAILURES_PER_CLIENT = 100  # an hour
WRONG_CODES_PER_ACCOUNT = 20  # a day
FAILURES_BEFORE_WAITING = 10
FAILURES_BEFORE_KNOWN_PLACES_ONLY = 100
WAITS_READ = 300  # rows of one account, for the panel
WAITS = tuple(timedelta(minutes=m) for m in (1, 2, 4, 8, 15))

_HIT = """
local count = redis.call('INCR', KEYS[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
"""


def count(name: str, key: str, seconds: int) -> tuple[int, int]:
    """Add one to a counter whose window starts with its first hit; (count, seconds left). Atomic."""
    digest = _digest(name, key)
    answer = ask(lambda redis: redis.eval(_HIT, 1, f"limit:{digest}", seconds * 1000))
    if answer is not None:
        return int(answer[0]), max(1, -(-int(answer[1]) // 1000))
    return count_in_database(digest, seconds)


def peek(name: str, key: str) -> tuple[int, int]:
    """What `count` would start from: (count, seconds left)."""
    digest = _digest(name, key)
    answer = ask(lambda redis: [redis.get(f"limit:{digest}") or 0, redis.pttl(f"limit:{digest}")])
    if answer is not None:
        return int(answer[0]), max(1, -(-int(answer[1]) // 1000))
    return _peek_in_database(digest)


def _digest(name: str, key: str) -> str:
    return keyed_hash(f"{name}|{key}", "limit")


def _peek_in_database(digest: str) -> tuple[int, int]:
    now = database_now()
    counter = Counter.objects.filter(key=digest, expires_at__gt=now).first()
    return (counter.count, int((counter.expires_at - now).total_seconds()) + 1) if counter else (0, 1)


def count_in_database(digest: str, seconds: int) -> tuple[int, int]:
    """`count` where there is no Redis, or where emptying it must not matter."""
    now = database_now()
    end = now + timedelta(seconds=seconds)
    with connection.cursor() as cursor:
        adapt = connection.ops.adapt_datetimefield_value
        cursor.execute(
            "INSERT INTO counters (key, count, expires_at) VALUES (%s, 1, %s) ON CONFLICT (key) DO UPDATE SET "
            "count = CASE WHEN counters.expires_at <= %s THEN excluded.count ELSE counters.count + 1 END, "
            "expires_at = CASE WHEN counters.expires_at <= %s THEN excluded.expires_at ELSE counters.expires_at END "
            "RETURNING count, expires_at",
            [digest, adapt(end), adapt(now), adapt(now)],
        )
        counted, expires_at = cursor.fetchall()[0]
    if expires_at.tzinfo is None:  # SQLite keeps UTC without saying so
        expires_at = expires_at.replace(tzinfo=now.tzinfo)
    return counted, max(1, int((expires_at - now).total_seconds()))


def allow_mail_request(ip: str | None) -> None:
    """Sign-up, resend and forgot from one client. Raises TooManyRequests."""
    if settings.RATE_LIMITS:
        counted, left = count("mail-requests", network(ip), HOUR)
        if counted > MAIL_REQUESTS_PER_CLIENT:
            raise TooManyRequests(retry_after=left)


def allows_mail(email_key: str) -> bool:
    """Whether one more mail may go to this address, known or not. Counts it."""
    return not settings.RATE_LIMITS or count("mails", email_key, HOUR)[0] <= MAILS_PER_ADDRESS


def spend_mail(email_key: str) -> None:
    """`allows_mail` for whoever may know whether the address has an account. Raises TooManyRequests."""
    if settings.RATE_LIMITS:
        counted, left = count("mails", email_key, HOUR)
        if counted > MAILS_PER_ADDRESS:
            raise TooManyRequests(_("This address has had its mails for this hour."), retry_after=left)


def codes_count(email_key: str) -> bool:
    """Whether codes of this account still count today; else only links do."""
    return not settings.RATE_LIMITS or _peek_in_database(_digest("codes", email_key))[0] < WRONG_CODES_PER_ACCOUNT


def wrong_code(email_key: str) -> None:
    """In the database always: within the transaction that counts the try, and out of reach of emptying Redis."""
    count_in_database(_digest("codes", email_key), DAY)


# --- Log-in ------------------------------------------------------------------------------------------------------


def account_key(user: User | None, typed: str) -> str:
    name = canonical(typed) if "@" in typed else typed.casefold()
    return keyed_hash(f"user:{user.pk}" if user else f"name:{name}", "log-in")


def check_attempt(account: str, ip: str | None, user: User | None) -> None:
    """Before the password is looked at. Raises TooManyAttempts; an attempt that must wait counts for nothing."""
    if not settings.RATE_LIMITS:
        return
    failures, left = peek("log-in", network(ip))
    if failures >= FAILURES_PER_CLIENT:
        raise TooManyAttempts(retry_after=left)
    if rows := list(FailedLogIns.objects.filter(account=account, network__in=["", network(ip)])):
        _refuse_waiting({row.network: row for row in rows}, ip, user, database_now())


def settle_attempt(account: str, ip: str | None, user: User | None, *, success: bool) -> bool:
    """After the password was looked at; whether this network must wait from now on. Raises TooManyAttempts, whatever
    the password was, when others that ran beside this attempt used the limit up meanwhile: so no more answers than the
    limit ever get out."""
    if not settings.RATE_LIMITS:
        return False
    with transaction.atomic():
        settled = _settle(account, network(ip), ip, user, success)
    if isinstance(settled, TooManyAttempts):
        raise settled
    if not success:
        failures, left = count("log-in", network(ip), HOUR)
        if failures > FAILURES_PER_CLIENT:
            raise TooManyAttempts(retry_after=left)
    return settled


def _settle(account: str, here: str, ip: str | None, user: User | None, success: bool) -> TooManyAttempts | bool:
    now = database_now()
    if not success:
        new = [FailedLogIns(account=account, network=name, updated_at=now) for name in ("", here)]
        # An upsert locks the rows that are there already, so that no success beside us can take them away again.
        FailedLogIns.objects.bulk_create(
            new, update_conflicts=True, unique_fields=["account", "network"], update_fields=["updated_at"]
        )
    rows = {row.network: row for row in locked_failures(account) if row.network in ("", here)}
    try:
        _refuse_waiting(rows, ip, user, now)
    except TooManyAttempts as problem:
        return problem
    if success:
        FailedLogIns.objects.filter(account=account, network__in=["", here]).delete()
        return False
    _count_failure(rows[""], rows[here], now)
    return rows[here].wait_until is not None


def locked_failures(account: str) -> list[FailedLogIns]:
    return list(FailedLogIns.objects.select_for_update().filter(account=account).order_by("network"))


def _count_failure(total: FailedLogIns, here: FailedLogIns, now: datetime) -> None:
    total.count, here.count = total.count + 1, here.count + 1
    total.updated_at = here.updated_at = now
    if total.count >= FAILURES_BEFORE_WAITING:
        here.wait_until = now + WAITS[min(here.waits, len(WAITS) - 1)]
        here.waits += 1
    if total.count == FAILURES_BEFORE_WAITING:  # the others that failed wait from now on too
        others = FailedLogIns.objects.filter(account=total.account).exclude(network__in=["", here.network])
        others.update(wait_until=now + WAITS[0], waits=1)
    total.save(update_fields=["count", "updated_at"])
    here.save(update_fields=["count", "waits", "wait_until", "updated_at"])


def _refuse_waiting(rows: dict[str, FailedLogIns], ip: str | None, user: User | None, now: datetime) -> None:
    here, total = rows.get(network(ip)), rows.get("")
    if here and here.wait_until and here.wait_until > now:
        raise TooManyAttempts(retry_after=int((here.wait_until - now).total_seconds()) + 1)
    if total and total.count >= FAILURES_BEFORE_KNOWN_PLACES_ONLY:
        known = user and KnownPlace.objects.filter(user=user, network=network(ip)).exists()
        if not known:
            raise TooManyAttempts(retry_after=int(WAITS[-1].total_seconds()))


@dataclass(frozen=True, slots=True)
class Waits:
    """How guessing at one account stands: failures in a row, and until when networks that failed must wait."""

    failures: int = 0
    until: datetime | None = None
    known_places_only: bool = False


def waits_of(user: User, now: datetime) -> Waits:
    """For people to look at. Networks beyond the first few hundred are not looked at."""
    counted = FailedLogIns.objects.filter(account=account_key(user, "")).order_by("account", "network")
    rows = list(counted[:WAITS_READ]) if settings.RATE_LIMITS else []
    failures = next((row.count for row in rows if not row.network), 0)
    waiting = [row.wait_until for row in rows if row.wait_until and row.wait_until > now]
    return Waits(failures, max(waiting, default=None), failures >= FAILURES_BEFORE_KNOWN_PLACES_ONLY)


def forgive(user: User) -> None:
    """A reset succeeded: the owner is back, nobody waits any more."""
    FailedLogIns.objects.filter(account=account_key(user, "")).delete()


def forget_failures(now: datetime) -> int:
    """Clean-up. Long series stay until a log-in or a reset ends them, or for a year."""
    old = FailedLogIns.objects.filter(updated_at__lt=now - timedelta(days=30))
    short, _ = old.filter(count__lt=FAILURES_BEFORE_KNOWN_PLACES_ONLY).delete()
    long, _ = old.filter(updated_at__lt=now - timedelta(days=365)).delete()
    return short + long
