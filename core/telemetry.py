"""Errors to Sentry and traces to OpenTelemetry, each only where its variable is set and its packages are installed.

What leaves the house names no person: see `scrub`. Nothing here is needed to run, and nothing waits for it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from structlog.contextvars import get_contextvars

_HIDDEN = "[hidden]"
_PRIVATE = re.compile(
    r"[^\s@\"'<>(),;:=]+@[^\s@\"'<>(),;:=]+"  # addresses
    r"|[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"  # tokens
    r"|\b[bcdfghjkmnpqrstv]{40,}\b"  # links
    r"|\b[0-9a-f]{40,}\b"  # keyed hashes and cookies
    r"|(?<![\w.-])\d{6}(?![\w.-])"  # codes
    r"|\$[\w$./+=,-]{20,}"  # password hashes
    r"|\?[^\s\"']*"  # query strings
    r"|(?<==\()[^)]*(?=\))"  # PostgreSQL: Key (username)=(ann)
)
_tracer: Any = None


def start() -> None:
    """Once in each process, when Django is set up."""
    if settings.SENTRY_DSN:
        _start_sentry()
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        _start_tracing()


def stop() -> None:
    """At the end of a process that leaves without Python's own ending."""
    if _tracer:
        from opentelemetry import trace

        trace.get_tracer_provider().shutdown()  # type: ignore[attr-defined]


# --- Errors ------------------------------------------------------------------------------------------------------


def _start_sentry() -> None:
    import sentry_sdk

    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        # Its own hooks would read requests, log lines and queries; `report` is called where an error is answered.
        default_integrations=False,
        auto_enabling_integrations=False,
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,
        max_breadcrumbs=0,
        before_send=scrub,
        shutdown_timeout=2,
    )


def report(error: BaseException, **tags: str) -> None:
    """Tell Sentry of an error that nobody expected, with the id of the request and no word that somebody sent."""
    if not settings.SENTRY_DSN:
        return
    import sentry_sdk

    with sentry_sdk.new_scope() as scope:
        for name, value in {**get_contextvars(), **tags}.items():
            if name in ("request_id", "trace_id", "task", "operation"):
                scope.set_tag(name, value)
        scope.capture_exception(error)


def scrub(event: Any, hint: Any = None) -> Any:
    """Whatever looks like an address, a token, a code or a query string goes, wherever it stands."""
    for name in ("request", "user", "breadcrumbs", "server_name"):
        event.pop(name, None)
    return _scrubbed(event)


def _scrubbed(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _scrubbed(inner, key) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(inner, name) for inner in value]
    return _PRIVATE.sub(_HIDDEN, value) if isinstance(value, str) and name not in _OURS else value


# Made by us or by the library, so they hold nothing private, and Sentry needs them as they are.
_OURS = ("event_id", "trace_id", "span_id", "timestamp", "request_id", "context_line", "filename", "abs_path")


# --- Traces ------------------------------------------------------------------------------------------------------


def _start_tracing() -> None:
    global _tracer
    from django.db.backends.signals import connection_created
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(f"{settings.OTEL_EXPORTER_OTLP_ENDPOINT}/v1/traces", timeout=5)
    provider = TracerProvider(resource=Resource.create({"service.name": "muster"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    _tracer = provider.get_tracer("muster")
    connection_created.connect(_trace_queries, dispatch_uid="traces")


@contextmanager
def request_span(request: Any, **attributes: str) -> Iterator[Any]:
    """The span of a request, within the caller's trace (W3C Trace Context); None where traces are off."""
    if not _tracer:
        yield None
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract(request.headers)
    with _tracer.start_as_current_span("request", context=parent, kind=SpanKind.SERVER, attributes=attributes) as span:
        yield span


@contextmanager
def span(name: str, **attributes: str) -> Iterator[None]:
    if not _tracer:
        yield
        return
    with _tracer.start_as_current_span(name, attributes=attributes):
        yield


def trace_id(request_span: Any) -> dict[str, str]:
    """For the log lines of a request, so that they are found from its trace."""
    return {"trace_id": format(request_span.get_span_context().trace_id, "032x")} if request_span else {}


def _trace_queries(connection: Any, **_: Any) -> None:
    if _trace_query not in connection.execute_wrappers:
        connection.execute_wrappers.append(_trace_query)


def _trace_query(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """The kind of statement only: values, and sometimes names, stand in the rest."""
    vendor = context["connection"].vendor
    with span(f"db {sql.lstrip('( ').split(' ', 1)[0].upper()[:10]}", **{"db.system": vendor}):
        return execute(sql, params, many, context)
