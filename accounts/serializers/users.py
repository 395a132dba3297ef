"""What comes in about people, and how they look from outside."""

from operator import itemgetter
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.addresses import Address, parse_address
from accounts.models import User
from accounts.validators import name_validator, username_validator
from core.fields import FlagField, TextField
from rbac.models import RoleGrant
from rbac.serializers import RoleNameSerializer


@extend_schema_field({"type": "string", "format": "email", "maxLength": 254})
class AddressField(serializers.CharField):
    """An address; `accounts.addresses.Address` inside."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=254, **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        try:
            return parse_address(super().to_internal_value(data))
        except ValueError as error:
            raise serializers.ValidationError(_("Not an e-mail address."), "invalid_email") from error

    def to_representation(self, value: Any) -> str:
        return value.email if isinstance(value, Address) else str(value)


class PasswordField(TextField):
    """Byte for byte: neither trimmed nor cut. How good it is, the services decide."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(write_only=True, **kwargs)


class NameField(TextField):
    def __init__(self) -> None:
        super().__init__(
            required=False, allow_blank=True, trim_whitespace=True, max_length=150, validators=[name_validator]
        )


class UsernameField(TextField):
    def __init__(self) -> None:
        super().__init__(required=False, allow_null=True, validators=[username_validator])


class ProfileSerializer(serializers.Serializer[Any]):
    """What people say about themselves."""

    username = UsernameField()
    first_name = NameField()
    middle_name = NameField()
    last_name = NameField()
    language = serializers.ChoiceField(choices=["en", "ru"], required=False)


class ChangeMyselfSerializer(ProfileSerializer):
    pass


class CreateUserSerializer(ProfileSerializer):
    email = AddressField()
    password = PasswordField(required=False)
    is_verified = FlagField(required=False, default=False)
    is_staff = FlagField(required=False, default=False)


class ChangeUserSerializer(ProfileSerializer):
    """`email`, `is_active` and `is_staff` count only for somebody else's account (and `is_staff` with role:assign)."""

    email = AddressField(required=False)
    is_active = FlagField(required=False)
    is_staff = FlagField(required=False)


class UserSerializer(serializers.Serializer[User]):
    """A person. Here for the schema: `user_data` makes the answers, at a tenth of the cost."""

    id = serializers.UUIDField()
    email = serializers.EmailField()
    username = serializers.CharField(allow_null=True)
    first_name = serializers.CharField()
    middle_name = serializers.CharField()
    last_name = serializers.CharField()
    language = serializers.ChoiceField(choices=["en", "ru"])
    is_active = serializers.BooleanField()
    is_verified = serializers.BooleanField()
    is_staff = serializers.BooleanField()
    roles = RoleNameSerializer(many=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    last_login = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: User) -> dict[str, Any]:
        return user_data(instance)


_PLAIN = ("email", "username", "first_name", "middle_name", "last_name", "language")
_FLAGS = ("is_active", "is_verified", "is_staff")
_TIMES = ("created_at", "updated_at", "last_login")
_SAID = (*_PLAIN, *_FLAGS)
_said = itemgetter(*_SAID)


def user_data(user: User) -> dict[str, Any]:
    data: dict[str, Any] = {"id": str(user.pk)}
    for name in _SAID:
        data[name] = getattr(user, name)
    data["roles"] = roles_of(user)
    for name in _TIMES:
        data[name] = getattr(user, name)
    return data


def row_data(row: dict[str, Any]) -> dict[str, Any]:
    """As `user_data`, of a row of `UserQuerySet.as_rows`, and the moments in the words of JSON already."""
    data: dict[str, Any] = {"id": str(row["id"])}
    data.update(zip(_SAID, _said(row), strict=True))
    data["roles"] = row["live_roles"]
    for name in _TIMES:
        moment = row[name]
        data[name] = moment and moment.isoformat().replace("+00:00", "Z")
    return data


def roles_of(user: User) -> list[dict[str, str]]:
    """The live roles by name: read with the session, or else asked for here; of many, `attach_roles` asks at once."""
    if "held_roles" not in user.__dict__:
        attach_roles([user])
    return user.held_roles


def attach_roles(users: list[User]) -> None:
    for user in users:
        user.held_roles = []
    by_id = {user.pk: user for user in users}
    grants = RoleGrant.objects.live().filter(user_id__in=by_id).order_by("role__name")
    for user_id, role_id, name in grants.values_list("user_id", "role_id", "role__name"):
        by_id[user_id].held_roles.append({"id": str(role_id), "name": name})
