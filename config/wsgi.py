"""The WSGI application; `manage.py serve` runs it."""

import os
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.utils.http import parse_header_parameters

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django_application = get_wsgi_application()
UNREADABLE = "application/x-unreadable"


def application(env: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Everything is UTF-8 here. Django reads the media type, and decodes the query with the charset that it claims,
    while it makes the request; what fails there, such as `hex`, fails outside of every middleware."""
    env["CONTENT_TYPE"] = plain(env.get("CONTENT_TYPE") or "")
    return django_application(env, start_response)


def plain(content_type: str) -> str:
    """The same media type without tricks: no RFC 2231, and a charset only if it is one that our parser refuses."""
    try:
        name, parameters = parse_header_parameters(content_type)
    except (ValueError, LookupError):
        return UNREADABLE
    if parameters.pop("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        parameters["charset"] = "x-not-utf-8"
    if any(set(value) & set('"\\\r\n') for value in parameters.values()):
        return UNREADABLE
    return "; ".join([name, *(f'{key}="{value}"' for key, value in parameters.items())])
