"""What can go wrong here beyond `core.errors`."""

from core.errors import Conflict


class BuiltInPermission(Conflict):
    code = "built_in_permission"
    title = "Built-in permission"
    default_detail = "This service itself asks for that permission, so it cannot be deleted."
