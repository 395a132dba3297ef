"""How log lines look: one JSON object, or one readable line, for us, Django, the server and Celery alike."""

import json
import logging
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars

__all__ = ["bind_contextvars", "clear_contextvars", "configure", "formatter"]

SECRET_WORDS = ("password", "token", "secret", "authorization", "cookie", "code_typed", "refresh", "access")


def _hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A last net: services never log secrets, but whoever adds a line next year might."""
    for key in event:
        if key != "event" and key.lower() in SECRET_WORDS:
            event[key] = "…"
    return event


def _one_line(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """No value can start a new line or colour a terminal (CVE-2025-48432)."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception" and not value.isprintable():
            event[key] = value.encode("unicode_escape", "backslashreplace").decode("ascii")
    return event


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    structlog.processors.format_exc_info,
    _hide_secrets,
    _one_line,
]


def configure() -> None:
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


_dump = structlog.processors.JSONRenderer(ensure_ascii=False)


def _json(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
    """One line, whatever stands in lists and traces: readers other than Python's break lines at U+2028, too."""
    line = str(_dump(logger, name, event))
    if line.isprintable():
        return line
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in line)


def formatter(style: str) -> logging.Formatter:
    """`style` is `json` or `text`."""
    renderer: Any = _json if style == "json" else structlog.dev.ConsoleRenderer(colors=False, timestamp_key="at")
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *_SHARED],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )


def dict_config(level: str, style: str, file: str) -> dict[str, Any]:
    """For `logging.config`: everything to stderr, or to a file that is rotated at 20 MB and compressed."""
    handler: dict[str, Any] = {"class": "logging.StreamHandler", "formatter": "line"}
    if file:
        handler = {
            "class": "concurrent_log_handler.ConcurrentRotatingFileHandler",
            "formatter": "line",
            "filename": file,
            "maxBytes": 20 * 1024 * 1024,
            "backupCount": 20,
            "use_gzip": True,
            "delay": True,
        }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "core.logs.formatter", "style": style}},
        "handlers": {"out": handler},
        "root": {"handlers": ["out"], "level": level},
        "loggers": {
            # Every request has its own line already.
            "django.request": {"level": "CRITICAL"},
            "django.server": {"level": "WARNING", "handlers": ["out"], "propagate": False},
            "django.security": {"level": "ERROR"},
            "celery.app.trace": {"level": "WARNING"},
            "_granian": {"handlers": ["out"], "level": "INFO", "propagate": False},
        },
    }
