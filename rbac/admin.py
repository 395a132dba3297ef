from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from core.panel_look import LookOnly
from rbac.models import Permission, Role, RoleGrant


@admin.register(Permission)
class PermissionAdmin(LookOnly):
    list_display = ["permission", "description", "built_in"]
    list_filter = ["built_in"]
    search_fields = ["resource", "action", "description"]

    @admin.display(description=_("Permission"))
    def permission(self, permission: Permission) -> str:
        return permission.name


@admin.register(Role)
class RoleAdmin(LookOnly):
    list_display = ["name", "description", "created_at"]
    search_fields = ["name", "description"]
    fields = ["name", "description", "held", "created_at", "updated_at"]

    @admin.display(description=_("Permissions"))
    def held(self, role: Role) -> str:
        return ", ".join(role.permission_names())


@admin.register(RoleGrant)
class RoleGrantAdmin(LookOnly):
    list_display = ["user", "role", "granted_by", "granted_at", "expires_at"]
    list_select_related = ["user", "role", "granted_by"]
    list_filter = ["role"]
    raw_id_fields = ["user", "granted_by"]
    ordering = ["-granted_at", "-id"]
