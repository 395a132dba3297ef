from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from core.fields import IdField, TextField
from rbac.holdings import HeldRole, Holdings
from rbac.models import Permission, Role, RoleGrant
from rbac.names import valid_part, valid_permission, valid_role_name

NAME_LENGTH = 101  # resource:action
MOST_CHECKS = 100  # in one request


class PermissionSerializer(serializers.ModelSerializer[Permission]):
    name = serializers.CharField(help_text="`resource:action`")

    class Meta:
        model = Permission
        fields = ["id", "name", "resource", "action", "description", "built_in"]
        read_only_fields = fields


class CreatePermissionSerializer(serializers.Serializer[Permission]):
    resource = TextField(max_length=50, validators=[valid_part])
    action = TextField(max_length=50, validators=[valid_part])
    description = TextField(max_length=500, allow_blank=True, default="")


class RoleSerializer(serializers.ModelSerializer[Role]):
    permissions = serializers.ListField(child=serializers.CharField(), source="permission_names")
    system = serializers.BooleanField(source="is_system")

    class Meta:
        model = Role
        fields = ["id", "name", "description", "permissions", "system", "created_at", "updated_at"]
        read_only_fields = fields


class PermissionNamesField(serializers.ListField):
    """Names of permissions. Whether they exist is for the service to say."""

    child = TextField(max_length=NAME_LENGTH)


class CreateRoleSerializer(serializers.Serializer[Role]):
    name = TextField(max_length=50, validators=[valid_role_name])
    description = TextField(max_length=500, allow_blank=True, default="")
    permissions = PermissionNamesField(max_length=1000, default=list)


class ChangeRoleSerializer(serializers.Serializer[Role]):
    name = TextField(max_length=50, validators=[valid_role_name], required=False)
    description = TextField(max_length=500, allow_blank=True, required=False)
    permissions = PermissionNamesField(max_length=1000, required=False)


class SetPermissionsSerializer(serializers.Serializer[Role]):
    permissions = PermissionNamesField(max_length=1000)


class RoleNameSerializer(serializers.ModelSerializer[Role]):
    class Meta:
        model = Role
        fields = ["id", "name"]
        read_only_fields = fields


class RoleGrantSerializer(serializers.ModelSerializer[RoleGrant]):
    role = RoleNameSerializer()
    granted_by = serializers.UUIDField(source="granted_by_id", allow_null=True)

    class Meta:
        model = RoleGrant
        fields = ["role", "granted_by", "granted_at", "expires_at"]
        read_only_fields = fields


@extend_schema_serializer(many=False)
class RoleGrantsSerializer(serializers.Serializer[Any]):
    results = RoleGrantSerializer(many=True)


class GrantRoleSerializer(serializers.Serializer[RoleGrant]):
    role = TextField(max_length=50, help_text="The role's id or name.")
    expires_at = serializers.DateTimeField(allow_null=True, default=None)


class HoldingsSerializer(serializers.Serializer[Holdings]):
    roles = serializers.ListField(child=serializers.CharField())
    permissions = serializers.SerializerMethodField()

    def get_permissions(self, held: Holdings) -> list[str]:
        return sorted(held.permissions)


class CheckPermissionsSerializer(serializers.Serializer[Any]):
    checks = serializers.ListField(
        child=TextField(max_length=NAME_LENGTH, validators=[valid_permission]), min_length=1, max_length=MOST_CHECKS
    )
    user = IdField(required=False, allow_null=True, help_text="Oneself when left out.")


class ReasonSerializer(serializers.Serializer[HeldRole]):
    role = serializers.CharField(source="name")
    expires_at = serializers.DateTimeField(allow_null=True)


class CheckedPermissionSerializer(serializers.Serializer[Any]):
    permission = serializers.CharField()
    allowed = serializers.BooleanField()
    because = ReasonSerializer(many=True)


@extend_schema_serializer(many=False)
class CheckedPermissionsSerializer(serializers.Serializer[Any]):
    results = CheckedPermissionSerializer(many=True)
