"""How the outbox stands, asked so often that it must cost little: counting stops at a bound."""

from dataclasses import dataclass

from core.clock import database_now
from mail.models import OPEN, OutgoingMail


@dataclass(frozen=True, slots=True)
class Backlog:
    waiting: int
    oldest_seconds: int
    """Since the oldest waiting mail was written, its pauses between tries included."""
    failed: int


def backlog(at_most: int) -> Backlog:
    """Three looks at partial indexes; neither number goes beyond `at_most`."""
    waiting = OutgoingMail.objects.filter(state__in=OPEN)
    oldest = waiting.order_by("created_at").values_list("created_at", flat=True).first()
    return Backlog(
        waiting=waiting[:at_most].count(),
        oldest_seconds=max(0, int((database_now() - oldest).total_seconds())) if oldest else 0,
        failed=OutgoingMail.objects.filter(state="failed")[:at_most].count(),
    )
