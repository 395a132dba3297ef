"""The language of the words in an answer: that of the account, else the browser's, else English.

Codes, logs, audit events and the API documents have no language. `speak` costs a look into a table, so it is called
for each request and not only for those that fail: see docs/adr.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.functional import Promise
from django.utils.translation.trans_real import get_supported_language_variant, parse_accept_lang_header

Words: TypeAlias = str | Promise
"""A text for people: fixed, or said in whichever language is spoken when it is put into an answer."""

ENGLISH = "en"


class LanguageMiddleware:
    """Outermost, so that every refusal speaks the browser's language; who is signed in is asked later."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        speak(preferred(request.META.get("HTTP_ACCEPT_LANGUAGE", "")))
        try:
            response = self.get_response(request)
            is_page = response.headers.get("Content-Type", "").startswith("text/html")
            return in_words(response) if is_page and not request.path.startswith("/api/") else response
        finally:
            translation.deactivate()  # the thread serves others


def speak(language: str) -> None:
    """From here to the end of the request."""
    translation.activate(language)


def spoken() -> str:
    return translation.get_language() or ENGLISH


def preferred(accept_language: str) -> str:
    """The first of our languages that an Accept-Language header (RFC 9110 §12.5.4) names; English for any other."""
    for code, weight in parse_accept_lang_header(accept_language) if accept_language else ():
        if code == "*" or not weight:
            break
        try:
            return get_supported_language_variant(code)
        except LookupError:
            continue
    return settings.LANGUAGE_CODE


def in_words(response: Any) -> Any:
    """The same answer, saying in which language its words are, and that the browser chose it."""
    response.headers["Content-Language"] = spoken()
    patch_vary_headers(response, ["Accept-Language"])
    return response
