"""Celery's worker: what it cannot run is put aside and counted, so that somebody sees it."""

from contextlib import suppress
from typing import Any

from celery import Task, signals
from celery.worker import consumer
from django.db import connection

from config.background import note_failure
from core import telemetry

_spans: dict[str, Any] = {}


class Consumer(consumer.Consumer):
    """Named by `CELERY_WORKER_CONSUMER`. What it mends of Celery and kombu: docs/adr/0044-a-worker-outlives-redis.md"""

    task_consumer: Any

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """No JSON, or pickle: acknowledged, so that it never comes back. The outbox has what it might have meant."""
        super().on_decode_error(message, exc)
        note_broken_message()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """kombu closes a lost channel twice. If it waited for a task, the first time fails over that wait. The second
        comes when the broker's address is forgotten, and ends the worker if a task is at work. So both happen here."""
        for _ in range(2):
            with suppress(Exception):
                self.task_consumer.channel.close()
        super().on_connection_error_after_connected(exc)

    def call_soon_ack(self, p: Any, *args: Any, **kwargs: Any) -> Any:
        """What cannot be acknowledged would count as at work for ever, and a worker with as many of them as processes
        takes nothing more. So the error is raised, not only logged: Celery connects anew, and counts from nothing."""
        logger, _swallowed, *more = args
        return super().call_soon_ack(p, logger, (), *more, **kwargs)  # type: ignore[misc]


@signals.task_failure.connect
def note_failed_task(sender: Task[Any, Any], exception: BaseException, **_: Any) -> None:
    note_failure(sender.name, exception)


@signals.task_unknown.connect
def note_unknown_task(**_: Any) -> None:
    """Its name may be anybody's, so it is no label."""
    note_strange("unknown task")


@signals.task_rejected.connect
def note_broken_message(**_: Any) -> None:
    note_strange("undecodable message")


def note_strange(what: str) -> None:
    """In Celery's main process, whose children must inherit no connection."""
    note_failure(what)
    connection.close()


@signals.task_prerun.connect
def open_span(task_id: str, task: Task[Any, Any], **_: Any) -> None:
    _spans[task_id] = telemetry.span(task.name)
    _spans[task_id].__enter__()


@signals.task_postrun.connect
def close_span(task_id: str, **_: Any) -> None:
    if span := _spans.pop(task_id, None):
        span.__exit__(None, None, None)
