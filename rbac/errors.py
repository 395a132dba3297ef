"""What can go wrong here beyond `core.errors`."""

from django.utils.translation import gettext_lazy as _

from core.errors import Conflict


class BuiltInPermission(Conflict):
    code = "built_in_permission"
    title = _("Built-in permission")
    default_detail = _("This service itself asks for that permission, so it cannot be deleted.")
