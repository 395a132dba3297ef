"""`/api/v1/auth`: the life of an account, from sign-up to reset."""

from dataclasses import asdict
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import errors, tokens
from accounts.authentication import bearer_of
from accounts.serializers import auth as bodies
from accounts.serializers.users import user_data
from accounts.services import passwords, registration, sessions
from accounts.tokens import TokenPair
from core.access import Public, SignedIn
from core.actor import Actor
from core.errors import InvalidToken, NotAuthenticated, TooManyRequests
from core.openapi import problems


class PublicView(APIView):
    """Open to strangers, and deaf to tokens: a stale one keeps nobody out."""

    authentication_classes = ()
    permission_classes = (Public,)


@problems(TooManyRequests)
class SignUpView(PublicView):
    """Make an account; a code and a link go to its address. The answer is the same for a taken address."""

    @extend_schema(request=bodies.SignUpSerializer, responses={202: bodies.WaitingSerializer})
    def post(self, request: Request) -> Response:
        data = valid(bodies.SignUpSerializer, request)
        address, password = data.pop("email"), data.pop("password")
        registration.sign_up(Actor.of(request), address, password, data)
        return Response(waiting(address.email), 202)


@problems(errors.InvalidCode, errors.InvalidLink)
class VerifyView(PublicView):
    """Prove the address, by `email` and `code` or by the link's `token`."""

    @extend_schema(request=bodies.VerifySerializer, responses={200: bodies.VerifiedSerializer})
    def post(self, request: Request) -> Response:
        body = checked(bodies.VerifySerializer, request)
        done = registration.verify(Actor.of(request), body.proof(), body.validated_data.get("password"))
        return Response({"email": done.email, "status": "verified", "password_needed": done.password_needed})


@problems(TooManyRequests)
class ResendView(PublicView):
    """The verification mail again, at most once per `resend_in` seconds."""

    @extend_schema(request=bodies.AddressSerializer, responses={202: bodies.WaitingSerializer})
    def post(self, request: Request) -> Response:
        address = valid(bodies.AddressSerializer, request)["email"]
        registration.resend(Actor.of(request), address.email)
        return Response(waiting(address.email), 202)


@problems(errors.InvalidCredentials, errors.EmailNotVerified, errors.TooManyAttempts)
class LogInView(PublicView):
    """Start a session, by address or username."""

    @extend_schema(request=bodies.LogInSerializer, responses={200: bodies.SignedInSerializer})
    def post(self, request: Request) -> Response:
        data = valid(bodies.LogInSerializer, request)
        name = data.get("email") or data["username"]
        signed_in = sessions.log_in(Actor.of(request), name, data["password"])
        return Response({**pair_data(signed_in.pair), "user": user_data(signed_in.session.user)})


@problems(errors.InvalidRefreshToken)
class RefreshView(PublicView):
    """Rotate. A repeat within the grace gets the same pair again; any other spent token ends the session."""

    @extend_schema(request=bodies.RefreshSerializer, responses={200: bodies.TokenPairSerializer})
    def post(self, request: Request) -> Response:
        token = valid(bodies.RefreshSerializer, request)["refresh"]
        return Response(pair_data(sessions.refresh(Actor.of(request), token)))


@problems(errors.InvalidRefreshToken, NotAuthenticated, InvalidToken)
class LogOutView(PublicView):
    """End the session of the `refresh` token or else of the Bearer token, again and again if you like."""

    @extend_schema(request=bodies.LogOutSerializer, responses={204: OpenApiResponse(description="Ended.")})
    def post(self, request: Request) -> Response:
        refresh = valid(bodies.LogOutSerializer, request).get("refresh")
        sessions.log_out(Actor.of(request), claims_to_end(request, refresh))
        return Response(status=204)


def claims_to_end(request: Any, refresh: str | None) -> tokens.Claims:
    """Expired or revoked tokens will do: the session is to end, or has ended."""
    if refresh:
        claims = tokens.read(refresh, "refresh")
        if claims is None:
            raise errors.InvalidRefreshToken
        return claims
    token = bearer_of(request)
    if token is None:
        raise NotAuthenticated
    claims = tokens.read(token, "access")
    if claims is None:
        raise InvalidToken
    return claims


class LogOutEverywhereView(APIView):
    """End every session of the caller, this one included."""

    permission_classes = (SignedIn,)

    @extend_schema(request=None, responses={204: OpenApiResponse(description="Ended.")})
    def post(self, request: Request) -> Response:
        sessions.log_out_everywhere(Actor.of(request))
        return Response(status=204)


@problems(TooManyRequests)
class ForgotView(PublicView):
    """Mail a code and a link for a new password. The answer is the same for every address."""

    @extend_schema(request=bodies.AddressSerializer, responses={202: bodies.ToldSerializer})
    def post(self, request: Request) -> Response:
        passwords.forgot(Actor.of(request), valid(bodies.AddressSerializer, request)["email"].email)
        return Response({"detail": "If the address has an account, a mail is on its way."}, 202)


@problems(errors.InvalidCode, errors.InvalidLink)
class ResetView(PublicView):
    """Set a new password by code or link; accepts invitations too. All sessions end."""

    @extend_schema(request=bodies.ResetSerializer, responses={204: OpenApiResponse(description="Set.")})
    def post(self, request: Request) -> Response:
        body = checked(bodies.ResetSerializer, request)
        passwords.reset(Actor.of(request), body.proof(), body.validated_data["new_password"])
        return Response(status=204)


def checked(serializer: Any, request: Any) -> Any:
    """The serializer over the body, valid. Raises ValidationError."""
    body = serializer(data=request.data)
    body.is_valid(raise_exception=True)
    return body


def valid(serializer: Any, request: Any) -> dict[str, Any]:
    return dict(checked(serializer, request).validated_data)


def waiting(email: str) -> dict[str, Any]:
    return {
        "email": email,
        "status": "unverified",
        "code_expires_in": settings.CODE_SECONDS,
        "resend_in": settings.RESEND_SECONDS,
    }


def pair_data(pair: TokenPair) -> dict[str, Any]:
    return {**asdict(pair), "token_type": "Bearer"}
