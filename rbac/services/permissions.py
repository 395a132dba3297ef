from django.db import transaction

from audit.services import record
from core.actor import Actor
from rbac.builtin import PERMISSIONS, SYSTEM_ROLES
from rbac.errors import BuiltInPermission
from rbac.guards import guarded, holds_all, one_at_a_time
from rbac.holdings import forget
from rbac.models import Permission, Role
from rbac.services.locked import lock
from rbac.services.taken import taken


@guarded
def create_permission(actor: Actor, resource: str, action: str, description: str = "") -> Permission:
    """Only `admin` holds it at first. Raises InvalidInput (taken)."""
    permission = Permission(resource=resource, action=action, description=description)
    with taken("resource", "action"):
        permission.save(force_insert=True)
    record(actor, "permission.created", permission, permission=permission.name)
    return permission


@guarded
def delete_permission(actor: Actor, permission: Permission) -> None:
    """Withdraw it from every role, and it is no more.

    No administrator is lost with it, since `role:assign` is built in. Raises BuiltInPermission,
    PrivilegeEscalation when a role that loses it holds more than the actor, NotFound.
    """
    one_at_a_time()
    lock(permission)
    if permission.built_in:
        raise BuiltInPermission
    roles = list(Role.objects.filter(permissions=permission).prefetch_related("permissions"))
    for role in roles:
        holds_all(actor, role.permission_names())
    record(
        actor,
        "permission.deleted",
        permission,
        permission=permission.name,
        roles=[role.name for role in roles],
    )
    Permission.objects.filter(pk=permission.pk).delete()
    forget(actor.user)


def sync_permissions(using: str = "default") -> None:
    """Make what is built in exist, as `rbac.builtin` says. Safe to repeat, and to run twice at once."""
    built_in = [
        Permission(resource=name.split(":")[0], action=name.split(":")[1], description=text, built_in=True)
        for name, text in PERMISSIONS.items()
    ]
    with transaction.atomic(using=using):
        Permission.objects.using(using).bulk_create(
            built_in,
            update_conflicts=True,
            unique_fields=["resource", "action"],
            update_fields=["description", "built_in"],
        )
        Role.objects.using(using).bulk_create(
            [Role(name=name, description=text) for name, text in SYSTEM_ROLES.items()], ignore_conflicts=True
        )
