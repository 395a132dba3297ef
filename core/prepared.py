"""Questions that nearly every request asks: compiled by the ORM once, planned by PostgreSQL once on each connection.

Compiling a query costs the ORM more than all the rest of a short request, and what Django sends is planned anew each
time. Figures: docs/adr/0039-prepared-questions.md
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from random import randrange
from typing import Any, Generic, TypeAlias, TypeVar
from uuid import UUID, uuid4

from django.db import DEFAULT_DB_ALIAS, NotSupportedError, connection, connections, models
from django.db.models.query import ModelIterable, get_related_populators

M = TypeVar("M", bound=models.Model)
T = TypeVar("T")


class Part(str):
    """Text for a `contains`, which the ORM hands to the database as `%text%`."""

    __slots__ = ()


NUMBERS = (1, 2, 4, 8)
MOST_AT_ONCE = NUMBERS[-1]

Value: TypeAlias = UUID | datetime | str
# Values that nothing else in a statement has.
_STAND_INS: dict[type, Callable[[], Value]] = {
    UUID: uuid4,
    datetime: lambda: datetime(1001, 1, 1, tzinfo=UTC) + timedelta(microseconds=randrange(10**15)),  # noqa: S311
    str: lambda: uuid4().hex,
    Part: lambda: Part(uuid4().hex),
}


class Prepared(Generic[M]):
    """`Prepared(lambda user: Grant.objects.filter(user_id=user), UUID)`, asked by `.rows(id)`.

    `make` is called once with stand-ins for the values, so it must not look at them, nor at anything that changes
    between two questions. `kinds` are UUID, datetime, str or Part. Not `is_planned` are questions whose best plan
    depends on the values: compiled once all the same, but planned each time.
    """

    def __init__(self, make: Callable[..., models.QuerySet[M, Any]], *kinds: type, is_planned: bool = True) -> None:
        self.make, self.kinds, self.is_planned = make, kinds, is_planned
        self.compiled: dict[str, _Compiled] = {}

    def rows(self, *values: Value, using: str = DEFAULT_DB_ALIAS) -> Iterator[Any]:
        """What the queryset gives: instances, or tuples for `values_list`."""
        vendor = connections[using].vendor
        compiled = self.compiled.get(vendor) or self._compile(vendor)
        return compiled.read(self._fetch(compiled, values, using))

    def one(self, *values: Value) -> M | None:
        return next(self.rows(*values), None)

    def _compile(self, vendor: str) -> "_Compiled":
        stand_ins = [_STAND_INS[kind]() for kind in self.kinds]
        compiled = self.compiled[vendor] = _Compiled(self.make(*stand_ins), stand_ins)
        return compiled

    def _fetch(self, compiled: "_Compiled", values: tuple[Any, ...], using: str) -> list[tuple[Any, ...]]:
        connection = connections[using]
        return _again_if_stale(lambda: compiled.fetch(values, connection, self.is_planned), connection)


class PreparedById(Generic[M]):
    """The rows of `queryset` with some ids, at most MOST_AT_ONCE. Compiled for a few numbers of ids, since each has a
    plan of its own; what lacks to such a number is asked for twice."""

    def __init__(self, queryset: models.QuerySet[M, Any]) -> None:
        self.questions = {
            number: Prepared(lambda *ids: queryset.filter(pk__in=ids), *[UUID] * number) for number in NUMBERS
        }

    def by_id(self, ids: Iterable[UUID]) -> dict[UUID, M]:
        wanted = list(dict.fromkeys(ids))
        number = next(number for number in NUMBERS if number >= len(wanted))
        wanted += wanted[-1:] * (number - len(wanted))
        return {row.pk: row for row in self.questions[number].rows(*wanted)}


def planned_row(sql: str, params: dict[str, Any]) -> tuple[Any, ...] | None:
    """The first row of a statement that the ORM cannot say, with the same text each time. Moments come as such."""
    ops: Any = connection.ops
    values = {name: _as_param(value, connection) for name, value in params.items()}

    rows = _again_if_stale(lambda: planned_rows(connection, sql, values), connection)
    if rows and connection.vendor == "sqlite":  # which keeps moments as text
        return tuple(ops.convert_datetimefield_value(value, None, connection) for value in rows[0])
    return rows[0] if rows else None


def planned_rows(connection: Any, sql: str, params: Any) -> list[tuple[Any, ...]]:
    if hasattr(connection, "planned_rows"):
        found: list[tuple[Any, ...]] = connection.planned_rows(sql, params)
        return found
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _again_if_stale(execute: Callable[[], T], connection: Any) -> T:
    try:
        return execute()
    except NotSupportedError:
        # A migration has changed the type of a column: PostgreSQL refuses the plan that this connection kept.
        if connection.in_atomic_block:
            raise
        connection.close()
        return execute()


class _Compiled:
    def __init__(self, queryset: Any, stand_ins: list[Any]) -> None:
        self.compiler = queryset.query.get_compiler(DEFAULT_DB_ALIAS)
        self.sql, params = self.compiler.as_sql()
        places = {_as_param(value, connections[DEFAULT_DB_ALIAS]): index for index, value in enumerate(stand_ins)}
        # (True, which of the values) or (False, what always stands there)
        self.params = [(True, places[p]) if p in places else (False, p) for p in params]
        fields = [expression for expression, *_ in self.compiler.select or ()]
        self.converters = self.compiler.get_converters(fields) if fields else {}
        self.read = self.instances if issubclass(queryset._iterable_class, ModelIterable) else self.tuples

    def fetch(self, values: tuple[Any, ...], connection: Any, is_planned: bool) -> list[tuple[Any, ...]]:
        given = [_as_param(value, connection) for value in values]
        params = [given[what] if is_given else what for is_given, what in self.params]
        if is_planned:
            return planned_rows(connection, self.sql, params)
        with connection.cursor() as cursor:
            cursor.execute(self.sql, params)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows

    def tuples(self, rows: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        if not self.converters:
            return iter(rows)
        return map(tuple, self.compiler.apply_converters(rows, self.converters))

    def instances(self, rows: list[tuple[Any, ...]]) -> Iterator[Any]:
        """As `django.db.models.query.ModelIterable` does."""
        compiler = self.compiler
        places = compiler.klass_info["select_fields"]
        start, end = places[0], places[-1] + 1
        names = [select[0].target.attname for select in compiler.select[start:end]]
        populators = get_related_populators(compiler.klass_info, compiler.select, DEFAULT_DB_ALIAS)  # type: ignore[call-arg]
        for row in self.tuples(rows):
            instance = compiler.klass_info["model"].from_db(DEFAULT_DB_ALIAS, names, row[start:end])
            for populator in populators:
                populator.populate(row, instance)
            for name, place in compiler.annotation_col_map.items():
                setattr(instance, name, row[place])
            yield instance


_UUID = models.UUIDField()


def _as_param(value: Any, connection: Any) -> Any:
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, Part):
        return f"%{connection.ops.prep_for_like_query(value)}%"
    return _UUID.get_db_prep_value(value, connection) if isinstance(value, UUID) else value
