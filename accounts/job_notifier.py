"""Telling the Celery worker of a job, as `mail.notifier` tells of a mail: nobody waits, the sweep finds the rest."""

import os
from uuid import UUID

from django.conf import settings

from mail.notifier import Notifier


def publish(job_id: UUID) -> None:
    from accounts.tasks import run_job  # Celery is loaded only where there is a broker

    run_job.apply_async((str(job_id),), retry=False)


_notifier = Notifier(publish, what="job")


def _renew() -> None:
    global _notifier
    _notifier = Notifier(publish, what="job")


os.register_at_fork(after_in_child=_renew)


def tell_worker(job_id: UUID) -> None:
    """Without a broker nothing is told: the loop inside the server looks every half second."""
    if settings.CELERY_BROKER_URL:
        _notifier.tell(job_id)
