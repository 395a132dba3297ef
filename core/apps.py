from django.apps import AppConfig

from core import telemetry


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        telemetry.start()
