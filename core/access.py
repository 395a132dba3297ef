"""Who may enter a view. Every view names one of these; a test walks all URLs to prove it."""

from typing import Any

from rest_framework.permissions import BasePermission

from core.errors import NotAuthenticated, PermissionDenied


class Public(BasePermission):
    """Anybody. Such a view has no authentication either: a stale token must not keep anybody out."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return True


class SignedIn(BasePermission):
    """Anybody with a live session."""

    def has_permission(self, request: Any, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            raise NotAuthenticated
        return True


def require(request: Any, permission: str) -> None:
    """Raise NotAuthenticated or PermissionDenied unless the caller holds `permission` ("user:read")."""
    SignedIn().has_permission(request, None)
    if not request.user.has_perm(permission):
        raise PermissionDenied(required=permission)


def Requires(permission: str) -> type[BasePermission]:  # noqa: N802 - reads as the class that it returns
    """A permission class for holders of `permission`."""

    class Holder(BasePermission):
        required = permission

        def has_permission(self, request: Any, view: Any) -> bool:
            require(request, permission)
            return True

    return Holder
