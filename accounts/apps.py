from importlib import import_module
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib import admin as panel
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks
from django.utils.translation import gettext_lazy as _

from core.names import translate_names

# Registered by the apps that they come from; nobody uses the first, and the others say what the list of sessions says.
NOT_IN_THE_PANEL = ("auth.Group", "token_blacklist.OutstandingToken", "token_blacklist.BlacklistedToken")


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")
    default = True

    def ready(self) -> None:
        translate_names(self)


class PanelConfig(SimpleAdminConfig):
    """Django's admin behind our own log-in. The URLs load it (`load_panel`): commands without it take 15 MiB less."""

    default_site = "accounts.panel.PanelSite"
    default = False

    def ready(self) -> None:
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(check_panel, checks.Tags.admin)


def check_panel(**options: Any) -> list[checks.CheckMessage]:
    """Django's own check of the admin, once there is something to check."""
    import_module(settings.ROOT_URLCONF)
    found: list[checks.CheckMessage] = check_admin_app(**options)
    return found


def load_panel() -> None:
    """All that the apps register, for whoever has URLs."""
    panel.autodiscover()
    for label in NOT_IN_THE_PANEL:
        if panel.site.is_registered(apps.get_model(label)):  # no first try failed half-way
            panel.site.unregister(apps.get_model(label))
