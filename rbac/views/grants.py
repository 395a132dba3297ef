import re
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import viewsets
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import Requires
from core.actor import Actor
from core.errors import LastAdministrator, PrivilegeEscalation, field_error
from core.openapi import problems
from rbac.models import Role, RoleGrant
from rbac.names import UUID_FORM
from rbac.serializers import GrantRoleSerializer, RoleGrantSerializer, RoleGrantsSerializer
from rbac.services import grant, withdraw

MayRead = Requires("role:read")
MayAssign = Requires("role:assign")
GIVEN = {
    201: RoleGrantSerializer,
    200: OpenApiResponse(RoleGrantSerializer, "The user had it; `expires_at` is as asked now."),
}


class RoleGrantViewSet(viewsets.GenericViewSet[RoleGrant]):
    queryset = RoleGrant.objects.all()
    serializer_class = RoleGrantSerializer
    permission_classes = [MayAssign]
    pagination_class = None
    lookup_field = "role_id"
    lookup_value_converter = "uuid"

    def get_permissions(self) -> list[BasePermission]:
        return [MayRead()] if self.action in ("list", "retrieve") else [MayAssign()]

    def get_queryset(self) -> QuerySet[RoleGrant]:
        live = RoleGrant.objects.live().filter(user_id=self.kwargs["user_id"])
        return live.select_related("role").order_by("role__name")

    def get_user(self) -> Any:
        return get_object_or_404(get_user_model(), pk=self.kwargs["user_id"])

    @extend_schema(responses=RoleGrantsSerializer)
    def list(self, request: Request, user_id: UUID) -> Response:
        """The roles of a user. What has expired is not there."""
        self.get_user()
        return Response(RoleGrantsSerializer({"results": self.get_queryset()}).data)

    @extend_schema(responses=RoleGrantSerializer)
    def retrieve(self, request: Request, user_id: UUID, role_id: UUID) -> Response:
        """One role of a user, by the role's id."""
        return Response(RoleGrantSerializer(self.get_object()).data)

    @problems(PrivilegeEscalation, LastAdministrator)
    @extend_schema(request=GrantRoleSerializer, responses=GIVEN)
    def create(self, request: Request, user_id: UUID) -> Response:
        """Give a role, and nobody gives what they do not hold. Given again, only `expires_at` changes."""
        asked = GrantRoleSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        role = role_called(asked.validated_data["role"])
        given, is_new = grant(Actor.of(request), self.get_user(), role, asked.validated_data["expires_at"])
        body = RoleGrantSerializer(given).data
        if not is_new:
            return Response(body)
        location = reverse("user-role-detail", args=[user_id, role.pk])
        return Response(body, status=201, headers={"Location": location})

    @problems(PrivilegeEscalation, LastAdministrator)
    @extend_schema(responses={204: OpenApiResponse(description="Done.")})
    def destroy(self, request: Request, user_id: UUID, role_id: UUID) -> Response:
        """Withdraw a role, also from oneself."""
        withdraw(Actor.of(request), self.get_user(), get_object_or_404(Role, pk=role_id))
        return Response(status=204)


def role_called(id_or_name: str) -> Role:
    """No name has the form of an id, so this is never ambiguous."""
    is_id = re.fullmatch(UUID_FORM, id_or_name)
    found = Role.objects.filter(pk=id_or_name) if is_id else Role.objects.named(id_or_name)
    if role := found.first():
        return role
    raise field_error("role", "unknown", _("There is no such role."))
