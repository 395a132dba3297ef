"""The WSGI application; `manage.py serve` runs it."""

import os
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

from core.media_types import plain

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django_application = get_wsgi_application()


def application(env: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    env["CONTENT_TYPE"] = plain(env.get("CONTENT_TYPE") or "")
    return django_application(env, start_response)
