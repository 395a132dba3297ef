"""`/api/v1/users` and `/api/v1/sessions`: the administration of others."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.errors import AlreadyAccepted
from accounts.filters import SessionFilter, UserFilter
from accounts.models import Session, User
from accounts.serializers.auth import ToldSerializer
from accounts.serializers.myself import DevicesSerializer, SessionSerializer
from accounts.serializers.users import (
    ChangeMyselfSerializer,
    ChangeUserSerializer,
    CreateUserSerializer,
    UserSerializer,
    row_data,
)
from accounts.services import profile, users
from accounts.user_list import Page
from accounts.views.auth import told, valid
from accounts.views.myself import answer, devices, if_match
from core.access import Requires, SignedIn, require
from core.actor import Actor
from core.errors import (
    LastAdministrator,
    NotFound,
    OwnAccount,
    PermissionDenied,
    PreconditionFailed,
    PrivilegeEscalation,
)
from core.openapi import problems

DONE = OpenApiResponse(description="Done.")
NEEDED = {
    "list": "user:read",
    "create": "user:write",
    "destroy": "user:delete",
    "restore": "user:delete",
    "invitation": "user:write",
    "sessions": "session:read",
    "end_sessions": "session:revoke",
}
OF_ONES_OWN = {"retrieve": "user:read", "partial_update": "user:write"}


class SelfOr(SignedIn):
    """Oneself, or a holder of the permission; asked before it shows whether the user exists."""

    def __init__(self, required: str) -> None:
        self.required = required

    def has_permission(self, request: Any, view: Any) -> bool:
        super().has_permission(request, view)
        if str(request.user.pk) != str(view.kwargs.get("pk")):
            require(request, self.required)
        return True


class UserViewSet(ListModelMixin, GenericViewSet[User]):
    queryset = User.objects.sortable()
    serializer_class = UserSerializer
    filterset_class = UserFilter
    lookup_value_converter = "uuid"
    ordering = ("created_at", "id")
    orderings = {
        "created_at": ("created_at", "id"),
        "email": ("email_key", "id"),
        "last_login": ("last_login_key", "id"),
    }

    def get_permissions(self) -> list[Any]:
        if self.action in OF_ONES_OWN:
            return [SelfOr(OF_ONES_OWN[self.action])]
        return [Requires(NEEDED[self.action])()]

    def user(self) -> User:
        user = User.objects.filter(pk=self.kwargs["pk"]).first()
        if user is None:
            raise NotFound
        return user

    def list(self, request: Request) -> Response:
        page: Any = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([row_data(row) for row in page])

    def read_page(self, found: Any, ordering: Any, position: Any, most: int) -> Any:
        search = self.request.query_params.get("search", "").strip()
        return Page(found, tuple(ordering), tuple(position or ()), most, search).read()

    @problems(PermissionDenied)
    @extend_schema(request=CreateUserSerializer, responses={201: UserSerializer})
    def create(self, request: Request) -> Response:
        """Make an account. Without `password` its address gets an invitation to set one."""
        data = valid(CreateUserSerializer, request)
        given = {name: data.pop(name) for name in ("is_verified", "is_staff")}
        user = users.create_user(Actor.of(request), data.pop("email"), data.pop("password", None), data, **given)
        user.refresh_from_db()
        return answer(user, 201, {"Location": f"/api/v1/users/{user.pk}"})

    @extend_schema(responses=UserSerializer)
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return answer(self.user())

    @problems(PreconditionFailed, OwnAccount, PrivilegeEscalation, LastAdministrator)
    @extend_schema(request=ChangeUserSerializer, responses=UserSerializer)
    def partial_update(self, request: Request, pk: UUID) -> Response:
        """Change a profile; with `user:write` also `email` and `is_active` of others. Honours If-Match."""
        may_all = request.user.has_perm("user:write")
        changes = valid(ChangeUserSerializer if may_all else ChangeMyselfSerializer, request)
        change = users.change_user if may_all else profile.change_profile
        return answer(change(Actor.of(request), self.user(), changes, if_match(request)))

    @problems(OwnAccount, PrivilegeEscalation, LastAdministrator)
    @extend_schema(responses={204: DONE})
    def destroy(self, request: Request, pk: UUID) -> Response:
        """Soft: deactivated, all sessions ended, nothing else lost."""
        users.delete_user(Actor.of(request), self.user())
        return Response(status=204)

    @problems(PrivilegeEscalation)
    @extend_schema(request=None, responses=UserSerializer)
    @action(["post"], detail=True)
    def restore(self, request: Request, pk: UUID) -> Response:
        """Undo a deletion."""
        return answer(users.restore_user(Actor.of(request), self.user()))

    @problems(PrivilegeEscalation, AlreadyAccepted)
    @extend_schema(request=None, responses={202: ToldSerializer})
    @action(["post"], detail=True)
    def invitation(self, request: Request, pk: UUID) -> Response:
        """The invitation again."""
        users.invite(Actor.of(request), self.user())
        return told(_("The invitation is on its way."))

    @extend_schema(responses=DevicesSerializer)
    @action(["get"], detail=True, pagination_class=None, filterset_class=None)
    def sessions(self, request: Request, pk: UUID) -> Response:
        """A user's devices."""
        return Response({"results": devices(request, self.user())})

    @problems(PrivilegeEscalation)
    @extend_schema(responses={204: DONE})
    @sessions.mapping.delete
    def end_sessions(self, request: Request, pk: UUID) -> Response:
        """End all sessions of a user."""
        users.end_sessions_of(Actor.of(request), self.user())
        return Response(status=204)


class SessionViewSet(ListModelMixin, GenericViewSet[Session]):
    """Everyone's live sessions, the latest log-in first."""

    queryset = Session.objects.none()
    serializer_class = SessionSerializer
    filterset_class = SessionFilter
    lookup_value_converter = "uuid"
    ordering = ("-id",)

    def get_permissions(self) -> list[Any]:
        return [Requires("session:read" if self.action == "list" else "session:revoke")()]

    def get_queryset(self) -> QuerySet[Session]:
        return Session.objects.live().select_related("user")

    @problems(PrivilegeEscalation)
    @extend_schema(responses={204: DONE})
    def destroy(self, request: Request, pk: UUID) -> Response:
        """End one session."""
        session = self.get_queryset().filter(pk=pk).first()
        if session is None:
            raise Http404
        users.end_session(Actor.of(request), session)
        return Response(status=204)

    @problems(PrivilegeEscalation)
    @extend_schema(operation_id="sessions_destroy_all", responses={204: DONE})
    def destroy_all(self, request: Request) -> Response:
        """End everyone's sessions but the caller's own."""
        users.end_everyones_sessions(Actor.of(request))
        return Response(status=204)
