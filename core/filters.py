"""Filters that refuse what they do not understand, instead of ignoring it."""

from datetime import UTC, datetime
from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field

from core.errors import field_error


class MomentField(IsoDateTimeField):
    """Refuses moments that stop existing when told in UTC: 0001-01-01T00:00:00+14:00."""

    def to_python(self, value: Any) -> datetime | None:
        try:
            moment: datetime | None = super().to_python(value)
            return moment.astimezone(UTC) if moment else None
        except (OverflowError, ValueError):
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None


class MomentFilter(django_filters.IsoDateTimeFilter):
    field_class = MomentField


class StrictFilterBackend(DjangoFilterBackend):
    """A filter without a value is a mistake of the caller's program, not a wish for everything."""

    def get_filterset(self, request: Any, queryset: Any, view: Any) -> Any:
        filterset = super().get_filterset(request, queryset, view)
        for name, found in (filterset.filters if filterset else {}).items():
            is_any_text = isinstance(found, django_filters.CharFilter) and not found.extra.get("validators")
            if request.query_params.get(name) == "" and not is_any_text:
                raise field_error(name, "invalid", _("Give this a value, or leave it out."))
        return filterset


@extend_schema_field({"type": "boolean"})
class FlagFilter(django_filters.TypedChoiceFilter):
    """`true` or `false`; Django's own takes "banana" for no filter at all."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(*args, choices=choices, coerce=lambda value: value == "true", **kwargs)
