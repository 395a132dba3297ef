"""Telling the Celery worker that something waits, a mail here, without making anybody wait for the broker.

A daemon thread publishes from a short queue. When the queue is full, or the broker away or hung, nothing is
told, and the periodic sweep finds it.
"""

import os
import threading
import time
from collections.abc import Callable
from queue import Empty, Full, Queue
from uuid import UUID

from django.conf import settings

from core.outcome import log

QUEUE_LENGTH = 1000
FIRST, LAST = 0, 9  # kombu's priorities on Redis, where each step is a list of its own
REST = 5.0  # seconds for which a broker that failed is left alone


class Notifier:
    def __init__(self, publish: Callable[[UUID], object], rest: float = REST, what: str = "mail") -> None:
        self._publish = publish
        self._what = what
        self._rest = rest
        self._waiting: Queue[UUID] = Queue(QUEUE_LENGTH)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def tell(self, id: UUID) -> bool:
        """Returns at once; False when it is left to the sweep."""
        try:
            self._waiting.put_nowait(id)
        except Full:
            return False
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=f"{self._what}-notifier", daemon=True)
                self._thread.start()
        return True

    def _run(self) -> None:
        while True:
            found = self._waiting.get()
            try:
                self._publish(found)
            except Exception as error:  # the thread must outlive whatever a broker does
                log.warning(f"{self._what}.not_announced", error=type(error).__name__)
                self._forget_waiting()
                time.sleep(self._rest)

    def _forget_waiting(self) -> None:
        try:
            while True:
                self._waiting.get_nowait()
        except Empty:
            return


def publish(mail_id: UUID, priority: int = FIRST) -> None:
    from mail.tasks import deliver_mail  # Celery is loaded only where there is a broker

    deliver_mail.apply_async((str(mail_id),), retry=False, priority=priority)


def publish_behind_others(mail_id: UUID) -> None:
    publish(mail_id, LAST)


_notifier, _patient_notifier = Notifier(publish), Notifier(publish_behind_others)


def _renew() -> None:
    global _notifier, _patient_notifier
    _notifier, _patient_notifier = Notifier(publish), Notifier(publish_behind_others)


os.register_at_fork(after_in_child=_renew)  # a child has neither the thread nor, perhaps, free locks


def tell_worker(mail_id: UUID, *, gives_way: bool = False) -> None:
    """Without a broker nothing is told: the loop inside the server sweeps every second."""
    if settings.CELERY_BROKER_URL:
        (_patient_notifier if gives_way else _notifier).tell(mail_id)
