"""Floods of failures by strangers: the first of a minute are events of their own, the rest are summed up."""

from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone

from audit.models import Event, Flood
from core.client import network

WRITTEN_EACH = 20  # in one minute, from one network, of one action
SETTLING = timedelta(minutes=2)  # after which no open transaction counts in that minute any more

# One statement, so that parallel failures neither lose a count nor trip over each other.
_COUNT = """
INSERT INTO audit_floods (network, action, minute, times) VALUES (%s, %s, %s, 1)
ON CONFLICT (minute, network, action) DO UPDATE SET times = audit_floods.times + 1
RETURNING times
"""


def is_one_too_many(ip: str | None, action: str) -> bool:
    """Count one more failure; whether it goes beyond those that are written one by one."""
    minute = timezone.now().replace(second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [network(ip), action, connection.ops.adapt_datetimefield_value(minute)])
        return bool(cursor.fetchone()[0] > WRITTEN_EACH)


def sum_up_floods() -> int:
    """Write one event for each flood that is over. Harmless in several processes at once."""
    over = Flood.objects.filter(minute__lt=timezone.now() - SETTLING)
    over.filter(times__lte=WRITTEN_EACH).delete()
    return sum(_sum_up(flood) for flood in over.order_by("minute", "id")[:500])


@transaction.atomic
def _sum_up(flood: Flood) -> bool:
    # Whoever deletes the counter, as it was read, writes the event: nobody else does, and no count is lost.
    deleted, _ = Flood.objects.filter(pk=flood.pk, times=flood.times).delete()
    if deleted:
        Event.objects.create(
            action=flood.action,
            ip=_first_address(flood.network),
            details={
                "times": flood.times - WRITTEN_EACH,
                "network": flood.network,
                "since": flood.minute,
                "until": flood.minute + timedelta(minutes=1),
            },
        )
    return bool(deleted)


def _first_address(network_name: str) -> str | None:
    return None if network_name == "unknown" else network_name.split("/", maxsplit=1)[0]
