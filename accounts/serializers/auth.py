"""Bodies of `/auth`."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from accounts.challenges import Proof
from accounts.serializers.users import (
    AddressField,
    PasswordField,
    ProfileSerializer,
    UserSerializer,
)
from core.fields import FlagField, TextField

MAX_TOKEN_LENGTH = 4096


class SignUpSerializer(ProfileSerializer):
    email = AddressField()
    password = PasswordField()


class WaitingSerializer(serializers.Serializer[Any]):
    """The same for every address."""

    email = serializers.EmailField()
    status = serializers.ChoiceField(choices=["unverified"])
    code_expires_in = serializers.IntegerField()
    resend_in = serializers.IntegerField()


class ProofSerializer(serializers.Serializer[Any]):
    """`email` and `code`, or `token`."""

    email = TextField(required=False, max_length=254)
    code = serializers.RegexField(r"\A[0-9]{6}\Z", required=False, error_messages={"invalid": _("Six digits.")})
    token = TextField(required=False, max_length=200)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("token"):
            missing = [name for name in self.needed() if not attrs.get(name)]
            if missing:
                needed = serializers.ErrorDetail(str(_("Needed unless there is a token.")), "required")
                raise serializers.ValidationError({name: [needed] for name in missing})
        return attrs

    def needed(self) -> tuple[str, ...]:
        return ("email", "code")

    def proof(self, user: Any = None) -> Proof:
        data = self.validated_data
        return Proof(data.get("email", ""), data.get("code", ""), data.get("token", ""), user)


class VerifySerializer(ProofSerializer):
    password = PasswordField(required=False)


class VerifiedSerializer(serializers.Serializer[Any]):
    email = serializers.EmailField()
    status = serializers.ChoiceField(choices=["verified"])
    password_needed = serializers.BooleanField()


class ResetSerializer(ProofSerializer):
    new_password = PasswordField()


class AddressSerializer(serializers.Serializer[Any]):
    email = AddressField()


class ToldSerializer(serializers.Serializer[Any]):
    """The same for everybody."""

    detail = serializers.CharField()


class LogInSerializer(serializers.Serializer[Any]):
    """`email` or `username`, and `password`."""

    email = TextField(required=False, max_length=254)
    username = TextField(required=False, max_length=254)
    password = PasswordField()
    cookies = FlagField(default=False, help_text="Tokens as cookies instead of in the body; needs the CSRF token.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("email") and not attrs.get("username"):
            raise serializers.ValidationError({"email": [_("Needed unless there is a username.")]}, "required")
        return attrs


class RefreshSerializer(serializers.Serializer[Any]):
    refresh = TextField(max_length=MAX_TOKEN_LENGTH, required=False, help_text="Needed unless a cookie holds it.")


class LogOutSerializer(serializers.Serializer[Any]):
    refresh = TextField(max_length=MAX_TOKEN_LENGTH, required=False)


class TokenPairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()
    token_type = serializers.ChoiceField(choices=["Bearer"])
    access_expires_in = serializers.IntegerField(help_text="Seconds.")
    refresh_expires_in = serializers.IntegerField(help_text="Seconds.")


class SignedInSerializer(TokenPairSerializer):
    user = UserSerializer()


class CookiesSetSerializer(serializers.Serializer[Any]):
    """The tokens are in cookies."""

    access_expires_in = serializers.IntegerField(help_text="Seconds.")


class SignedInByCookieSerializer(CookiesSetSerializer):
    user = UserSerializer()


class TokenRequestSerializer(serializers.Serializer[Any]):
    """RFC 6749 §4.3.2 and §6."""

    grant_type = serializers.ChoiceField(choices=["password", "refresh_token"])
    username = serializers.CharField(required=False, help_text="Address or username.")
    password = serializers.CharField(required=False, trim_whitespace=False)
    refresh_token = serializers.CharField(required=False)


class TokenResponseSerializer(serializers.Serializer[Any]):
    """RFC 6749 §5.1."""

    access_token = serializers.CharField()
    token_type = serializers.ChoiceField(choices=["Bearer"])
    expires_in = serializers.IntegerField()
    refresh_token = serializers.CharField()


class TokenErrorSerializer(serializers.Serializer[Any]):
    """RFC 6749 §5.2."""

    error = serializers.CharField()
    error_description = serializers.CharField()
