from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from rbac.models import Permission, Role, RoleGrant


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Changes go through the API or the commands: here they would go around the guard rails."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Django would show it also to whoever may only write, which the API does not."""
        return request.user.has_perm(f"{self.opts.app_label}.view_{self.opts.model_name}")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Permission)
class PermissionAdmin(ReadOnlyAdmin):
    list_display = ["name", "description", "built_in"]
    list_filter = ["built_in"]
    search_fields = ["resource", "action", "description"]


@admin.register(Role)
class RoleAdmin(ReadOnlyAdmin):
    list_display = ["name", "description", "created_at"]
    search_fields = ["name", "description"]
    fields = ["name", "description", "held", "created_at", "updated_at"]

    @admin.display(description=_("Permissions"))
    def held(self, role: Role) -> str:
        return ", ".join(role.permission_names())


@admin.register(RoleGrant)
class RoleGrantAdmin(ReadOnlyAdmin):
    list_display = ["user", "role", "granted_by", "granted_at", "expires_at"]
    list_select_related = ["user", "role", "granted_by"]
    list_filter = ["role"]
    raw_id_fields = ["user", "granted_by"]
    ordering = ["-granted_at", "-id"]
    show_full_result_count = False
