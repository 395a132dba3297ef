from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from core.actor import Actor
from core.panel_lists import AskedFilter, PanelList, people
from core.panel_look import display
from rbac import services
from rbac.models import Permission, Role, RoleGrant
from rbac.panel_forms import EmptyForm, PermissionForm, RoleForm, answer, needs, of_role, sent


class BuiltInFilter(AskedFilter):
    title, parameter_name = _("Built in"), "built_in"
    choices_ = (("true", _("Yes")), ("false", _("No")))

    def narrowed(self, queryset: Any, asked: dict[str, str]) -> Any:
        return queryset.filter(built_in=asked["built_in"] == "true")


class OfServices(PanelList):
    """Rows that are made, changed and deleted by services, for whoever holds `needed`."""

    needed = ""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(self.needed))

    def back(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def row(self, object_id: str) -> Any:
        try:
            found = self.model._default_manager.filter(pk=object_id).first()
        except ValidationError:
            found = None
        if found is None:
            raise Http404
        return found

    def delete(self, request: HttpRequest, row: Any, deed: Any, notes: list[Any]) -> HttpResponse:
        form = EmptyForm(sent(request))
        words = {"title": _("Delete %s?") % row, "notes": notes, "button": _("Delete"), "is_grave": True}
        return answer(request, self.admin_site, form, deed, self.back(), opts=self.opts, **words)


@admin.register(Permission)
class PermissionAdmin(OfServices):
    needed = "permission:write"
    list_display = ["permission", "description", "built_in", "delete_link"]
    list_filter = [BuiltInFilter]
    search_fields = ["resource"]
    search_help_text = _("Part of a name or of its description")
    ordering = ["resource", "action", "id"]

    def found(self, queryset: Any, text: str) -> Any:
        resource, _colon, action = text.partition(":")
        by_name = queryset.filter(resource__icontains=resource, action__icontains=action)
        return by_name if _colon else by_name | queryset.filter(action__icontains=text) | described(queryset, text)

    @display(description=_("Permission"))
    def permission(self, permission: Permission) -> str:
        return permission.name

    @display(description="")
    def delete_link(self, permission: Permission) -> str:
        if permission.built_in:
            return ""
        return format_html('<a href="{}">{}</a>', f"{permission.pk}/delete/", _("Delete"))

    def get_list_display(self, request: HttpRequest) -> Any:
        return self.list_display if request.user.has_perm(self.needed) else self.list_display[:-1]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        needs(request, self.needed)
        form = PermissionForm(sent(request))
        words = {"title": _("Create a permission"), "button": _("Create"), "opts": self.opts}
        return answer(
            request,
            self.admin_site,
            form,
            lambda: services.create_permission(Actor.of(request), **form.cleaned_data),
            self.back(),
            **words,
        )

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        needs(request, self.needed)
        permission = self.row(object_id)
        notes = [_("It is taken from every role that holds it.")]
        return self.delete(
            request, permission, lambda: services.delete_permission(Actor.of(request), permission), notes
        )


@admin.register(Role)
class RoleAdmin(OfServices):
    needed = "role:write"
    list_display = ["name", "description", "holds", "created_at"]
    search_fields = ["name"]
    search_help_text = _("Part of a name or of its description")
    ordering = ["name", "id"]
    fields = ["name", "description", "held", "created_at", "updated_at"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return Role.objects.annotate(permission_count=Count("permissions"))

    def found(self, queryset: Any, text: str) -> Any:
        return queryset.filter(name__icontains=text) | described(queryset, text)

    @display(description=_("Permissions"))
    def holds(self, role: Any) -> Any:
        return _("all") if role.is_admin else role.permission_count

    @display(description=_("Permissions"))
    def held(self, role: Role) -> str:
        return ", ".join(role.permission_names())

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        needs(request, self.needed)
        form = RoleForm(sent(request))
        words = {"title": _("Create a role"), "button": _("Create"), "opts": self.opts}
        return answer(
            request,
            self.admin_site,
            form,
            lambda: services.create_role(Actor.of(request), **form.cleaned_data),
            self.back(),
            **words,
        )

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        """To look at for whoever may only look; `admin` never changes."""
        if not (request.user.has_perm(self.needed) and self.has_view_permission(request)):
            return super().change_view(request, object_id, form_url, extra_context)
        role = self.row(object_id)
        if role.is_admin:
            return super().change_view(request, object_id, form_url, extra_context)
        form = RoleForm(sent(request), initial=of_role(role))
        words = {"title": role.name, "button": _("Save"), "opts": self.opts, "original": role}
        if not role.is_system:
            words["delete_url"] = reverse("admin:rbac_role_delete", args=[role.pk])
        return answer(
            request,
            self.admin_site,
            form,
            lambda: services.change_role(Actor.of(request), role, **form.cleaned_data),
            self.back(),
            **words,
        )

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        needs(request, self.needed)
        role = self.row(object_id)
        notes = [_("It is withdrawn from everybody who has it: %d.") % role.grants.count()]
        return self.delete(request, role, lambda: services.delete_role(Actor.of(request), role), notes)


class RoleFilter(AskedFilter):
    title, parameter_name = _("Role"), "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(name, name) for name in Role.objects.values_list("name", flat=True)[:100]]

    def narrowed(self, queryset: Any, asked: dict[str, str]) -> Any:
        """By id: of an id the database knows how many have it."""
        return queryset.filter(role_id__in=list(Role.objects.filter(name=asked["role"]).values_list("pk", flat=True)))


class ExpiryFilter(AskedFilter):
    title, parameter_name = _("Ends"), "ends"
    choices_ = (("live", _("Live")), ("expired", _("Expired")))

    def narrowed(self, queryset: Any, asked: dict[str, str]) -> Any:
        return queryset.live() if asked["ends"] == "live" else queryset.filter(expires_at__lte=Now())


@admin.register(RoleGrant)
class RoleGrantAdmin(PanelList):
    list_display = ["role", "owner", "giver", "granted_at", "expires_at"]
    list_select_related = ["user", "role", "granted_by"]
    list_filter = [RoleFilter, ExpiryFilter]
    search_fields = ["user"]
    search_help_text = _("Part of an address, a username or a name")
    ordering = ["-id"]

    def found(self, queryset: Any, text: str) -> Any:
        return queryset.filter(user_id__in=people(text))

    @display(description=_("User"))
    def owner(self, grant: RoleGrant) -> str:
        link = reverse("admin:accounts_user_change", args=[grant.user_id])
        return format_html('<a href="{}">{}</a>', link, grant.user)

    @display(description=_("Granted by"))
    def giver(self, grant: RoleGrant) -> str:
        return str(grant.granted_by or "")


def described(queryset: Any, text: str) -> Any:
    return queryset.filter(description__icontains=text)
