"""`POST /auth/token`: RFC 6749's password and refresh grants, for OAuth 2 clients and Swagger's *Authorize*."""

from typing import Any

from django.http import QueryDict
from django.utils import translation
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import (
    EmailNotVerified,
    InvalidCredentials,
    InvalidRefreshToken,
    TooManyAttempts,
)
from accounts.serializers import auth as bodies
from accounts.services import sessions
from accounts.tokens import TokenPair
from accounts.views.auth import PublicView
from core.actor import Actor
from core.errors import Problem, note
from core.language import ENGLISH, Words
from core.parsers import TokenFormParser

REFUSALS = (InvalidCredentials, EmailNotVerified, InvalidRefreshToken, TooManyAttempts)
# RFC 6749 §5.1: neither this answer nor an error of it may be kept.
HEADERS = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TokenError(Exception):
    """`error` and `error_description` of RFC 6749 §5.2."""

    def __init__(self, error: str, description: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        self.error, self.description = error, description
        self.status, self.headers = status, headers or {}


class TokenView(PublicView):
    """Tokens by RFC 6749 §4.3 (password) or §6 (refresh)."""

    parser_classes = (TokenFormParser,)

    @extend_schema(
        request={"application/x-www-form-urlencoded": bodies.TokenRequestSerializer},
        responses={
            200: bodies.TokenResponseSerializer,
            400: OpenApiResponse(bodies.TokenErrorSerializer, description="RFC 6749 §5.2."),
            429: OpenApiResponse(bodies.TokenErrorSerializer, description="Too many attempts."),
        },
    )
    def post(self, request: Request) -> Response:
        try:
            return Response(response_data(granted(request)), headers=HEADERS)
        except TokenError as error:
            body = {"error": error.error, "error_description": error.description}
            return Response(body, error.status, headers={**HEADERS, **error.headers})


def granted(request: Any) -> TokenPair:
    grant_type = parameter(request, "grant_type")
    if grant_type not in ("password", "refresh_token"):
        raise TokenError("unsupported_grant_type", "Use password or refresh_token.")
    try:
        if grant_type == "refresh_token":
            return sessions.refresh(Actor.of(request), parameter(request, "refresh_token"))
        name, password = parameter(request, "username"), parameter(request, "password")
        return sessions.log_in(Actor.of(request), name, password).pair
    except REFUSALS as refusal:
        raise as_token_error(request, refusal) from refusal


def parameter(request: Any, name: str) -> str:
    """Each parameter once, and not empty (RFC 6749 §3.2)."""
    data = request.data
    values = data.getlist(name) if isinstance(data, QueryDict) else []  # without a body it is a plain dict
    if len(values) != 1 or not values[0]:
        raise TokenError("invalid_request", f"Send {name} once.")
    value = str(values[0])
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise TokenError("invalid_request", f"{name} holds characters that nothing here can hold.")
    return value


def as_token_error(request: Any, refusal: Problem) -> TokenError:
    note(request, refusal)
    waits = isinstance(refusal, TooManyAttempts)
    headers = {"Retry-After": refusal.headers["Retry-After"]} if waits else {}
    return TokenError("invalid_grant", in_english(refusal.words), refusal.status_code if waits else 400, headers)


def in_english(words: Words) -> str:
    """RFC 6749 §5.2 wants ASCII."""
    with translation.override(ENGLISH):
        return str(words)


def response_data(pair: TokenPair) -> dict[str, Any]:
    return {
        "access_token": pair.access,
        "token_type": "Bearer",
        "expires_in": pair.access_expires_in,
        "refresh_token": pair.refresh,
    }
