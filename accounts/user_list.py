"""How a page of people is read, in one statement."""

from functools import lru_cache
from typing import Any

from accounts.models import ROW, User, UserQuerySet
from core.clock import EPOCH
from core.pagination import beyond
from core.prepared import Prepared


def read_page(found: UserQuerySet, ordering: list[str], position: list[Any] | None, most: int) -> list[dict[str, Any]]:
    """As `core.pagination.read_page`, but dicts of `ROW`."""
    if found.query.where:
        page = found if position is None else found.filter(beyond(ordering, position))
        rows = iter(page.as_rows().order_by(*ordering)[:most])
    else:
        values = position or []
        question = _unfiltered(tuple(ordering), tuple(type(value) for value in values), most)
        rows = question.rows(*values, using=found.db)
    found_rows = [dict(zip(ROW, row, strict=True)) for row in rows]
    for row in found_rows:
        row["last_login_key"] = row["last_login"] or EPOCH
    return found_rows


@lru_cache(maxsize=64)
def _unfiltered(ordering: tuple[str, ...], kinds: tuple[type, ...], most: int) -> Prepared[User]:
    def page(*position: Any) -> Any:
        users = User.objects.sortable()
        users = users.filter(beyond(list(ordering), list(position))) if position else users
        return users.as_rows().order_by(*ordering)[:most]

    return Prepared(page, *kinds)
