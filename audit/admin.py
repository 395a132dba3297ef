from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from audit.models import Event
from core.panel_lists import AgeFilter, AskedFilter, PanelList, addresses_of
from core.panel_look import display

# What a list of staff offers to look for; the search finds any other.
ACTIONS = (
    *("session.started", "session.ended", "session.refused", "session.reused", "session.repeated"),
    *("user.signed_up", "user.verified", "user.created", "user.changed", "user.invited"),
    *("user.deactivated", "user.restored", "user.locked"),
    *("password.changed", "password.refused", "password.reset_asked"),
    *("email.changed", "role.granted", "role.withdrawn", "role.created", "role.changed", "role.deleted"),
    *("permission.created", "permission.deleted", "guard.refused", "key.rotated", "key.revoked"),
)
REQUEST_IDS = timedelta(days=3)  # no index has them, so only the newest events are read for one


class ActionFilter(AskedFilter):
    title, parameter_name = _("Action"), "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(name, name) for name in ACTIONS]


class AtFilter(AgeFilter):
    title, parameter_name, column = _("When"), "when", "at"


@admin.register(Event)
class EventAdmin(PanelList):
    """For reading only: the database would refuse anything else."""

    list_display = ["at", "action", "actor", "target", "ip", "request_id"]
    list_filter = [ActionFilter, AtFilter]
    search_fields = ["action"]
    search_help_text = _("A whole address, username or id; an action; or a request id of the last 3 days")
    ordering = ["-at", "-id"]

    def found(self, queryset: Any, text: str) -> Any:
        """Whole words only: an index answers for each, with millions of events too."""
        if ids := whom(text):
            return queryset.filter(Q(actor_id__in=ids) | Q(target_id__in=ids))
        if "." in text:
            return queryset.filter(action=text)
        return queryset.filter(at__gt=timezone.now() - REQUEST_IDS, request_id=text)

    def complete(self, rows: list[Any]) -> None:
        known = addresses_of(id_ for event in rows for id_ in (event.actor_id, event.target_id))
        for event in rows:
            event.known = known

    @display(description=_("Who"))
    def actor(self, event: Any) -> str:
        return named(event, event.actor_id)

    @display(description=_("Whom or what"))
    def target(self, event: Any) -> str:
        return named(event, event.target_id)


def named(event: Any, id_: UUID | None) -> str:
    if id_ not in event.known:
        return str(id_ or "")
    return format_html('<a href="{}">{}</a>', reverse("admin:accounts_user_change", args=[id_]), event.known[id_])


def whom(text: str) -> list[UUID]:
    users: Any = get_user_model()._default_manager
    if "@" in text:
        return list(users.filter(email_key=text.casefold()).values_list("pk", flat=True))
    try:
        return [UUID(text)]
    except ValueError:
        return list(users.filter(username__iexact=text).values_list("pk", flat=True)) if "." not in text else []
