from django.contrib import admin

from core.panel_look import LookOnly
from mail.models import OutgoingMail


@admin.register(OutgoingMail)
class OutgoingMailAdmin(LookOnly):
    """What went out, what waits and what failed. Codes and links stand nowhere, here neither."""

    list_display = [
        "created_at",
        "template",
        "to",
        "state",
        "attempts",
        "next_try_at",
        "sent_at",
        "last_error",
    ]
    list_filter = ["state", "template", "language"]
    search_fields = ["to"]
    ordering = ["-created_at", "-id"]
    fields = [
        *("created_at", "template", "to", "language", "user_id", "state", "attempts"),
        *("next_try_at", "sent_at", "expires_at", "last_error"),
    ]
