import sys

from django.apps import AppConfig

from core import telemetry


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        if sys.argv[1:2] != ["serve"]:  # which forks: each of its processes starts it for itself
            telemetry.start()
