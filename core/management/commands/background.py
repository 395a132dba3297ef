"""`manage.py background`: the work that Celery does where there is Redis. `serve` starts it by itself."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string


class Command(BaseCommand):
    help = "Deliver mails and clean up, where there is no Celery. `serve` runs this by itself."

    def handle(self, **options: Any) -> None:
        if settings.REDIS_URL:
            raise CommandError("REDIS_URL is set: run `celery -A config worker` and `celery -A config beat` instead.")
        run()


def run() -> None:
    """Until SIGTERM."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # blocked in a child of `serve`
    import_string("config.background.run")(stop)
