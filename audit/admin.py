from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.auth import get_user_model
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from audit.models import Event
from core.ids import made_at, uuid7_at
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
# No index has the ids of requests. One of ours tells when it was made; for others the newest events are read.
SPREAD = (timedelta(minutes=-1), timedelta(hours=6))  # a job that it asked for works and waits for long
NEWEST, NEWEST_AGE = 20_000, timedelta(days=3)


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
    search_help_text = _("A whole address, username or id; an action; or a request id")
    ordering = ["-at", "-id"]

    def found(self, queryset: Any, text: str) -> Any:
        """Whole words only: an index answers for each, with millions of events too."""
        if ids := whom(text):
            return queryset.filter(Q(actor_id__in=ids) | Q(target_id__in=ids))
        if "." in text:
            return queryset.filter(action=text)
        return queryset.filter(**when_of(text), request_id=text)

    def first(self, request: HttpRequest, rows: Any, keys: list[str], number: int) -> list[Any]:
        """Of one person, each side from its own index: of both in one question, a database would read and sort all."""
        ids = [] if rows.query.is_empty() else whom(request.GET.get(SEARCH_VAR, "").strip())
        if not ids:
            return super().first(request, rows, keys, number)
        is_newest_first = keys[0].startswith("-")
        found: dict[UUID, Event] = {}
        for side in ("actor_id", "target_id"):
            theirs = rows.filter(**{f"{side}__range": (ids[0], ids[0])})  # why a range: accounts/person/timeline.py
            order = [f"-{side}" if is_newest_first else side, *keys]
            found |= {event.pk: event for event in theirs.order_by(*order)[:number]}
        events = sorted(found.values(), key=lambda event: (event.at, event.pk), reverse=is_newest_first)
        return events[:number]

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
    if id_ := as_id(text):
        return [id_] if "-" in text else []
    return list(users.called(text).values_list("pk", flat=True)) if text and "." not in text else []


def when_of(request_id: str) -> dict[str, datetime]:
    id_ = as_id(request_id)
    if id_ and id_.version == 7 and id_ < uuid7_at(timezone.now() + NEWEST_AGE):
        earlier, later = SPREAD
        return {"at__gte": made_at(id_) + earlier, "at__lte": made_at(id_) + later}
    oldest = Event.objects.order_by("-at").values_list("at", flat=True)[NEWEST : NEWEST + 1]
    return {"at__gte": max([timezone.now() - NEWEST_AGE, *oldest])}


def as_id(text: str) -> UUID | None:
    """Of a person, with dashes, or of a request, which has none."""
    try:
        return UUID(text)
    except ValueError:
        return None
