from collections.abc import Iterable
from typing import Self

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now
from django.utils import timezone

from core.ids import uuid7
from rbac.builtin import ADMIN, SYSTEM_ROLES


class PermissionQuerySet(models.QuerySet["Permission"]):
    def named(self, names: Iterable[str]) -> dict[str, "Permission"]:
        """Those of `names` ("order:refund") that exist, by name."""
        wanted = {name for name in names if name.count(":") == 1}
        if not wanted:
            return {}
        resources, actions = zip(*(name.split(":") for name in wanted), strict=True)
        found = self.filter(resource__in=set(resources), action__in=set(actions))
        return {permission.name: permission for permission in found if permission.name in wanted}


class Permission(models.Model):
    """One thing that somebody may do to one kind of resource, written `resource:action`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    resource = models.CharField(max_length=50)
    action = models.CharField(max_length=50)
    description = models.CharField(max_length=500, blank=True, default="")
    built_in = models.BooleanField(default=False)

    objects = PermissionQuerySet.as_manager()

    class Meta:
        db_table = "permissions"
        ordering = ["resource", "action"]
        constraints = [models.UniqueConstraint(fields=["resource", "action"], name="permissions_name_unique")]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return f"{self.resource}:{self.action}"


class RoleQuerySet(models.QuerySet["Role"]):
    def named(self, name: str) -> Self:
        """The role of this name, whatever the case."""
        return self.filter(name__iexact=name)


class Role(models.Model):
    """A named set of permissions that can be given to users."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=50)
    description = models.CharField(max_length=500, blank=True, default="")
    permissions = models.ManyToManyField(Permission, db_table="role_permissions", related_name="roles", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = RoleQuerySet.as_manager()

    class Meta:
        db_table = "roles"
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="roles_name_unique")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_system(self) -> bool:
        return self.name in SYSTEM_ROLES

    @property
    def is_admin(self) -> bool:
        return self.name == ADMIN

    def permission_names(self) -> list[str]:
        """Sorted. `admin` holds whatever exists, so nothing has to be stored for it."""
        held = Permission.objects.all() if self.is_admin else self.permissions.all()
        return sorted(permission.name for permission in held)


class RoleGrantQuerySet(models.QuerySet["RoleGrant"]):
    def live(self) -> Self:
        """Not expired, by the database's clock."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))

    def of_administrators(self) -> Self:
        """Grants that make somebody an administrator who can still act tomorrow.

        Active, verified, able to log in with a password, and holding `role:assign` without expiry.
        """
        role_assign = Q(role__permissions__resource="role", role__permissions__action="assign")
        return self.filter(
            Q(role__name=ADMIN) | role_assign, expires_at=None, user__is_active=True, user__is_verified=True
        ).exclude(Q(user__password="") | Q(user__password__startswith=UNUSABLE_PASSWORD_PREFIX))


class RoleGrant(models.Model):
    """One user has one role, for ever or until `expires_at`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(  # found by the unique constraint's index, which begins with it
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="grants", db_index=False
    )
    role = models.ForeignKey(Role, models.CASCADE, related_name="grants")
    granted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    granted_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = RoleGrantQuerySet.as_manager()

    class Meta:
        db_table = "user_roles"
        constraints = [models.UniqueConstraint(fields=["user", "role"], name="user_roles_user_role_unique")]
        indexes = [
            models.Index(fields=["role", "id"], name="user_roles_role"),
            models.Index(fields=["id"], condition=Q(expires_at__isnull=False), name="user_roles_ending"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} has {self.role_id}"
