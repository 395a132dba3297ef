"""The lists of people, sessions and what is counted against guessing; one person's page is `accounts.panel_person`."""

import ipaddress
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Prefetch
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from accounts.filters import UserFilter
from accounts.models import Challenge, Counter, FailedLogIns, KnownPlace, Session, User
from accounts.panel_bulk import BulkActions
from accounts.panel_exports import ExportedList
from accounts.panel_person import PersonPage
from accounts.panel_sessions import SessionActions
from accounts.user_list import hidden, is_of_few, is_postgresql
from core.clock import EPOCH
from core.ids import uuid7_at
from core.panel_lists import AgeFilter, AskedFilter, PanelList, people
from core.panel_look import display
from rbac.models import Role, RoleGrant

MANY_ROLES = 100
CLOCKS_DIFFER = timedelta(hours=1)


class UserAskedFilter(AskedFilter):
    """Narrows by the API's own filter, so that both mean the same, and a job can be told of it."""

    def narrowed(self, queryset: Any, asked: dict[str, str]) -> Any:
        return UserFilter(asked, queryset=queryset).qs


class ActiveFilter(UserAskedFilter):
    title, parameter_name = _("State"), "is_active"
    choices_ = (("true", _("Active")), ("false", _("Inactive")))


class VerifiedFilter(UserAskedFilter):
    title, parameter_name = _("Address"), "is_verified"
    choices_ = (("true", _("Verified")), ("false", _("Not verified")))


class StaffFilter(UserAskedFilter):
    title, parameter_name = _("Staff"), "is_staff"
    choices_ = (("true", _("Staff")), ("false", _("Not staff")))


class RoleFilter(UserAskedFilter):
    title, parameter_name = _("Role"), "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(name, name) for name in Role.objects.values_list("name", flat=True)[:MANY_ROLES]]


class JoinedFilter(AgeFilter, UserAskedFilter):
    title, parameter_name, column = _("Joined"), "joined", "created_at"

    def said(self, value: str) -> dict[str, str]:
        ((lookup, since),) = super().said(value).items()
        return {"created_before" if lookup.endswith("lt") else "created_after": since}


class SeenFilter(AgeFilter, UserAskedFilter):
    title, parameter_name, column = _("Last log-in"), "seen", "last_login"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (("older", _("More than 30 days ago")),)

    def said(self, value: str) -> dict[str, str]:
        return {"last_login_before": next(iter(super().said(value).values()))}

    def narrowed(self, queryset: Any, asked: dict[str, str]) -> Any:
        """Also by the key of that order, whose index would else be read through all who never logged in."""
        before = datetime.fromisoformat(asked["last_login_before"])
        return super().narrowed(queryset, asked).filter(last_login_key__gt=EPOCH, last_login_key__lt=before)


@admin.register(User)
class UserAdmin(ExportedList, BulkActions, PersonPage, PanelList):
    list_display = ("email", "full_name", "state", "roles_held", "staff", "created_at", "last_login")
    list_filter = (ActiveFilter, VerifiedFilter, StaffFilter, RoleFilter, JoinedFilter, SeenFilter)
    search_fields = ("search_text",)
    search_help_text = _("Part of an address, a username or a name")
    ordering = ("-created_at", "-id")
    orderings = {
        "email": ("email_key", "id"),
        "created_at": ("created_at", "id"),
        "last_login": ("last_login_key", "id"),
    }

    def get_queryset(self, request: HttpRequest) -> Any:
        held = RoleGrant.objects.live().select_related("role").order_by("role__name")
        return User.objects.sortable().prefetch_related(Prefetch("grants", held, to_attr="held_grants"))

    def found(self, queryset: Any, text: str) -> Any:
        return queryset.search(text)

    def first(self, request: HttpRequest, rows: Any, keys: list[Any], number: int) -> list[Any]:
        """Those who joined lately are sorted: a database that walks another order until it has met enough of them, as
        if they lay anywhere in it, reads all who never logged in before it comes to the new ones who did not. So are
        the few whom a search finds (ADR 49)."""
        text = request.GET.get(SEARCH_VAR, "").strip()
        are_new = request.GET.get("joined") in JoinedFilter.DAYS and keys[0].lstrip("-") != "created_at"
        if is_postgresql(rows.db) and not rows.query.is_empty() and (are_new or (text and is_of_few(text, rows.db))):
            keys = [hidden(key) for key in keys]
        return super().first(request, rows, keys, number)

    @display(description=_("Name"))
    def full_name(self, user: User) -> str:
        names = " ".join(filter(None, (user.first_name, user.middle_name, user.last_name)))
        return f"{names} ({user.username})" if names and user.username else names or user.username or ""

    @display(description=_("State"), label={"ok": "success", "new": "warning", "off": "danger"})
    def state(self, user: User) -> tuple[str, Any]:
        if not user.is_active:
            return "off", _("Inactive")
        return ("ok", _("Active")) if user.is_verified else ("new", _("Not verified"))

    @display(description=_("Staff"))
    def staff(self, user: User) -> Any:
        return _("Yes") if user.is_staff else ""

    @display(description=_("Roles"))
    def roles_held(self, user: Any) -> str:
        return ", ".join(grant.role.name for grant in user.held_grants)


