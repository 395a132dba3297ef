"""Filters that refuse what they do not understand, instead of ignoring it."""

from datetime import UTC, datetime
from functools import lru_cache
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
    """A filter without a value is a mistake of the caller's program, not a wish for everything.

    Only the filters that a request names are made, since none is required and making a form costs what a query does.
    """

    def get_filterset(self, request: Any, queryset: Any, view: Any) -> Any:
        filterset_class = self.get_filterset_class(view, queryset)
        asked = [name for name in getattr(filterset_class, "base_filters", ()) if name in request.query_params]
        if not asked:
            return None
        filterset = with_only(filterset_class, tuple(asked))(**self.get_filterset_kwargs(request, queryset, view))
        for name, found in filterset.filters.items():
            is_any_text = isinstance(found, django_filters.CharFilter) and not found.extra.get("validators")
            if request.query_params.get(name) == "" and not is_any_text:
                raise field_error(name, "invalid", _("Give this a value, or leave it out."))
        return filterset


@lru_cache(maxsize=512)
def with_only(filterset_class: Any, names: tuple[str, ...]) -> Any:
    narrow = type(filterset_class.__name__, (filterset_class,), {})
    narrow.base_filters = {name: filterset_class.base_filters[name] for name in names}  # type: ignore[attr-defined]
    return narrow


@extend_schema_field({"type": "boolean"})
class FlagFilter(django_filters.TypedChoiceFilter):
    """`true` or `false`; Django's own takes "banana" for no filter at all."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(*args, choices=choices, coerce=lambda value: value == "true", **kwargs)
