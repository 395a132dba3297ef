"""`celery -A tests.sleeper`: the application, with a task that takes a while, and notes its beginning and its end."""

import os
import time
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from config.celery import app  # noqa: E402 - what is imported here needs Django


@app.task(name="sleep", acks_late=True, ignore_result=True)
def sleep(seconds: float, name: str) -> None:
    note(f"{name} begun")
    time.sleep(seconds)
    note(f"{name} done")


def note(what: str) -> None:
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{what}\n")
