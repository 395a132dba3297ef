"""`/api/v1/auth`: the life of an account, from sign-up to reset."""

from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.middleware.csrf import get_token
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import errors, tokens
from accounts.authentication import bearer_of
from accounts.cookies import TokenCookies, check_csrf, forget_cookies, token_cookies
from accounts.serializers import auth as bodies
from accounts.serializers.users import user_data
from accounts.services import passwords, registration, sessions
from accounts.tokens import TokenPair
from core.access import Public, SignedIn
from core.actor import Actor
from core.errors import CsrfFailed, InvalidToken, NotAuthenticated, Problem, TooManyRequests, field_error
from core.language import Words, in_words, spoken
from core.openapi import AnyOf, problems

LOGGED_IN = AnyOf("LoggedIn", bodies.SignedInSerializer, bodies.SignedInByCookieSerializer)
REFRESHED = AnyOf("Refreshed", bodies.TokenPairSerializer, bodies.CookiesSetSerializer)


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
        data.setdefault("language", spoken())
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


class CsrfView(PublicView):
    """Set the cookie `csrftoken`, whose value unsafe calls by cookie repeat in the header `X-CSRFToken`."""

    @extend_schema(responses={204: OpenApiResponse(description="Set.")})
    def get(self, request: Any) -> Response:
        if token_cookies(request):
            get_token(request._request)
        return Response(status=204)


@problems(errors.InvalidCredentials, errors.EmailNotVerified, errors.TooManyAttempts, CsrfFailed)
class LogInView(PublicView):
    """Start a session, by address or username. With `cookies` the tokens come as cookies, and not in the body."""

    @extend_schema(request=bodies.LogInSerializer, responses={200: LOGGED_IN})
    def post(self, request: Request) -> Response:
        data = valid(bodies.LogInSerializer, request)
        cookies = token_cookies(request) if data["cookies"] else None
        if cookies:
            check_csrf(request)
        signed_in = sessions.log_in(Actor.of(request), data.get("email") or data["username"], data["password"])
        return Response({**given(signed_in.pair, cookies), "user": user_data(signed_in.session.user)})


@problems(errors.InvalidRefreshToken, CsrfFailed)
class RefreshView(PublicView):
    """Rotate. A repeat within the grace gets the same pair again; any other spent token ends the session.
    Without `refresh` in the body the cookie counts, and new cookies are the answer."""

    @extend_schema(request=bodies.RefreshSerializer, responses={200: REFRESHED})
    def post(self, request: Request) -> Response:
        token, cookies = valid(bodies.RefreshSerializer, request).get("refresh"), token_cookies(request)
        if token:
            return Response(given(sessions.refresh(Actor.of(request), token), None))
        kept = cookies.get("refresh") if cookies else None
        if kept is None:
            raise field_error("refresh", "required", _("Send the refresh token, or the cookie that holds it."))
        check_csrf(request)
        return Response(given(sessions.refresh(Actor.of(request), kept), cookies))


@problems(errors.InvalidRefreshToken, NotAuthenticated, InvalidToken, CsrfFailed)
class LogOutView(PublicView):
    """End the session of the `refresh` token or else of the Bearer token or of the cookies, again and again."""

    @extend_schema(request=bodies.LogOutSerializer, responses={204: OpenApiResponse(description="Ended.")})
    def post(self, request: Request) -> Response:
        refresh = valid(bodies.LogOutSerializer, request).get("refresh")
        if claims := claims_to_end(request, refresh):
            sessions.log_out(Actor.of(request), claims)
        return Response(status=204)


def claims_to_end(request: Any, refresh: str | None) -> tokens.Claims | None:
    """Expired or revoked tokens will do: the session is to end, or has ended. None for cookies that name none."""
    refusal: type[Problem] = errors.InvalidRefreshToken if refresh else InvalidToken
    if refresh:
        claims = tokens.read(refresh, "refresh")
    elif token := bearer_of(request):
        claims = tokens.read(token, "access")
    else:
        return claims_of_cookies(request)
    if claims is None:
        raise refusal
    return claims


def claims_of_cookies(request: Any) -> tokens.Claims | None:
    cookies = token_cookies(request)
    if cookies is None or not any(cookies.get(kind) for kind in cookies.KINDS):
        raise NotAuthenticated
    claims = cookies.claims("refresh") or cookies.claims("access")
    if claims:
        check_csrf(request)
    cookies.forget()
    return claims


class LogOutEverywhereView(APIView):
    """End every session of the caller, this one included."""

    permission_classes = (SignedIn,)

    @extend_schema(request=None, responses={204: OpenApiResponse(description="Ended.")})
    def post(self, request: Request) -> Response:
        sessions.log_out_everywhere(Actor.of(request))
        forget_cookies(request)
        return Response(status=204)


@problems(TooManyRequests)
class ForgotView(PublicView):
    """Mail a code and a link for a new password. The answer is the same for every address."""

    @extend_schema(request=bodies.AddressSerializer, responses={202: bodies.ToldSerializer})
    def post(self, request: Request) -> Response:
        passwords.forgot(Actor.of(request), valid(bodies.AddressSerializer, request)["email"].email)
        return told(_("If the address has an account, a mail is on its way."))


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


def told(words: Words) -> Response:
    response: Response = in_words(Response({"detail": words}, 202))
    return response


def waiting(email: str) -> dict[str, Any]:
    return {
        "email": email,
        "status": "unverified",
        "code_expires_in": settings.CODE_SECONDS,
        "resend_in": settings.RESEND_SECONDS,
    }


def given(pair: TokenPair, cookies: TokenCookies | None) -> dict[str, Any]:
    """The pair as a client gets it: in the body, or in cookies and then never in the body as well."""
    if cookies is None:
        return {**asdict(pair), "token_type": "Bearer"}
    cookies.keep(pair)
    return {"access_expires_in": pair.access_expires_in}
