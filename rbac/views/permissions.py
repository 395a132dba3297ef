from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins, viewsets
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import Requires
from core.actor import Actor
from core.errors import PrivilegeEscalation
from core.openapi import problems
from rbac.errors import BuiltInPermission
from rbac.models import Permission
from rbac.serializers import CreatePermissionSerializer, PermissionSerializer
from rbac.services import create_permission, delete_permission

MayRead = Requires("permission:read")
MayWrite = Requires("permission:write")


class PermissionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Permission]):
    """What somebody may do to a kind of resource, written `resource:action`."""

    queryset = Permission.objects.all()
    serializer_class = PermissionSerializer
    permission_classes = [MayWrite]
    ordering = ("resource", "action", "id")
    lookup_field = "id"
    lookup_value_converter = "uuid"

    def get_permissions(self) -> list[BasePermission]:
        return [MayRead()] if self.action in ("list", "retrieve") else [MayWrite()]

    @extend_schema(request=CreatePermissionSerializer, responses={201: PermissionSerializer})
    def create(self, request: Request) -> Response:
        """Make a permission. At first only the role `admin` holds it."""
        asked = CreatePermissionSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        permission = create_permission(Actor.of(request), **asked.validated_data)
        location = reverse("permission-detail", args=[permission.pk])
        return Response(PermissionSerializer(permission).data, status=201, headers={"Location": location})

    @problems(BuiltInPermission, PrivilegeEscalation)
    @extend_schema(responses={204: OpenApiResponse(description="Done.")})
    def destroy(self, request: Request, id: UUID) -> Response:
        """Delete a permission; every role loses it."""
        delete_permission(Actor.of(request), self.get_object())
        return Response(status=204)
