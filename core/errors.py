"""Errors are facts with a stable code, told as problem details (RFC 9457).

Services and views raise them; `exception_handler` and `problem_response` turn whatever was raised, ours or
not, into one and the same shape.
"""

from http import HTTPStatus
from typing import Any

from django.core.exceptions import (
    PermissionDenied as DjangoPermissionDenied,
)
from django.core.exceptions import (
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, JsonResponse
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions

from core import telemetry
from core.language import Words, in_words
from core.outcome import log

CONTENT_TYPE = "application/problem+json"
CHALLENGE = 'Bearer realm="muster"'

FieldError = dict[str, Any]  # field, code and the words of `detail`


class Problem(exceptions.APIException):
    """One thing that can go wrong. `code` never changes; `title` and `detail` are for people, in their language."""

    status_code = 500
    code = "internal_error"
    title = _("Something went wrong")
    default_detail = _("This is our fault. Tell the operators the request_id.")

    def __init__(
        self,
        detail: Words | None = None,
        *,
        required: str | None = None,
        errors: list[FieldError] | None = None,
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.words: Words = detail or self.default_detail
        self.required = required
        self.errors = errors and [{**entry, "detail": str(entry["detail"])} for entry in errors]
        self.retry_after = retry_after
        self.headers = {**self.own_headers(), **(headers or {})}
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, retry_after))

    @property
    def detail(self) -> str:  # type: ignore[override]
        """In the language that is spoken when one asks."""
        return str(self.words)

    def own_headers(self) -> dict[str, str]:
        if self.status_code == 401:
            return {"WWW-Authenticate": CHALLENGE}
        return {}

    def body(self, request_id: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": f"urn:muster:problem:{self.code}",
            "title": str(self.title),
            "status": self.status_code,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        if self.required:
            body["required"] = self.required
        if self.errors is not None:
            body["errors"] = self.errors
        return body


class InvalidInput(Problem):
    status_code = 400
    code = "validation_error"
    title = _("Invalid input")
    default_detail = _("Some fields need another value; see `errors`.")


class MalformedBody(Problem):
    status_code = 400
    code = "malformed_body"
    title = _("Unreadable body")
    default_detail = _("The body is not valid JSON in UTF-8.")


class BadRequest(Problem):
    status_code = 400
    code = "bad_request"
    title = _("Bad request")
    default_detail = _("The request cannot be understood.")


class UnknownHost(Problem):
    status_code = 400
    code = "unknown_host"
    title = _("Unknown host")
    default_detail = _("This server does not answer to that Host. Operators: see ALLOWED_HOSTS.")


class NotAuthenticated(Problem):
    status_code = 401
    code = "not_authenticated"
    title = _("Not signed in")
    default_detail = _("Send `Authorization: Bearer <access token>`.")


class InvalidToken(Problem):
    """RFC 6750 §3.1."""

    status_code = 401
    code = "invalid_token"
    title = _("Invalid token")
    default_detail = _("The access token is malformed, expired or revoked. Refresh it or log in again.")

    def own_headers(self) -> dict[str, str]:
        return {
            "WWW-Authenticate": f'{CHALLENGE}, error="invalid_token", '
            'error_description="The access token is malformed, expired or revoked"'
        }


class PermissionDenied(Problem):
    status_code = 403
    code = "permission_denied"
    title = _("Not allowed")
    default_detail = _("Your roles do not give the permission that this needs.")


class CsrfFailed(Problem):
    status_code = 403
    code = "csrf_failed"
    title = _("Request not confirmed")
    default_detail = _(
        "The CSRF token is missing or too old, or the request came from another site. "
        "Load the page again, or GET /api/v1/auth/csrf, and repeat."
    )


class PrivilegeEscalation(Problem):
    status_code = 403
    code = "privilege_escalation"
    title = _("Beyond your own permissions")
    default_detail = _("Nobody gives, takes or touches what is above their own permissions.")


class NotFound(Problem):
    status_code = 404
    code = "not_found"
    title = _("Not found")
    default_detail = _("There is nothing at this address.")


class MethodNotAllowed(Problem):
    status_code = 405
    code = "method_not_allowed"
    title = _("Method not allowed")
    default_detail = _("This address does not take that method; see the Allow header.")


class NotAcceptable(Problem):
    status_code = 406
    code = "not_acceptable"
    title = _("Not acceptable")
    default_detail = _("Answers are application/json; let your Accept header allow that.")


class Conflict(Problem):
    status_code = 409
    code = "conflict"
    title = _("Conflict")
    default_detail = _("The present state does not allow that.")


class OwnAccount(Conflict):
    code = "own_account"
    title = _("Your own account")
    default_detail = _("Administrators do not deactivate themselves. Close your account at /api/v1/users/me.")


class LastAdministrator(Conflict):
    code = "last_administrator"
    title = _("Last administrator")
    default_detail = _("Nobody would be left who can assign roles. Make somebody else an administrator first.")


class SystemRole(Conflict):
    code = "system_role"
    title = _("System role")
    default_detail = _("This role belongs to the system: `admin` never changes, of `user` only the permissions do.")


class LengthRequired(Problem):
    status_code = 411
    code = "length_required"
    title = _("Length required")
    default_detail = _("This server reads no chunked bodies; send Content-Length.")


class PreconditionFailed(Problem):
    status_code = 412
    code = "precondition_failed"
    title = _("Changed meanwhile")
    default_detail = _("The If-Match header does not fit the present ETag. Read again and repeat the change.")


class BodyTooLarge(Problem):
    status_code = 413
    code = "body_too_large"
    title = _("Body too large")
    default_detail = _("A body holds at most 1 MiB.")


class UnsupportedMediaType(Problem):
    status_code = 415
    code = "unsupported_media_type"
    title = _("Unsupported media type")
    default_detail = _("The API documents name the media type of this body: application/json, nearly always.")


class TooManyRequests(Problem):
    status_code = 429
    code = "too_many_requests"
    title = _("Too many requests")
    default_detail = _("Wait for the time in the Retry-After header.")


class HeadersTooLarge(Problem):
    status_code = 431
    code = "headers_too_large"
    title = _("Headers too large")
    default_detail = _("The headers hold more than 32 KiB.")


class ServiceUnavailable(Problem):
    status_code = 503
    code = "service_unavailable"
    title = _("Temporarily unavailable")
    default_detail = _("A store that this needs is away or busy. Repeat the request after Retry-After seconds.")

    def __init__(self, detail: Words | None = None, *, retry_after: int = 2, **rest: Any) -> None:
        super().__init__(detail, retry_after=retry_after, **rest)


def field_error(field: str, code: str, detail: Words) -> InvalidInput:
    return InvalidInput(errors=[{"field": field, "code": code, "detail": detail}])


def exception_handler(error: Exception, context: dict[str, Any]) -> JsonResponse:
    """DRF's hook. Never answers None, so nothing falls through to an HTML page, and never a DRF response, which
    would be rendered as whatever the view renders."""
    return problem_response(context["request"], as_problem(error))


def problem_response(request: Any, problem: Problem) -> JsonResponse:
    """One answer for all: views, middleware, the URL resolver, Django's own errors. In ASCII, since a detail may
    quote a value that UTF-8 cannot hold."""
    note(request, problem)
    response: JsonResponse = in_words(
        JsonResponse(
            problem.body(getattr(request, "request_id", "")),
            status=problem.status_code,
            headers=problem.headers,
            content_type=CONTENT_TYPE,
            json_dumps_params={"separators": (",", ":")},
        )
    )
    return response


def note(request: Any, problem: Problem) -> None:
    """Leave the code where the line about this request finds it."""
    getattr(request, "_request", request).problem_code = problem.code


def as_problem(error: Exception) -> Problem:
    """The problem that an exception means; an unknown one is logged and becomes a 500."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, exceptions.ValidationError):
        return InvalidInput(errors=list(flatten(error.get_full_details())))
    if isinstance(error, exceptions.MethodNotAllowed):
        return MethodNotAllowed()
    for foreign, ours in _FOREIGN:
        if isinstance(error, foreign):
            return ours()
    log.error("request.failed", exc_info=error)
    telemetry.report(error)
    return Problem()


_FOREIGN: tuple[tuple[type[Exception], type[Problem]], ...] = (
    (exceptions.ParseError, MalformedBody),
    (exceptions.NotAuthenticated, NotAuthenticated),
    (exceptions.AuthenticationFailed, InvalidToken),
    (exceptions.PermissionDenied, PermissionDenied),
    (DjangoPermissionDenied, PermissionDenied),
    (exceptions.NotFound, NotFound),
    (Http404, NotFound),
    (exceptions.NotAcceptable, NotAcceptable),
    (exceptions.UnsupportedMediaType, UnsupportedMediaType),
    (RequestDataTooBig, BodyTooLarge),
    (TooManyFieldsSent, BodyTooLarge),
    (SuspiciousOperation, BadRequest),
    # The database is away, overloaded or locked for longer than we wait; SQLite says "database is locked".
    (OperationalError, ServiceUnavailable),
    (InterfaceError, ServiceUnavailable),
    # A value that passed validation and that the database still cannot hold.
    (DataError, BadRequest),
)


def flatten(details: Any, path: str = "") -> Any:
    """DRF's nested details as a flat list: `{"roles": {0: […]}}` becomes field `roles.0`."""
    if isinstance(details, dict) and set(details) == {"message", "code"}:
        yield {"field": path or "body", "code": details["code"], "detail": str(details["message"])}
    elif isinstance(details, dict):
        for key, value in details.items():
            step = "" if key == "non_field_errors" else str(key)
            yield from flatten(value, ".".join(part for part in (path, step) if part))
    else:
        for index, value in enumerate(details):
            is_leaf = isinstance(value, dict) and set(value) == {"message", "code"}
            yield from flatten(value, path if is_leaf else f"{path}.{index}" if path else str(index))


def phrase(status: int) -> str:
    return HTTPStatus(status).phrase
