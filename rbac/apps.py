from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from core.names import translate_names


def _sync(apps: Any = apps, using: str = "default", **kwargs: Any) -> None:
    try:  # `apps` is the state that the migrations have reached: after `migrate rbac zero` there is no table
        apps.get_model("rbac", "RoleGrant")
    except LookupError:
        return
    from rbac.services.permissions import sync_permissions

    sync_permissions(using=using)


class RbacConfig(AppConfig):
    name = "rbac"
    verbose_name = _("Roles and permissions")

    def ready(self) -> None:
        post_migrate.connect(_sync, sender=self, dispatch_uid="rbac.sync_permissions")
        translate_names(self)
