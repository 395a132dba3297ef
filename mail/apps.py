from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from core.names import translate_names


class MailConfig(AppConfig):
    name = "mail"
    verbose_name = _("Mail")

    def ready(self) -> None:
        translate_names(self)
