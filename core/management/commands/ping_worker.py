"""`manage.py ping_worker`: the health check of the worker on this host."""

import socket
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandError
from kombu.exceptions import OperationalError

SECONDS = 5


class Command(BaseCommand):
    help = "Whether the Celery worker of this host answers through the queue. Exit code 1 when it does not."

    def handle(self, **_: Any) -> None:
        """Without the queue nobody can be asked, and a new worker would not mend it: that is no fault of this one."""
        name = f"celery@{socket.gethostname()}"
        try:
            with current_app.connection_for_write() as queue:
                queue.ensure_connection(max_retries=0, timeout=SECONDS)
                answers = current_app.control.ping(destination=[name], timeout=SECONDS, connection=queue)
        except OperationalError:
            self.stdout.write("The queue does not answer; the worker waits for it.")
            return
        if not answers:
            raise CommandError(f"{name} does not answer.")
        self.stdout.write(f"{name} answers.")
