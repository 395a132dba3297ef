"""Bodies of `/users/me`, and sessions."""

from typing import Any

from rest_framework import serializers

from accounts.models import Session
from accounts.serializers.auth import ProofSerializer
from accounts.serializers.users import AddressField, PasswordField


class CloseAccountSerializer(serializers.Serializer[Any]):
    password = PasswordField()


class ChangePasswordSerializer(serializers.Serializer[Any]):
    current_password = PasswordField()
    new_password = PasswordField()


class ChangeEmailSerializer(serializers.Serializer[Any]):
    new_email = AddressField()
    password = PasswordField()


class EmailChangeAskedSerializer(serializers.Serializer[Any]):
    new_email = serializers.EmailField()
    status = serializers.ChoiceField(choices=["unconfirmed"])
    code_expires_in = serializers.IntegerField()


class ConfirmEmailSerializer(ProofSerializer):
    """`code`, or `token`."""

    def needed(self) -> tuple[str, ...]:
        return ("code",)


class DeviceSerializer(serializers.Serializer[Session]):
    """One session of mine."""

    id = serializers.UUIDField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField()
    ip = serializers.IPAddressField(allow_null=True)
    device = serializers.CharField()
    current = serializers.SerializerMethodField()

    def get_current(self, session: Session) -> bool:
        return bool(session.pk == self.context["request"].auth.pk)


class PersonSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField()


class SessionSerializer(DeviceSerializer):
    """Anybody's session."""

    user = PersonSerializer()


class DevicesSerializer(serializers.Serializer[Any]):
    results = DeviceSerializer(many=True)
