"""`/api/v1/users/me`: what everybody may see and change of their own."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import errors
from accounts.cookies import forget_cookies
from accounts.etag import etag_of
from accounts.models import Session, User
from accounts.serializers import myself as bodies
from accounts.serializers.users import ChangeMyselfSerializer, UserSerializer, user_data
from accounts.services import passwords, profile, sessions
from accounts.views.auth import checked, valid
from core.access import SignedIn
from core.actor import Actor
from core.errors import LastAdministrator, NotFound, PreconditionFailed, TooManyRequests
from core.openapi import problems, takes_body

DONE = OpenApiResponse(description="Done.")


class MyselfView(APIView):
    permission_classes = (SignedIn,)

    @extend_schema(responses=UserSerializer)
    def get(self, request: Any) -> Response:
        return answer(request.user)

    @problems(PreconditionFailed)
    @extend_schema(request=ChangeMyselfSerializer, responses=UserSerializer)
    def patch(self, request: Any) -> Response:
        changes = valid(ChangeMyselfSerializer, request)
        return answer(profile.change_profile(Actor.of(request), request.user, changes, if_match(request)))

    @takes_body
    @problems(LastAdministrator, errors.TooManyAttempts)
    @extend_schema(request=bodies.CloseAccountSerializer, responses={204: DONE})
    def delete(self, request: Any) -> Response:
        """Close the account: deactivated, all sessions ended."""
        profile.close_account(Actor.of(request), valid(bodies.CloseAccountSerializer, request)["password"])
        forget_cookies(request)
        return Response(status=204)


class MyPasswordView(APIView):
    permission_classes = (SignedIn,)

    @problems(errors.TooManyAttempts)
    @extend_schema(request=bodies.ChangePasswordSerializer, responses={204: DONE})
    def put(self, request: Any) -> Response:
        """Change the password. The other sessions end, this one stays."""
        data = valid(bodies.ChangePasswordSerializer, request)
        passwords.change(Actor.of(request), data["current_password"], data["new_password"])
        return Response(status=204)


class MyEmailView(APIView):
    permission_classes = (SignedIn,)

    @problems(errors.TooManyAttempts, TooManyRequests)
    @extend_schema(request=bodies.ChangeEmailSerializer, responses={202: bodies.EmailChangeAskedSerializer})
    def post(self, request: Any) -> Response:
        """Ask for another address. The old one is told, and works until the new one is confirmed."""
        data = valid(bodies.ChangeEmailSerializer, request)
        profile.ask_email_change(Actor.of(request), data["new_email"], data["password"])
        body = {
            "new_email": data["new_email"].email,
            "status": "unconfirmed",
            "code_expires_in": settings.CODE_SECONDS,
        }
        return Response(body, 202)


class ConfirmEmailView(APIView):
    permission_classes = (SignedIn,)

    @problems(errors.InvalidCode, errors.InvalidLink, errors.AddressTaken)
    @extend_schema(request=bodies.ConfirmEmailSerializer, responses=UserSerializer)
    def post(self, request: Any) -> Response:
        """Confirm the new address, by the `code` or the `token` that was mailed to it."""
        proof = checked(bodies.ConfirmEmailSerializer, request).proof(request.user)
        return answer(profile.confirm_email_change(Actor.of(request), proof))


class MySessionsView(APIView):
    permission_classes = (SignedIn,)

    @extend_schema(responses=bodies.DevicesSerializer)
    def get(self, request: Any) -> Response:
        """My devices, the latest log-in first."""
        return Response({"results": devices(request, request.user)})


class MySessionView(APIView):
    permission_classes = (SignedIn,)

    @extend_schema(responses={204: DONE})
    def delete(self, request: Any, session_id: UUID) -> Response:
        """End one of my sessions."""
        mine = Session.objects.live().filter(user=request.user, pk=session_id)
        if not sessions.end(Actor.of(request), mine, Session.Ended.LOG_OUT):
            raise NotFound
        return Response(status=204)


def devices(request: Any, user: User) -> Any:
    found: QuerySet[Session] = Session.objects.live().filter(user=user).order_by("-id")
    context = {"request": request}
    return [bodies.DeviceSerializer(session, context=context).data for session in found]


def if_match(request: Any) -> str | None:
    value: str | None = request.META.get("HTTP_IF_MATCH")
    return value


def answer(user: User, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(user_data(user), status, headers={"ETag": etag_of(user), **(headers or {})})
