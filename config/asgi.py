"""The same application for ASGI servers. WSGI serves it faster: see docs/adr."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

from core.media_types import plain

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django_application = get_asgi_application()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    headers = scope.get("headers", [])
    scope = {**scope, "headers": [(name, shown(name, value)) for name, value in headers]}
    await django_application(scope, receive, send)


def shown(name: bytes, value: bytes) -> bytes:
    return plain(value.decode("latin-1")).encode("latin-1") if name == b"content-type" else value
