from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from mail.models import OutgoingMail


@admin.register(OutgoingMail)
class OutgoingMailAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
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

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
