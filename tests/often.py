"""`celery -A tests.often`: the application, with everything of the schedule due each second."""

import os
from dataclasses import replace

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from config import background  # noqa: E402 - what is imported here needs Django
from config.celery import app  # noqa: E402

background.SCHEDULE = tuple(replace(entry, seconds=1) for entry in background.SCHEDULE)

__all__ = ["app"]
