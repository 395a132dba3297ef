"""Bodies: strict JSON for the API, and RFC 6749's form for the token endpoint."""

import json
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.utils.translation import gettext_lazy as _
from rest_framework.parsers import BaseParser, FormParser

from core.errors import InvalidInput, MalformedBody


class StrictJSONParser(BaseParser):
    """JSON (RFC 8259) in UTF-8. Refuses NaN and Infinity, and whatever is too deep or too long to hold."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        charset = _charset(media_type)
        if charset not in ("", "utf-8", "utf8"):
            raise MalformedBody(_("The body must be UTF-8, not %(charset)s.") % {"charset": repr(charset[:20])})
        try:
            data = json.loads(stream.read().decode("utf-8"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise MalformedBody from error
        if not isinstance(data, dict):
            detail = _("The body must be a JSON object.")
            raise InvalidInput(detail, errors=[{"field": "body", "code": "not_an_object", "detail": detail}])
        return data


class TokenFormParser(FormParser):
    """`application/x-www-form-urlencoded`, for POST /token only."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _charset(media_type: str | None) -> str:
    for parameter in (media_type or "").split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return ""
