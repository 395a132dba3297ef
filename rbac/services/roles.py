from collections.abc import Sequence

from django.utils.translation import gettext_lazy as _

from audit.services import record
from core.actor import Actor
from core.errors import InvalidInput, SystemRole
from rbac.guards import gains_nothing, guarded, holds_all, keeps_an_administrator, may_give, one_at_a_time
from rbac.holdings import forget
from rbac.models import Permission, Role
from rbac.services.locked import lock
from rbac.services.taken import taken


@guarded
def create_role(actor: Actor, name: str, description: str = "", permissions: Sequence[str] = ()) -> Role:
    """Raises InvalidInput (name taken, unknown permission), PrivilegeEscalation."""
    one_at_a_time()
    wanted = _existing(permissions)
    may_give(actor, permissions)
    role = Role(name=name, description=description)
    with taken("name"):
        role.save(force_insert=True)
    role.permissions.set(wanted)
    record(actor, "role.created", role, role=role.name, permissions=sorted(set(permissions)))
    return role


@guarded
def change_role(
    actor: Actor,
    role: Role,
    name: str | None = None,
    description: str | None = None,
    permissions: Sequence[str] | None = None,
) -> Role:
    """Change what is given, leave what is None.

    Raises SystemRole, InvalidInput (name taken, unknown permission), PrivilegeEscalation, LastAdministrator.
    """
    one_at_a_time()
    lock(role)
    wanted = {"name": name, "description": description}
    changes = {field: value for field, value in wanted.items() if value is not None and value != getattr(role, field)}
    if role.is_admin or (role.is_system and changes):
        raise SystemRole
    holds_all(actor, role.permission_names())
    if changes:
        _write(actor, role, changes)
    return role if permissions is None else set_permissions(actor, role, permissions)


@guarded
def set_permissions(actor: Actor, role: Role, permissions: Sequence[str]) -> Role:
    """Let the role hold exactly these.

    Raises SystemRole for `admin`, InvalidInput (unknown permission), PrivilegeEscalation, LastAdministrator.
    """
    with keeps_an_administrator(), gains_nothing(actor):
        lock(role)
        if role.is_admin:
            raise SystemRole
        wanted = _existing(permissions)
        before, after = set(role.permission_names()), set(permissions)
        holds_all(actor, before)
        may_give(actor, after)
        if before != after:
            role.permissions.set(wanted)
            role.save(update_fields=["updated_at"])
            record(
                actor,
                "role.changed",
                role,
                role=role.name,
                added=sorted(after - before),
                removed=sorted(before - after),
            )
    return role


@guarded
def delete_role(actor: Actor, role: Role) -> None:
    """Withdraw it from everybody, and it is no more.

    Raises SystemRole, PrivilegeEscalation, LastAdministrator, NotFound.
    """
    with keeps_an_administrator():
        lock(role)
        if role.is_system:
            raise SystemRole
        holds_all(actor, role.permission_names())
        record(actor, "role.deleted", role, role=role.name, withdrawn_from=role.grants.count())
        Role.objects.filter(pk=role.pk).delete()
    forget(actor.user)


def _write(actor: Actor, role: Role, changes: dict[str, str]) -> None:
    before = role.name
    for field, value in changes.items():
        setattr(role, field, value)
    with taken("name"):
        role.save(update_fields=[*changes, "updated_at"])
    record(actor, "role.changed", role, role=before, **changes)


def _existing(names: Sequence[str]) -> list[Permission]:
    """The permissions of these names; InvalidInput names each that does not exist by its place."""
    found = Permission.objects.named(names)
    unknown = [
        {"field": f"permissions.{place}", "code": "unknown", "detail": _("There is no such permission.")}
        for place, name in enumerate(names)
        if name not in found
    ]
    if unknown:
        raise InvalidInput(errors=unknown)
    return list(found.values())
