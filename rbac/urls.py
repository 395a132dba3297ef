from django.urls import path
from rest_framework.routers import SimpleRouter

from rbac.views.grants import RoleGrantViewSet
from rbac.views.holdings import CheckPermissionsView, OwnPermissionsView
from rbac.views.permissions import PermissionViewSet
from rbac.views.roles import RoleViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("permissions", PermissionViewSet, basename="permission")
router.register("roles", RoleViewSet, basename="role")
router.register("users/<uuid:user_id>/roles", RoleGrantViewSet, basename="user-role")

urlpatterns = [
    path("permissions/check", CheckPermissionsView.as_view(), name="permissions-check"),
    path("users/me/permissions", OwnPermissionsView.as_view(), name="own-permissions"),
    *router.urls,
]
