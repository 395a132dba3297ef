from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from core.errors import InvalidInput


@contextmanager
def taken(*fields: str) -> Iterator[None]:
    """Around the one write that a unique constraint may refuse: it decides, also between two callers."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        detail = _("This is taken.")
        raise InvalidInput(errors=[{"field": field, "code": "taken", "detail": detail} for field in fields]) from None
