"""How a page of people is read. docs/adr/0049-lists-of-people.md"""

import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from django.db import connections
from django.db.models import F, Func
from django.db.models.expressions import OrderBy

from accounts.models import ROW, User, UserQuerySet
from core.clock import EPOCH
from core.pagination import beyond, flipped
from core.prepared import Part, Prepared

ESTIMATE = "EXPLAIN SELECT 1 FROM users WHERE search_text LIKE %s"
FEW = 5_000  # hits, that are read and sorted in some 10 ms
STEPS = (20, 200)  # how many people are looked at for each one wanted, before a search turns to its index
SAMPLE = """SELECT histogram_bounds::text::text[] FROM pg_stats
    WHERE schemaname = current_schema() AND tablename = 'users' AND attname = 'search_text'"""
COMMON = 0.05  # of all users: three letters that more of them have tell the index little, and cost it much
COMPILED = 128  # statements kept; there is one for each ordering, direction and size that somebody asks for

Kinds: TypeAlias = tuple[tuple[type, ...], tuple[type, ...]]


@dataclass(frozen=True, slots=True)
class Page:
    """At most `most` of `found` in that order, after the key `position` unless it is empty. `search` is what they were
    searched for, if they were."""

    found: UserQuerySet
    ordering: tuple[str, ...]
    position: tuple[Any, ...]
    most: int
    search: str = ""

    def read(self) -> list[dict[str, Any]]:
        """Dicts of `ROW`."""
        rows = self.searched() if self.search and is_postgresql(self.found.db) else self.rows()
        page = [dict(zip(ROW, row, strict=True)) for row in rows]
        for row in page:
            row["last_login_key"] = row["last_login"] or EPOCH
        return page

    def searched(self) -> Iterable[Any]:
        """Of few, by the index; of many, along the order, but never far.

        PostgreSQL takes hits for evenly spread along the order. All Zoes by address stand at its end, behind everybody.
        """
        hits, is_indexed = estimated(self.search, self.found.db)
        for steps in () if hits <= FEW else STEPS if hits > 10 * FEW else STEPS[1:]:
            edge = self.edge(steps * self.most)
            rows = list(self.rows(edge))
            if not edge or len(rows) == self.most:
                return rows
        return self.rows(is_hidden=is_indexed or hits > FEW, needle=self.needle() if is_indexed else "")

    def needle(self) -> str:
        """What the index is to be asked for instead of all that is searched for; empty when that is best."""
        part = rare_part(self.search.casefold(), common_threes(self.found.db, int(time.time() // 3600)))
        return part if part and is_of_few(part, self.found.db) else ""

    def rows(self, edge: tuple[Any, ...] = (), is_hidden: bool = False, needle: str = "") -> Iterable[Any]:
        """Those before the key `edge`, if there is one; with a hidden order by no index of it. With a needle, they are
        read by the index of it, and the whole search is hidden from that."""
        if len(self.found.query.where.children) > bool(self.search):  # there are other filters
            rows: Iterable[Any] = rows_between(self.found, self.ordering, self.position, edge, is_hidden)[: self.most]
            return rows
        kinds = kinds_of(self.position), kinds_of(edge)
        text = [Part(one.casefold()) for one in (self.search, needle) if one]
        question = _compiled(self.ordering, kinds, self.most, len(text), is_hidden)
        return question.rows(*text, *self.position, *edge, using=self.found.db)

    def edge(self, steps: int) -> tuple[Any, ...]:
        """The key of whoever stands so many steps on. Of a unique column alone, whose index can tell by itself."""
        keys = self.ordering[:1] if self.ordering[0].lstrip("-") == "email_key" else self.ordering
        question = _compiled_edge(self.ordering, kinds_of(self.position), keys, steps)
        return tuple(next(question.rows(*self.position, using=self.found.db), ()))


def estimated(text: str, database: str) -> tuple[int, bool]:
    """About how many a search for `text` finds, by PostgreSQL's sample of 1,000 users, and whether an index helps: one
    or two letters have no trigram, and the extension may be missing."""
    connection = connections[database]
    with connection.cursor() as cursor:
        cursor.execute(ESTIMATE, [f"%{connection.ops.prep_for_like_query(text.casefold())}%"])
        plan = cursor.fetchone()[0]
    found = re.search(r"rows=(\d+)", plan)
    return int(found[1]) if found else 0, "Bitmap" in plan


@lru_cache(8)
def common_threes(database: str, hour: int) -> frozenset[str]:
    """Three letters in a row that many users have, by PostgreSQL's sample of them; looked up anew each hour."""
    with connections[database].cursor() as cursor:
        cursor.execute(SAMPLE)
        [sample] = cursor.fetchone() or [None]
    sample = sample or ()  # of a table that was never analysed
    counted = Counter(three for text in sample for three in set(threes(text)))
    return frozenset(three for three, number in counted.items() if number > COMMON * len(sample))


def threes(text: str) -> list[str]:
    return [text[start : start + 3] for start in range(len(text) - 2)]


def rare_part(text: str, common: frozenset[str]) -> str:
    """The longest part of `text` without common threes. Empty when there is none, or nothing to leave out.

    Of `ann.lee@example.org` where everybody has that domain, `ann.lee@`: the index reads a list of all users for each
    three letters that all have, 4 ms among a million.
    """
    runs, start = [""], 0
    for place, three in enumerate([*threes(text), None]):
        if three is None or three in common:
            runs.append(text[start : place + 2] if place > start else "")
            start = place + 1
    longest = max(runs, key=len)
    return longest if longest != text else ""


def is_of_few(text: str, database: str) -> bool:
    """Whether a search for `text` finds so few that they are best read by the index, and sorted by `hidden` keys."""
    hits, is_indexed = estimated(text, database)
    return is_indexed and hits <= FEW


def is_postgresql(database: str) -> bool:
    """Else there is no estimate, and nothing to hide an order from."""
    return connections[database].vendor == "postgresql"


def rows_between(
    users: UserQuerySet, ordering: tuple[str, ...], position: tuple[Any, ...], edge: tuple[Any, ...], is_hidden: bool
) -> Any:
    between = after(users, ordering, position)
    between = after(between, tuple(map(flipped, ordering[: len(edge)])), edge)
    return between.as_rows().order_by(*(map(hidden, ordering) if is_hidden else ordering))


def after(users: UserQuerySet, ordering: tuple[str, ...], position: tuple[Any, ...]) -> UserQuerySet:
    return users.filter(beyond(list(ordering), list(position))) if position else users


def hidden(field: str) -> OrderBy:
    """The same order, by an expression that no index serves."""
    expression = Func(F(field.lstrip("-")), function="GREATEST")
    return OrderBy(expression, descending=field.startswith("-"))


def kinds_of(key: tuple[Any, ...]) -> tuple[type, ...]:
    return tuple(type(value) for value in key)


@lru_cache(COMPILED)
def _compiled(ordering: tuple[str, ...], kinds: Kinds, most: int, texts: int, is_hidden: bool) -> Prepared[User]:
    """`kinds` are those of the values of position and edge. Before them come what is searched for, and the needle."""

    def page(*values: Any) -> Any:
        given, values = values[:texts], values[texts:]
        users: Any = User.objects.sortable()
        if len(given) == 2:
            users = users.alias(hidden_text=Func(F("search_text"), function="GREATEST"))
            users, given = users.filter(hidden_text__contains=given[0]), given[1:]
        for text in given:
            users = users.search(text)
        position, edge = values[: len(kinds[0])], values[len(kinds[0]) :]
        return rows_between(users, ordering, position, edge, is_hidden)[:most]

    return Prepared(page, *[Part] * texts, *kinds[0], *kinds[1], is_planned=not texts)


@lru_cache(COMPILED)
def _compiled_edge(
    ordering: tuple[str, ...], kinds: tuple[type, ...], keys: tuple[str, ...], steps: int
) -> Prepared[User]:
    def edge(*position: Any) -> Any:
        users = after(User.objects.sortable(), ordering, position)
        return users.order_by(*keys).values_list(*(key.lstrip("-") for key in keys))[steps : steps + 1]

    return Prepared(edge, *kinds)
