"""The Content-Type that Django is shown: it reads one while it makes the request, outside of every middleware, and
decodes the query with the charset that it claims. Everything is UTF-8 here."""

from django.utils.http import parse_header_parameters

UNREADABLE = "application/x-unreadable"


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
