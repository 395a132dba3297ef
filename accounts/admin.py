"""The staff panel, plain for now: it shows, and changes nothing around the services."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from accounts.models import Challenge, Counter, FailedLogIns, KnownPlace, Session, User


class LookOnly(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """No form of the panel goes around a service, a guard rail or the audit."""

    show_full_result_count = False
    hidden: ClassVar[tuple[str, ...]] = ()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Django would show it also to whoever may only write, which the API does not."""
        return request.user.has_perm(f"{self.opts.app_label}.view_{self.opts.model_name}")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [field.name for field in self.model._meta.fields if field.name not in self.hidden]


@admin.register(User)
class UserAdmin(LookOnly):
    list_display = ("email", "username", "first_name", "last_name", "is_active", "is_verified", "is_staff")
    list_filter = ("is_active", "is_verified", "is_staff")
    search_fields = ("search_text",)
    ordering = ("-created_at",)
    hidden = ("password", "search_text", "email_key")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        return super().get_search_results(request, queryset, search_term.casefold())


@admin.register(Session)
class SessionAdmin(LookOnly):
    list_display = ("user", "device", "ip", "created_at", "last_used_at", "ended_at", "ended_by")
    list_select_related = ("user",)
    ordering = ("-id",)


@admin.register(Challenge)
class ChallengeAdmin(LookOnly):
    list_display = ("user", "purpose", "email", "attempts", "created_at", "used_at", "voided_at")
    list_select_related = ("user",)
    ordering = ("-id",)


@admin.register(KnownPlace)
class KnownPlaceAdmin(LookOnly):
    list_display = ("user", "network", "device", "last_at")
    list_select_related = ("user",)


@admin.register(FailedLogIns)
class FailedLogInsAdmin(LookOnly):
    list_display = ("network", "count", "waits", "wait_until", "updated_at")


@admin.register(Counter)
class CounterAdmin(LookOnly):
    list_display = ("count", "expires_at")
