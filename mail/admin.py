from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from core.panel_lists import AgeFilter, AskedFilter, PanelList, addresses_of, people
from core.panel_look import display
from mail.letters import LETTERS
from mail.models import OPEN, OutgoingMail


class StateFilter(AskedFilter):
    title, parameter_name = _("State"), "state"
    choices_ = (
        ("open", _("Waiting or being sent")),
        ("sent", _("Sent")),
        ("failed", _("Failed")),
        ("expired", _("Expired")),
    )

    def narrowed(self, queryset: Any, asked: dict[str, str]) -> Any:
        return queryset.filter(state__in=OPEN) if asked["state"] == "open" else queryset.filter(**asked)


class LetterFilter(AskedFilter):
    title, parameter_name = _("Letter"), "template"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(name, name) for name in LETTERS]


class CreatedFilter(AgeFilter):
    title, parameter_name, column = _("Written"), "written", "created_at"


@admin.register(OutgoingMail)
class OutgoingMailAdmin(PanelList):
    """What went out, what waits and what failed. Codes and links stand nowhere, here neither."""

    list_display = ["template", "receiver", "state_shown", "attempts", "created_at", "sent_at", "last_error"]
    list_filter = [StateFilter, LetterFilter, CreatedFilter]
    search_fields = ["to"]
    search_help_text = _("Part of an address, a username or a name")
    ordering = ["-created_at", "-id"]
    fields = [
        *("created_at", "template", "to", "language", "user_id", "state", "attempts"),
        *("next_try_at", "sent_at", "expires_at", "last_error"),
    ]

    def found(self, queryset: Any, text: str) -> Any:
        return queryset.filter(Q(user_id__in=people(text)))

    def complete(self, rows: list[Any]) -> None:
        known = addresses_of(mail.user_id for mail in rows)
        for mail in rows:
            mail.is_of_somebody = mail.user_id in known

    @display(description=_("To"))
    def receiver(self, mail: Any) -> str:
        if not mail.is_of_somebody:
            return str(mail.to)
        return format_html('<a href="{}">{}</a>', reverse("admin:accounts_user_change", args=[mail.user_id]), mail.to)

    @display(
        description=_("State"),
        label={"sent": "success", "failed": "danger", "waiting": "info", "sending": "info", "expired": "warning"},
    )
    def state_shown(self, mail: OutgoingMail) -> tuple[str, str]:
        return mail.state, mail.get_state_display()
