from typing import Any

import django_filters
from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema_field

from audit.models import Event
from core.filters import MomentFilter

ACTION = r"^[a-z_]+(\.[a-z_]+)+$"


@extend_schema_field(
    {
        "type": "string",
        "maxLength": 64,
        "pattern": ACTION,
        "description": "Exactly, such as `session.refused`.",
    }
)
class ActionFilter(django_filters.CharFilter):
    """An action that nobody ever did finds nothing; what cannot be one is refused."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=64, validators=[RegexValidator(ACTION)], **options)


class EventFilter(django_filters.FilterSet):
    actor = django_filters.UUIDFilter("actor_id", help_text="Id of the user who acted.")
    target = django_filters.UUIDFilter("target_id", help_text="Id of the user or thing acted upon.")
    action = ActionFilter()
    after = MomentFilter("at", "gte", help_text="At this moment or later.")
    before = MomentFilter("at", "lt", help_text="Before this moment.")

    class Meta:
        model = Event
        fields: list[str] = []
