"""Entry by role. Prefer `core.access.Requires("order:refund")`, whose holders can change without code."""

from typing import Any

from rest_framework.permissions import BasePermission

from core.access import SignedIn
from core.errors import PermissionDenied
from rbac.holdings import holdings


def HasRole(name: str) -> type[BasePermission]:  # noqa: N802 - reads as the class that it returns
    """A permission class for whoever has this very role. `admin` holds permissions, not other roles."""

    class Holder(SignedIn):
        required = f"role {name}"

        def has_permission(self, request: Any, view: Any) -> bool:
            super().has_permission(request, view)
            if name not in holdings(request.user).roles:
                raise PermissionDenied(required=self.required)
            return True

    return Holder
