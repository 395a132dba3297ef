from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import Requires
from core.actor import Actor
from core.errors import LastAdministrator, PrivilegeEscalation, SystemRole
from core.openapi import problems
from rbac.models import Role
from rbac.serializers import (
    ChangeRoleSerializer,
    CreateRoleSerializer,
    RoleSerializer,
    SetPermissionsSerializer,
)
from rbac.services import change_role, create_role, delete_role, set_permissions

MayRead = Requires("role:read")
MayWrite = Requires("role:write")


class RoleViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Role]):
    """Named sets of permissions. `admin` holds all there are, `user` is given to everyone at sign-up."""

    queryset = Role.objects.prefetch_related("permissions")
    serializer_class = RoleSerializer
    permission_classes = [MayWrite]
    ordering = ("name", "id")
    lookup_field = "id"
    lookup_value_converter = "uuid"

    def get_permissions(self) -> list[BasePermission]:
        return [MayRead()] if self.action in ("list", "retrieve") else [MayWrite()]

    @problems(PrivilegeEscalation)
    @extend_schema(request=CreateRoleSerializer, responses={201: RoleSerializer})
    def create(self, request: Request) -> Response:
        """Make a role of permissions that one holds oneself."""
        asked = CreateRoleSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        role = create_role(Actor.of(request), **asked.validated_data)
        location = reverse("role-detail", args=[role.pk])
        return Response(RoleSerializer(role).data, status=201, headers={"Location": location})

    @problems(SystemRole, PrivilegeEscalation, LastAdministrator)
    @extend_schema(request=ChangeRoleSerializer, responses=RoleSerializer)
    def partial_update(self, request: Request, id: UUID) -> Response:
        """Change a role; what is left out stays. `admin` never changes, of `user` only the permissions do."""
        asked = ChangeRoleSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        role = change_role(Actor.of(request), self.get_object(), **asked.validated_data)
        return Response(RoleSerializer(role).data)

    @problems(SystemRole, PrivilegeEscalation, LastAdministrator)
    @extend_schema(responses={204: OpenApiResponse(description="Done.")})
    def destroy(self, request: Request, id: UUID) -> Response:
        """Delete a role; it is withdrawn from everybody."""
        delete_role(Actor.of(request), self.get_object())
        return Response(status=204)

    @problems(SystemRole, PrivilegeEscalation, LastAdministrator)
    @extend_schema(request=SetPermissionsSerializer, responses=RoleSerializer)
    @action(detail=True, methods=["put"], url_path="permissions")
    def set_permissions(self, request: Request, id: UUID) -> Response:
        """Let the role hold exactly these. Nobody gives or takes what they do not hold."""
        asked = SetPermissionsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        role = set_permissions(Actor.of(request), self.get_object(), asked.validated_data["permissions"])
        return Response(RoleSerializer(role).data)
