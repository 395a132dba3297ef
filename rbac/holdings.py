"""What a user holds: read from the roles in one query, remembered on the user for the request."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from django.db.models import Case, F, OuterRef, Subquery, TextField, When

from core.clock import EPOCH
from core.prepared import Prepared
from rbac.builtin import ADMIN
from rbac.models import Permission, RoleGrant

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

AnyUser: TypeAlias = "AbstractBaseUser | AnonymousUser"

FOR_EVER = datetime.max.replace(tzinfo=UTC)
NEVER = datetime.min.replace(tzinfo=UTC)
MEMORY = "_granted"  # the attribute of a user that remembers


@dataclass(frozen=True, slots=True, order=True)
class HeldRole:
    name: str
    id: UUID
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Holdings:
    """Live grants by name of the role, and for each permission the grants that give it."""

    grants: tuple[HeldRole, ...]
    because: Mapping[str, tuple[HeldRole, ...]]

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(grant.name for grant in self.grants)

    @property
    def permissions(self) -> frozenset[str]:
        return frozenset(self.because)

    def has_role(self, name: str) -> bool:
        return name in self.roles

    def held_until(self, permission: str) -> datetime:
        """The end of the grant that lasts longest, FOR_EVER, or NEVER for what is not held."""
        ends = (grant.expires_at or FOR_EVER for grant in self.because.get(permission, ()))
        return max(ends, default=NEVER)


NOTHING = Holdings((), MappingProxyType({}))


def holdings(user: "AnyUser | None") -> Holdings:
    """What `user` may do now. Strangers and deactivated users hold nothing, whatever they were given."""
    return granted(user) if user is not None and user.is_active else NOTHING


def granted(user: "AnyUser | None") -> Holdings:
    """What `user` was given and would hold when active; guard rails look at this, so that nobody restores
    somebody above themselves."""
    if user is None or user.pk is None:
        return NOTHING
    remembered: Holdings | None = getattr(user, MEMORY, None)
    if remembered is None:
        remembered = _read(user.pk)
        setattr(user, MEMORY, remembered)
    return remembered


def forget(user: "AnyUser | None") -> None:
    """Drop what was remembered: the grants or the roles have changed."""
    if hasattr(user, MEMORY):
        delattr(user, MEMORY)


# ASCII's separators of records and of fields, which nobody types.
_END, _NEXT = "\x1e", "\x1f"


class _RolesField(TextField):  # type: ignore[type-arg]
    """A record for each role, id and name: at half of what JSON costs PostgreSQL, where a page of users has fifty."""

    def from_db_value(self, value: str | None, *_: Any) -> list[dict[str, str]]:
        pairs = (record.split(" ", 1) for record in value.split(_END)) if value else ()
        return [{"id": role_id if "-" in role_id else str(UUID(role_id)), "name": name} for role_id, name in pairs]


class _HoldingsField(TextField):  # type: ignore[type-arg]
    """A record for each grant: id and name of the role, when it expires, and the permissions."""

    def from_db_value(self, value: str | None, *_: Any) -> Holdings:
        records = (record.split(_NEXT) for record in value.split(_END)) if value else ()
        return _of((UUID(role_id), name, _moment(expires_at), names) for role_id, name, expires_at, names in records)


def _moment(written: str) -> datetime | None:
    """Microseconds since 1970 by PostgreSQL, whose own form of a moment depends on its settings; by SQLite as kept."""
    if not written:
        return None
    if written.isdecimal():
        return EPOCH + timedelta(microseconds=int(written))
    return datetime.fromisoformat(written).replace(tzinfo=UTC)


class _InOneText(Subquery):
    """All rows of a subquery in one value. `record` says in SQL what becomes of a row, which is called `held`."""

    def __init__(self, queryset: Any, output_field: Any, end: str, record: str, on_sqlite: str = "") -> None:
        super().__init__(queryset, output_field)
        self.end, self.record, self.on_sqlite = end, record, on_sqlite or record

    def as_postgresql(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, f"(SELECT STRING_AGG({self.record}, '{self.end}') {_FROM})")

    def as_sqlite(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, f"(SELECT GROUP_CONCAT({self.on_sqlite}, '{self.end}') {_FROM})")


_FROM = "FROM (%(subquery)s) held"


def live_roles_of(user: str) -> Subquery:
    """The live roles by name, to be read within a query that has the user's id in its column `user`."""
    grants = RoleGrant.objects.live().filter(user_id=OuterRef(user)).order_by("role__name")
    named = grants.values("role_id", role_name=F("role__name"))
    return _InOneText(named, _RolesField(), _END, "held.role_id || ' ' || held.role_name")


def holdings_of(user: str) -> Subquery:
    """What `granted` reads, to be read within another query as `live_roles_of` is. Hand it to `remember`."""
    grants = RoleGrant.objects.live().filter(user_id=OuterRef(user)).order_by()
    named = grants.values("role_id", "expires_at", role_name=F("role__name"), names=_names())
    record = (
        f"held.role_id || '{_NEXT}' || held.role_name || '{_NEXT}' || {{}} || '{_NEXT}' || COALESCE(held.names, '')"
    )
    on_postgresql = "COALESCE(CAST(CAST(EXTRACT(EPOCH FROM held.expires_at) * 1000000 AS bigint) AS text), '')"
    on_sqlite = record.format("COALESCE(held.expires_at, '')")
    return _InOneText(named, _HoldingsField(), _END, record.format(on_postgresql), on_sqlite)


def remember(user: "AbstractBaseUser", read: Holdings) -> None:
    """Spare `granted` its question, by what `holdings_of` has just read."""
    setattr(user, MEMORY, read)


def _names() -> Case:
    """The permissions of a grant's role, by a space: what is stored, and for `admin` whatever exists."""
    stored = Permission.objects.filter(roles=OuterRef("role_id")).order_by().values("resource", "action")
    existing = Permission.objects.order_by().values("resource", "action")
    every, those = (
        _InOneText(found, TextField(), " ", "held.resource || ':' || held.action") for found in (existing, stored)
    )
    return Case(When(role__name=ADMIN, then=every), default=those)


def _read(user_id: UUID) -> Holdings:
    return _of(_granted.rows(user_id))


def _of(grants: Iterable[tuple[UUID, str, datetime | None, str | None]]) -> Holdings:
    held, because = [], defaultdict(list)
    for role_id, name, expires_at, names in sorted(grants, key=itemgetter(1)):
        grant = HeldRole(name, role_id, expires_at)
        held.append(grant)
        for permission in (names or "").split():
            because[permission].append(grant)
    return Holdings(tuple(held), {name: tuple(given) for name, given in because.items()})


def _grants(user_id: UUID) -> Any:
    given = RoleGrant.objects.live().filter(user_id=user_id).order_by()
    return given.annotate(names=_names()).values_list("role_id", "role__name", "expires_at", "names")


_granted: Prepared[Any] = Prepared(_grants, UUID)
