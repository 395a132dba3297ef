"""What every request passes, whatever it asks for."""

import re
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from core import metrics, telemetry
from core.client import client_address
from core.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    LengthRequired,
    MethodNotAllowed,
    UnknownHost,
    as_problem,
    problem_response,
)
from core.ids import uuid7
from core.logs import bind_contextvars, clear_contextvars
from core.outcome import log

GetResponse = Callable[[HttpRequest], HttpResponseBase]
ATTEMPT = "muster.attempt"  # in the environment of a request whose `core.short_ways.Attempt` came to nothing
MAX_BODY = 1024 * 1024
MAX_HEADERS = 32 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
# Probes come by address, without a name that we know.
_ANY_HOST = ("/healthz", "/readyz", "/metrics")


class OutcomeMiddleware:
    """Gives each request an id, and writes the one line that says how it ended."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponseBase:
        attempt = request.META.get(ATTEMPT)
        given = attempt.request_id if attempt else request.META.get("HTTP_X_REQUEST_ID", "")
        request.request_id = known_or_new(given)
        clear_contextvars()
        bind_contextvars(request_id=request.request_id)
        with telemetry.request_span(request, request_id=request.request_id) as span:
            bind_contextvars(**telemetry.trace_id(span))
            response = self.answer(request)
            self.close_span(span, request, response)
        return response

    def answer(self, request: Any) -> HttpResponseBase:
        attempt = request.META.get(ATTEMPT)
        started = attempt.started if attempt else time.perf_counter()
        response = self.get_response(request)
        if response.status_code == 405 and not hasattr(request, "problem_code"):  # Django's own, an empty page
            allowed = response.headers.get("Allow", "")
            response = problem_response(request, MethodNotAllowed(headers={"Allow": allowed}))
        elif response.status_code != 405:  # DRF names the methods in every answer, and one that we refuse
            response.headers.pop("Allow", None)
        response["X-Request-ID"] = request.request_id
        self.tell(request, response, time.perf_counter() - started)
        return response

    def close_span(self, span: Any, request: Any, response: HttpResponseBase) -> None:
        if span:
            match = request.resolver_match
            span.update_name(f"{known_method(request.method)} {match.view_name if match else 'none'}")
            span.set_attribute("http.response.status_code", response.status_code)

    def tell(self, request: Any, response: HttpResponseBase, seconds: float) -> None:
        match = request.resolver_match
        session = getattr(request, "session_row", None)
        tell(
            operation=match.view_name if match else "none",
            method=request.method,
            path=request.path,
            status=response.status_code,
            code=getattr(request, "problem_code", None),
            address=client_address(request),
            user_id=session.user_id if session else None,
            seconds=seconds,
        )

    def process_exception(self, request: Any, error: Exception) -> HttpResponse:
        """Whatever a plain Django view lets out; DRF's views have their own handler."""
        return problem_response(request, as_problem(error))


def tell(
    *,
    operation: str,
    method: str,
    path: str,
    status: int,
    code: str | None,
    address: str | None,
    user_id: UUID | None,
    seconds: float,
) -> None:
    """Count the request, and write its line."""
    metrics.count(operation, known_method(method), status, code, seconds)
    (log.error if status >= 500 else log.info)(
        "request",
        operation=operation,
        method=method,
        path=path[:200],
        status=status,
        outcome="success" if status < 400 else "refusal",
        code=code,
        ip=address,
        user=user_id and str(user_id),
        ms=round(seconds * 1000, 1),
    )


def known_or_new(request_id: str) -> str:
    """The id that the client gave, if it is one that we take."""
    return request_id if _REQUEST_ID.match(request_id) else uuid7().hex


def known_method(method: str | None) -> str:
    """Strangers must not make up labels."""
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"


class BoundsMiddleware:
    """Refuses what is too large, unframed, or sent to a host that we are not."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponseBase:
        if problem := self.objection(request):
            return problem_response(request, problem)
        return self.get_response(request)

    def objection(self, request: Any) -> Any:
        if sum(len(k) + len(str(v)) for k, v in request.META.items() if k.startswith("HTTP_")) > MAX_HEADERS:
            return HeadersTooLarge()
        if request.path not in _ANY_HOST:
            try:
                request.get_host()
            except DisallowedHost:
                return UnknownHost()
        if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
            return read_chunked(request)
        length = request.META.get("CONTENT_LENGTH") or "0"
        return BodyTooLarge() if not length.isdecimal() or int(length) > MAX_BODY else None

    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """Answer 405 before anybody is asked who they are. DRF asks first. And nobody waits twice for a database."""
        attempt = request.META.get(ATTEMPT)
        if attempt and attempt.error:
            return problem_response(request, as_problem(attempt.error))
        allowed = methods_of(view)
        if allowed is None or request.method in allowed:
            return None
        response = problem_response(request, MethodNotAllowed())
        response["Allow"] = ", ".join(allowed)
        return response


def methods_of(view: Any) -> list[str] | None:
    """The methods of a DRF view, HEAD wherever there is GET; None for any other view."""
    view_class = getattr(view, "cls", None)
    if view_class is None:
        return None
    names = getattr(view, "actions", None) or [n for n in view_class.http_method_names if hasattr(view_class, n)]
    methods = {name.upper() for name in names if name != "options"}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def read_chunked(request: Any) -> Any:
    """Take a chunked body whole. Django under WSGI would silently take it for an empty one."""
    if not request.META.get("wsgi.input_terminated"):
        return LengthRequired()
    body = request.META["wsgi.input"].read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        return BodyTooLarge()
    request.META["CONTENT_LENGTH"] = str(len(body))
    request._stream = BytesIO(body)
    return None


API_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; form-action 'self'; "
    "base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)


def security_headers(is_page: bool, is_api: bool) -> dict[str, str]:
    """What browsers are told about our answers (OWASP ASVS 3.4)."""
    headers = {
        "Content-Security-Policy": PAGE_POLICY if is_page else API_POLICY,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }
    if settings.PUBLIC_URL.startswith("https://"):
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    if is_api and not is_page:
        headers["Cache-Control"] = "no-store"
    return headers


class SecurityHeadersMiddleware:
    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html")
        for name, value in security_headers(is_page, request.path.startswith("/api/")).items():
            response.setdefault(name, value)
        return response
