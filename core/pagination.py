"""Cursor paging by key: a page costs the same wherever it lies, and nothing is skipped when rows come or go.

A view names `ordering`, columns without nulls that end in a unique one; it may offer others in
`orderings` for the `ordering` parameter: `{"email": ("email_key", "id")}`. With a `read_page` of its own it reads the
rows in another way than the ORM would.
"""

import base64
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from rest_framework.pagination import BasePagination
from rest_framework.response import Response

from core import replica
from core.errors import field_error
from core.rows import Beyond
from core.secrets import keyed_hash

DEFAULT_SIZE = 50
MAX_SIZE = 200


class KeysetPagination(BasePagination):
    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any]:
        self.request = request
        self.ordering = asked_ordering(request, view)
        self.list_name = f"{request.path} {self.ordering}"
        self.size = asked_size(request)
        wants_count = asked_count(request)
        cursor = request.query_params.get("cursor")
        backwards, position = read_cursor(cursor, self.list_name) if cursor is not None else (False, None)
        ordering = [flipped(field) for field in self.ordering] if backwards else list(self.ordering)
        read = getattr(view, "read_page", read_page)

        def ask(database: str) -> tuple[int | None, list[Any]]:
            found = queryset.using(database)
            return found.count() if wants_count else None, read(found, ordering, position, self.size + 1)

        self.count, rows = replica.read(request, ask)
        has_more, rows = len(rows) > self.size, rows[: self.size]
        if backwards:
            rows.reverse()
        self.has_next = bool(rows) and (has_more or backwards)
        self.has_previous = bool(rows) and (has_more if backwards else position is not None)
        self.rows = rows
        if backwards and not rows:  # everything before the cursor is gone: start again
            self.has_next = False
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response(self.body(data))

    def body(self, data: Any) -> dict[str, Any]:
        body = {
            "next": self.link(self.rows[-1], False) if self.has_next else None,
            "previous": self.link(self.rows[0], True) if self.has_previous else None,
            "results": data,
        }
        if self.count is not None:
            body["count"] = self.count
        return body

    def link(self, row: Any, backwards: bool) -> str:
        values = [key_value(row, field.lstrip("-")) for field in self.ordering]
        query = self.request.query_params.copy()
        query["cursor"] = write_cursor(backwards, values, self.list_name)
        scheme = urlsplit(settings.PUBLIC_URL).scheme
        return f"{scheme}://{self.request.get_host()}{self.request.path}?{urlencode(list(query.items()))}"

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": link,
                "previous": link,
                "results": schema,
                "count": {"type": "integer", "description": "Only with `count=exact`."},
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        parameters = [
            ("cursor", {"type": "string"}, "From `next` or `previous`."),
            ("page_size", {"type": "integer", "minimum": 1, "default": DEFAULT_SIZE}, f"At most {MAX_SIZE}."),
            (
                "count",
                {"type": "string", "enum": ["exact"]},
                "Adds `count`; costs more the more rows there are.",
            ),
        ]
        if names := getattr(view, "orderings", {}):
            choices = [sign + name for name in names for sign in ("", "-")]
            parameters.append(("ordering", {"type": "string", "enum": choices}, "`-` for descending."))
        return [
            {"name": name, "in": "query", "required": False, "schema": schema, "description": text}
            for name, schema, text in parameters
        ]


def read_page(found: Any, ordering: list[str], position: list[Any] | None, most: int) -> list[Any]:
    """At most so many of `found` after `position`, on the database that `found` names."""
    page = found if position is None else found.filter(beyond(ordering, position))
    return list(page.order_by(*ordering)[:most])


def asked_ordering(request: Any, view: Any) -> tuple[str, ...]:
    """The columns of the order asked for, or 400."""
    name = request.query_params.get("ordering")
    if name is None:
        return tuple(view.ordering)
    fields = getattr(view, "orderings", {}).get(name.removeprefix("-"))
    if fields is None:
        raise field_error("ordering", "invalid_choice", _("Not an ordering of this list."))
    return tuple(f"-{field}" for field in fields) if name.startswith("-") else tuple(fields)


def asked_size(request: Any) -> int:
    raw = request.query_params.get("page_size", str(DEFAULT_SIZE))
    digits = raw.lstrip("0")
    if not (raw.isascii() and raw.isdecimal() and digits):
        raise field_error("page_size", "invalid", _("A whole number from 1 on."))
    return MAX_SIZE if len(digits) > 6 else min(int(digits), MAX_SIZE)


def asked_count(request: Any) -> bool:
    value = request.query_params.get("count")
    if value not in (None, "exact"):
        raise field_error("count", "invalid_choice", _("Only `exact` is known."))
    return value is not None


def beyond(ordering: list[str], position: list[Any]) -> Q:
    """Rows after `position`, in an ordering that goes one way: (a, b) > (x, y)."""
    directions = {field.startswith("-") for field in ordering}
    if len(directions) > 1:
        raise ValueError(f"no index serves both ways at once: {ordering}")
    return Q(Beyond([field.lstrip("-") for field in ordering], "<" if directions.pop() else ">", position))


def flipped(field: str) -> str:
    return field[1:] if field.startswith("-") else f"-{field}"


def key_value(row: Any, field: str) -> Any:
    return row[field] if isinstance(row, dict) else getattr(row, field)


_WRITE: dict[type, Callable[[Any], list[Any]]] = {
    datetime: lambda v: ["d", v.isoformat()],
    UUID: lambda v: ["u", v.hex],
    str: lambda v: ["s", v],
    int: lambda v: ["i", v],
}
_READ: dict[str, Callable[[Any], Any]] = {"d": datetime.fromisoformat, "u": UUID, "s": str, "i": int}


def write_cursor(backwards: bool, values: list[Any], name: str) -> str:
    tagged = [next(write(v) for kind, write in _WRITE.items() if isinstance(v, kind)) for v in values]
    payload = base64.urlsafe_b64encode(json.dumps([int(backwards), tagged]).encode()).decode().rstrip("=")
    return f"{payload}.{_seal(payload, name)}"


def read_cursor(cursor: str, name: str) -> tuple[bool, list[Any]]:
    """Sealed, so whoever edits one, or uses it with another list or ordering, gets 400 and never an odd query."""
    payload, _dot, seal = cursor.partition(".")
    if seal != _seal(payload, name):
        raise field_error("cursor", "invalid", _("Not a cursor of this list. Start again without it."))
    backwards, tagged = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return bool(backwards), [_READ[kind](value) for kind, value in tagged]


def _seal(payload: str, name: str) -> str:
    return keyed_hash(f"{name}|{payload}", "cursor")[:16]
