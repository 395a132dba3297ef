from django.apps import AppConfig
from django.contrib.admin import apps as admin
from django.utils.translation import gettext_lazy as _

from core.names import translate_names


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")
    default = True

    def ready(self) -> None:
        from accounts import schema  # noqa: F401 - tells drf-spectacular how we authenticate

        translate_names(self)


class PanelConfig(admin.AdminConfig):
    """Django's admin behind our own log-in."""

    default_site = "accounts.panel.PanelSite"
    default = False
