from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access import SignedIn, require
from core.errors import NotFound, PermissionDenied
from core.openapi import problems
from rbac.holdings import HeldRole, holdings
from rbac.serializers import CheckedPermissionsSerializer, CheckPermissionsSerializer, HoldingsSerializer


class OwnPermissionsView(APIView):
    permission_classes = [SignedIn]

    @extend_schema(responses=HoldingsSerializer)
    def get(self, request: Request) -> Response:
        """My roles, and what they let me do."""
        return Response(HoldingsSerializer(holdings(request.user)).data)


class CheckPermissionsView(APIView):
    permission_classes = [SignedIn]

    @problems(PermissionDenied, NotFound)
    @extend_schema(request=CheckPermissionsSerializer, responses=CheckedPermissionsSerializer)
    def post(self, request: Request) -> Response:
        """May this user do that, and why. About somebody else this needs `role:read`.

        The answers come in the order of `checks`. What does not exist is held by nobody.
        """
        asked = CheckPermissionsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        because = holdings(self.asked_user(asked.validated_data.get("user"))).because
        return Response({"results": [checked(name, because.get(name, ())) for name in asked.validated_data["checks"]]})

    def asked_user(self, user_id: Any) -> Any:
        """Permission comes before existence: who may not ask is not told whether there is such a user."""
        if user_id in (None, self.request.user.pk):
            return self.request.user
        require(self.request, "role:read")
        return get_object_or_404(get_user_model(), pk=user_id)


def checked(name: str, because: Iterable[HeldRole]) -> dict[str, Any]:
    """As CheckedPermissionSerializer declares it, which would add a tenth to what a check costs."""
    reasons = [{"role": role.name, "expires_at": role.expires_at} for role in because]
    return {"permission": name, "allowed": bool(reasons), "because": reasons}
