from django.apps import AppConfig
from django.contrib.admin import apps as admin


class AccountsConfig(AppConfig):
    name = "accounts"
    default = True

    def ready(self) -> None:
        from accounts import schema  # noqa: F401 - tells drf-spectacular how we authenticate


class PanelConfig(admin.AdminConfig):
    """Django's admin behind our own log-in."""

    default_site = "accounts.panel.PanelSite"
    default = False
