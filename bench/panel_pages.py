"""Which pages the panel has: whatever its lists offer is asked for, so that a new filter is measured by itself."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, product
from typing import Any
from urllib.parse import urlencode

from bench.million import address as address_of

DEEP = 0.9  # how far down a list its deep page lies
ADMIN = address_of(1)
SEARCHES = {
    "few hits": "lastname1234@",
    "many hits": "lastname",
    "no hits": "nobody-is-called-so",
    "two letters": "42",
}
WORDS = {  # what only some lists can be searched for
    "sessions": {"an IP address": "10.42.42.42", "an unknown IP address": "192.0.2.1"},
    "audit_events": {
        "a busy person": ADMIN,
        "who was busy long ago": address_of(2),
        "an ordinary person": address_of(4242),
        "a user's id": "{person 77}",
        "an action": "user.changed",
        "a rare action": "key.revoked",
        "a request": "no-such-request",
    },
}


Asked = Iterator[tuple[str, dict[str, str]]]


@dataclass(frozen=True)
class Page:
    group: str
    name: str
    path: str
    looks_before: int = 0


def pages() -> Iterator[Page]:
    from django.contrib.admin import site

    yield Page("front page", "while it counts", "/admin/")
    yield Page("front page", "when all days are counted", "/admin/", looks_before=30)
    for model_admin in site._registry.values():
        yield from pages_of(model_admin)
    yield from pages_of_people()
    yield from pages_of_api()


def pages_of(model_admin: Any) -> Iterator[Page]:
    options = model_admin.opts
    group, path = str(options.verbose_name_plural), f"/admin/{options.app_label}/{options.model_name}/"
    asked = chain(narrowed(model_admin, path), ordered(model_admin, path), searched(model_admin))
    return (Page(group, words, address(path, query)) for words, query in asked)


def narrowed(model_admin: Any, path: str) -> Asked:
    """Page 1, and one far down; and from both each filter."""
    deep = cursor_of(model_admin, path, list(model_admin.ordering))
    for where, more in (("page 1", {}), ("far down", deep)):
        yield where, more
        for name, value in choices(model_admin):
            yield f"{name}={value}, {where}", {name: value, **more}


def ordered(model_admin: Any, path: str) -> Asked:
    for (name, keys), sign in product(model_admin.orderings.items(), ("", "-")):
        column = model_admin.list_display.index(name) + 1  # before them are the boxes to tick
        order = {"o": f"{sign}{column}"}
        yield f"order {sign}{name}", order
        down = cursor_of(model_admin, path, [sign + key for key in keys])
        yield f"order {sign}{name}, far down", {**order, **down}
        for filter_, value in choices(model_admin):
            yield f"{filter_}={value}, order {sign}{name}", {**order, filter_: value}


def searched(model_admin: Any) -> Asked:
    words = {**SEARCHES, **WORDS.get(model_admin.opts.db_table, {})} if model_admin.search_fields else {}
    for what, text in words.items():
        query = {"q": with_id(text)}
        yield f"search: {what}", query
        for filter_, value in choices(model_admin) if what == "few hits" else ():
            yield f"search: {what}, {filter_}={value}", {**query, filter_: value}


def address(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def choices(model_admin: Any) -> list[tuple[str, str]]:
    request = a_request()
    return [
        (filter_.parameter_name, str(value))
        for filter_ in model_admin.list_filter
        for value, _words in filter_(request, {}, model_admin.model, model_admin).lookup_choices
    ]


def a_request() -> Any:
    from django.test import RequestFactory

    return RequestFactory().get("/")


def cursor_of(model_admin: Any, path: str, keys: list[str]) -> dict[str, str]:
    """That of a row far down; none for a list of a few rows."""
    from core.pagination import key_value, write_cursor

    rows = model_admin.get_queryset(a_request()).select_related(None).prefetch_related(None).order_by(*keys)
    number = rows.count()
    if number <= model_admin.list_per_page:
        return {}
    with unhurried():
        row = rows.get(pk=rows.values_list("pk", flat=True)[int(number * DEEP)])
    return {"cursor": write_cursor(False, [key_value(row, key.lstrip("-")) for key in keys], f"{path} {keys}")}


@contextmanager
def unhurried() -> Iterator[None]:
    """For a question of our own, which walks by OFFSET as no page does."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        try:
            yield
        finally:
            cursor.execute("RESET statement_timeout")


def person(number: int) -> str:
    from accounts.models import User

    return str(User.objects.values_list("pk", flat=True).get(email_key=address_of(number)))


def with_id(text: str) -> str:
    found = re.fullmatch(r"\{person (\d+)\}", text)
    return person(int(found[1])) if found else text


def pages_of_people() -> Iterator[Page]:
    from accounts.models import User
    from accounts.person.timeline import timeline_of

    for words, number in (("busy", 1), ("busy long ago", 2), ("staff", 3), ("ordinary", 4242)):
        user = User.objects.get(pk=person(number))
        path = f"/admin/accounts/user/{user.pk}/change/"
        yield Page("a person's page", words, path)
        if older := timeline_of(user, None).older:
            yield Page("a person's page", f"{words}, older events", address(path, {"older": older}))


def pages_of_api() -> Iterator[Page]:
    for words, number in (("busy", 1), ("busy long ago", 2), ("ordinary", 4242)):
        for side in ("actor", "target"):
            path = address("/api/v1/audit/events", {side: person(number)})
            yield Page("GET /audit/events", f"{side}: {words}", path)
