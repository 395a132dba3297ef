from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction

from core.errors import InvalidInput


@contextmanager
def taken(*fields: str) -> Iterator[None]:
    """Around the one write that a unique constraint may refuse: it decides, also between two callers."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        detail = "This is taken."
        raise InvalidInput(errors=[{"field": field, "code": "taken", "detail": detail} for field in fields]) from None
