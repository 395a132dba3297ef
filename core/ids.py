"""Identifiers. Version 7 UUIDs (RFC 9562) sort by time, so a primary key is also an insertion order."""

from uuid import UUID

from uuid_utils.compat import uuid7 as _uuid7


def uuid7() -> UUID:
    return _uuid7()
