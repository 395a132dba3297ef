"""The lists of people, sessions and what is counted against guessing; one person's page is `accounts.panel_person`."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.models import Challenge, Counter, FailedLogIns, KnownPlace, Session, User
from accounts.panel_person import PersonPage
from core.panel_look import LookOnly


@admin.register(User)
class UserAdmin(PersonPage):
    list_display = ("email", "username", "first_name", "last_name", "is_active", "is_verified", "is_staff")
    list_filter = ("is_active", "is_verified", "is_staff")
    search_fields = ("search_text",)
    ordering = ("-created_at",)

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