class OwnersAdmin(PanelList):
    """Lists of what belongs to somebody: found by its owner."""

    list_select_related = ("user",)
    search_fields = ("user",)
    search_help_text = _("Part of an address, a username or a name")

    def found(self, queryset: Any, text: str) -> Any:
        return queryset.filter(user_id__in=people(text))

    @display(description=_("User"))
    def owner(self, row: Any) -> str:
        link = reverse("admin:accounts_user_change", args=[row.user_id])
        return format_html('<a href="{}">{}</a>', link, row.user.email)


class LiveFilter(AskedFilter):
    title, parameter_name = _("State"), "state"
    choices_ = (("live", _("Live")), ("ended", _("Ended")))

    def narrowed(self, queryset: Any, asked: dict[str, str]) -> Any:
        return queryset.live() if asked["state"] == "live" else queryset.filter(ended_at__isnull=False)


class SessionUsedFilter(AgeFilter):
    title, parameter_name, column = _("Last used"), "used", "last_used_at"

    def narrowed(self, queryset: Any, asked: dict[str, str]) -> Any:
        """What was last used then began before, so the list is read from there on, by its key; no index has the use,
        which would be written at each."""
        found = queryset.filter(**asked)
        if before := asked.get("last_used_at__lt"):
            found = found.filter(id__lt=uuid7_at(datetime.fromisoformat(before) + CLOCKS_DIFFER))
        return found


@admin.register(Session)
class SessionAdmin(SessionActions, OwnersAdmin):
    list_display = ("device", "owner", "ip", "state", "created_at", "last_used_at")
    list_filter = (LiveFilter, SessionUsedFilter)
    search_help_text = _("An IP address, or part of an address, a username or a name")
    ordering = ("-id",)

    def found(self, queryset: Any, text: str) -> Any:
        try:
            return queryset.filter(ip=str(ipaddress.ip_address(text)))
        except ValueError:
            return super().found(queryset, text)

    @display(description=_("State"), label={"live": "success", "ended": "info"})
    def state(self, session: Session) -> tuple[str, Any]:
        return ("ended", _("Ended")) if session.ended_at else ("live", _("Live"))


class ChallengeStateFilter(AskedFilter):
    title, parameter_name = _("Purpose"), "purpose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(value, _(label)) for value, label in Challenge.Purpose.choices]


@admin.register(Challenge)
class ChallengeAdmin(OwnersAdmin):
    list_display = ("purpose", "owner", "email", "attempts", "created_at", "used_at", "voided_at")
    list_filter = (ChallengeStateFilter,)
    ordering = ("-id",)


@admin.register(KnownPlace)
class KnownPlaceAdmin(OwnersAdmin):
    list_display = ("device", "owner", "network", "last_at")
    ordering = ("-id",)


@admin.register(FailedLogIns)
class FailedLogInsAdmin(PanelList):
    list_display = ("network", "count", "waits", "wait_until", "updated_at")
    ordering = ("-updated_at", "-id")


@admin.register(Counter)
class CounterAdmin(PanelList):
    list_display = ("count", "expires_at")
    ordering = ("-expires_at", "-key")
