"""`celery -A tests.sleeper`: the application, with a task that takes a while and then notes that it was done."""

import os
import time
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from config.celery import app  # noqa: E402 - what is imported here needs Django


@app.task(name="sleep", acks_late=True, ignore_result=True)
def sleep(seconds: float, name: str) -> None:
    time.sleep(seconds)
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{name}\n")
