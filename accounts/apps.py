from django.apps import AppConfig, apps
from django.contrib import admin as panel
from django.contrib.admin import apps as admin
from django.utils.translation import gettext_lazy as _

from core.names import translate_names

# Registered by the apps that they come from; nobody uses the first, and the others say what the list of sessions says.
NOT_IN_THE_PANEL = ("auth.Group", "token_blacklist.OutstandingToken", "token_blacklist.BlacklistedToken")


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

    def ready(self) -> None:
        super().ready()
        for label in NOT_IN_THE_PANEL:
            panel.site.unregister(apps.get_model(label))
