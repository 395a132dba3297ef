"""The background work, in one table: run by a loop beside the server, or by Celery's beat and workers.

Each piece finds its work in the database and claims it there, so running twice at once does nothing twice.
"""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import Error, close_old_connections, connection
from django.utils.module_loading import import_string

from accounts.services import heartbeat
from core import telemetry
from core.outcome import log

TICK = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Entry:
    task: str
    seconds: float
    alone: float | None = None
    """Seconds where there is no Celery, if that differs."""


SCHEDULE = (
    # With Celery the worker is told of each mail; the sweep is for those that nobody heard of.
    Entry("mail.tasks.sweep_mail", 30, alone=TICK),
    Entry("accounts.tasks.sweep_jobs", 10, alone=TICK),
    Entry("mail.tasks.delete_old_mail", 3600),
    Entry("accounts.tasks.heartbeat", 15),
    Entry("accounts.tasks.carry_over_last_used", 60),
    Entry("accounts.tasks.clean_up", 600),
    Entry("audit.tasks.sum_up_floods", 60),
    Entry("audit.tasks.prune", 3600),
)


def run(stop: threading.Event) -> None:
    """The loop without Celery. One piece after another, so each should be short; none ends the loop."""
    due = {entry: time.monotonic() for entry in SCHEDULE}
    while not stop.wait(TICK):
        for entry in SCHEDULE:
            if due[entry] <= time.monotonic():
                do(entry)
                due[entry] = time.monotonic() + (entry.alone or entry.seconds)


def do(entry: Entry) -> None:
    close_old_connections()
    try:
        task: Any = import_string(entry.task)
        with telemetry.span(entry.task):
            task()
    except Exception as error:
        note_failure(entry.task, error)
        connection.close()


def note_failure(task: str, error: BaseException | None = None) -> None:
    """In the log, to Sentry, and in the database, where `/metrics` and `doctor` of every host find it."""
    log.error("background.failed", task=task, exc_info=error)
    if error:
        telemetry.report(error, task=task)
    with suppress(Error):  # the database is away, which is told elsewhere
        heartbeat.count_failure(task)


def start_thread() -> threading.Event | None:
    """For `runserver`: the loop in a thread of this process. Setting the event stops it."""
    if settings.REDIS_URL:
        return None
    stop = threading.Event()
    threading.Thread(target=run, args=(stop,), name="background", daemon=True).start()
    return stop
