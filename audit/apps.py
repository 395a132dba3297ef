from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from core.names import translate_names


class AuditConfig(AppConfig):
    name = "audit"
    verbose_name = _("Audit")

    def ready(self) -> None:
        translate_names(self)
