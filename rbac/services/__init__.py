"""The rules of roles: every change of who may do what goes through here."""

from rbac.services.grants import grant, grant_default_role, withdraw
from rbac.services.permissions import create_permission, delete_permission, sync_permissions
from rbac.services.roles import change_role, create_role, delete_role, set_permissions

__all__ = [
    "change_role",
    "create_permission",
    "create_role",
    "delete_permission",
    "delete_role",
    "grant",
    "grant_default_role",
    "set_permissions",
    "sync_permissions",
    "withdraw",
]
