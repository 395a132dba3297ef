"""Celery: `celery -A config worker` and `celery -A config beat` do what `config.background` does without them."""

import logging.config
import os
import tempfile
from pathlib import Path
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.conf import settings

BEAT_SENT = Path(tempfile.gettempdir()) / "beat-sent"

app = Celery("muster")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.setup_logging.connect
def use_our_lines(**_: Any) -> None:
    """Celery's lines look like all others."""
    logging.config.dictConfig(settings.LOGGING)


@app.on_after_finalize.connect
def add_schedule(sender: Celery, **_: Any) -> None:
    from config.background import SCHEDULE

    for entry in SCHEDULE:
        sender.add_periodic_task(entry.seconds, sender.signature(entry.task), name=entry.task, expires=entry.seconds)


@signals.beat_init.connect
def show_that_beat_beats(**_: Any) -> None:
    """A file whose age tells a health check whether beat still turns. It is touched before sending, so that beat is
    well while Redis is away: starting it again would not mend that."""
    signals.before_task_publish.connect(lambda **_: BEAT_SENT.touch(), weak=False)
