from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audit.models import Event


@extend_schema_field({"type": "object", "additionalProperties": True})
class DetailsField(serializers.JSONField):
    """What else is known; the keys depend on the action."""


class EventSerializer(serializers.ModelSerializer[Event]):
    actor = serializers.UUIDField(
        source="actor_id", allow_null=True, help_text="Who did it; null for strangers and for the system."
    )
    target = serializers.UUIDField(source="target_id", allow_null=True, help_text="To whom or what.")
    details: Any = DetailsField()

    class Meta:
        model = Event
        fields = ["id", "at", "actor", "action", "target", "ip", "request_id", "details"]
        read_only_fields = fields
