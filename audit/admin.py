from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from audit.models import Event
from core.panel_look import LookOnly


@admin.register(Event)
class EventAdmin(LookOnly):
    """For reading only: the database would refuse anything else."""

    list_display = ["at", "action", "actor_id", "target_id", "ip", "request_id"]
    search_fields = ["=action", "=request_id"]
    search_help_text = _("An action (session.refused) or a request id, exactly")
    ordering = ["-at", "-id"]
