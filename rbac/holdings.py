"""What a user holds: read from the roles in one query, remembered on the user for the request."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Subquery, TextField, Value

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


_END = "\x1e"  # ASCII's record separator, which nobody types


class _RolesField(TextField):  # type: ignore[type-arg]
    """A record for each role, id and name: at half of what JSON costs PostgreSQL, where a page of users has fifty."""

    def from_db_value(self, value: str | None, *_: Any) -> list[dict[str, str]]:
        pairs = (record.split(" ", 1) for record in value.split(_END)) if value else ()
        return [{"id": role_id if "-" in role_id else str(UUID(role_id)), "name": name} for role_id, name in pairs]


class _Roles(Subquery):
    """All rows of a subquery in one value: `[{"id": …, "name": …}]`."""

    output_field = _RolesField()

    def as_postgresql(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, _FROM.format("STRING_AGG"))

    def as_sqlite(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, _FROM.format("GROUP_CONCAT"))


_FROM = f"(SELECT {{}}(held.role_id || ' ' || held.role_name, '{_END}') FROM (%(subquery)s) held)"  # noqa: S608


def live_roles_of(user: str) -> Subquery:
    """The live roles by name, to be read within a query that has the user's id in its column `user`."""
    grants = RoleGrant.objects.live().filter(user_id=OuterRef(user)).order_by("role__name")
    return _Roles(grants.values("role_id", role_name=F("role__name")))


def _read(user_id: UUID) -> Holdings:
    grants, because = set(), defaultdict(set)
    for role_id, name, expires_at, resource, action in _granted.rows(user_id):
        grant = HeldRole(name, role_id, expires_at)
        grants.add(grant)
        if resource is not None:
            because[f"{resource}:{action}"].add(grant)
    return Holdings(_by_name(grants), {name: _by_name(given) for name, given in because.items()})


def _by_name(grants: Iterable[HeldRole]) -> tuple[HeldRole, ...]:
    return tuple(sorted(grants, key=lambda grant: grant.name))


def _rows(user_id: UUID) -> Any:
    """One row for each grant and permission: what is stored, and for `admin` whatever exists."""
    given = RoleGrant.objects.live().filter(user_id=user_id).order_by()
    stored = given.values_list(
        "role_id", "role__name", "expires_at", "role__permissions__resource", "role__permissions__action"
    )
    as_admin = given.filter(role__name=ADMIN)
    computed = (
        Permission.objects.filter(Exists(as_admin))
        .order_by()
        .annotate(
            role_id=Subquery(as_admin.values("role_id")),
            role_name=Value(ADMIN),
            expires_at=Subquery(as_admin.values("expires_at")),
        )
        .values_list("role_id", "role_name", "expires_at", "resource", "action")
    )
    return stored.union(computed, all=True)


_granted: Prepared[Any] = Prepared(_rows, UUID)
