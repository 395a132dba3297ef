"""Django's development server, which also does the background work when there is no Redis."""

import os
import socket
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.management.commands.runserver import Command as StaticfilesCommand
from django.core.management.base import CommandError
from django.utils.module_loading import import_string

from core.server import is_loopback


class Command(StaticfilesCommand):
    addr: str
    port: str
    use_ipv6: bool

    def run(self, **options: Any) -> None:
        """Runs in the process that watches the files and in the one that serves; only a handler of both."""
        address = str(socket.getaddrinfo(self.addr, None)[0][4][0])
        if settings.DEBUG and not is_loopback(address):
            raise CommandError(f"DEBUG must be false to serve on {self.addr}, which others can reach.")
        if settings.PUBLIC_URL_IS_DEFAULT and is_loopback(address):
            host = f"[{self.addr}]" if self.use_ipv6 else self.addr
            os.environ["PUBLIC_URL"] = f"http://{host}:{self.port}"  # for the serving process, begun later
        super().run(**options)

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Only in the process that serves."""
        if not settings.REDIS_URL:
            import_string("config.background.start_thread")()
        super().inner_run(*args, **options)
