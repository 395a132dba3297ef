"""How log lines look: one JSON object, or one readable line, for us, Django, the server and Celery alike."""

import json
import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars

from core import metrics
from core.outcome import log

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


def leave_out_callers() -> None:
    """In a process whose lines are all ours: what none of them says need not be found out for each.

    By the HOWTO of `logging`, "Optimization". Other servers have formats of their own, which need it.
    """
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


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


class PatientHandler(logging.Handler):
    """Lines to stderr, by a thread: whoever reads them may be full, stopped or gone, and requests are served still.

    At most WAITING_LINES wait; those beyond are dropped and counted, and once the reader goes on, a line says so.
    """

    WAITING_LINES = 10_000
    PAUSE = 0.02  # seconds in which lines gather: to wake the thread for each of them was a sixth of a short request
    LAST_WORDS = 1.0  # seconds for what still waits when the process ends

    def __init__(self) -> None:
        super().__init__()
        try:
            self.file = os.dup(sys.stderr.fileno())
        except (AttributeError, OSError):  # a server that put something else in its place
            self.file = os.dup(2)
        self.begin()
        os.register_at_fork(after_in_child=self.begin)  # a child has the lines, and not the thread

    def begin(self) -> None:
        self.dropped = self.told = 0  # lines, and how many of those a line has told of
        self.waiting: deque[str] = deque()
        self.more = threading.Event()
        self.is_writing = False
        self.thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        if len(self.waiting) < self.WAITING_LINES:
            self.waiting.append(f"{line}\n")
        else:
            self.dropped += 1
            metrics.LINES_DROPPED.inc()
        if self.thread is None:  # under the lock of the handler
            thread = threading.Thread(target=self.write_all, name="log-writer", daemon=True)
            with suppress(RuntimeError):  # the system gives no thread just now; the next line asks again
                thread.start()
                self.thread = thread
        if not self.more.is_set():
            self.more.set()

    def write_all(self) -> None:
        waiting, more = self.waiting, self.more
        while more.wait():
            time.sleep(self.PAUSE)
            more.clear()
            self.is_writing = True
            while waiting:
                self.write(gathered(waiting))
            self.is_writing = False
            lost = self.dropped - self.told
            if lost and not waiting:
                self.told += lost
                log.warning("log.lines_dropped", lines=lost)

    def write(self, lines: list[bytes]) -> None:
        """Past Python's buffer: its lock, held by a thread that is stuck, would abort the process at its end."""
        piece = b"".join(lines)
        try:
            while piece:
                piece = piece[os.write(self.file, piece) :]
        except OSError:  # a full disk, or a reader that left
            metrics.LINES_DROPPED.inc(len(lines))

    def flush(self) -> None:
        """At the end of the process, when `logging` calls it: wait for the thread, but not for ever."""
        while self.waiting and not self.thread:  # the system gave none
            self.write(gathered(self.waiting))
        end = time.monotonic() + self.LAST_WORDS
        while (self.waiting or self.is_writing) and time.monotonic() < end:
            time.sleep(0.005)


def gathered(waiting: "deque[str]") -> list[bytes]:
    """Whole lines, and only so many that a pipe takes them in one piece: other processes write there, too."""
    lines: list[bytes] = []
    size = 0
    while waiting:
        line = waiting[0].encode(errors="backslashreplace")
        size += len(line)
        if lines and size > select.PIPE_BUF:
            break
        lines.append(line)
        waiting.popleft()
    return lines


def dict_config(level: str, style: str, file: str) -> dict[str, Any]:
    """For `logging.config`: everything to stderr, or to a file that is rotated at 20 MB and compressed."""
    handler: dict[str, Any] = {"class": "core.logs.PatientHandler", "formatter": "line"}
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
