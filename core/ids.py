"""Identifiers. Version 7 UUIDs (RFC 9562) sort by time, so a primary key is also an insertion order."""

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7 as _uuid7


def uuid7() -> UUID:
    return _uuid7()


def uuid7_at(moment: datetime) -> UUID:
    """Below all that are made at that moment or later, by a clock that goes right."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def made_at(id_: UUID) -> datetime:
    return datetime.fromtimestamp((id_.int >> 80) / 1000, UTC)
