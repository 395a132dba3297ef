import django_filters
from django.core.validators import validate_ipv46_address
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field

from accounts.models import Session, User, UserQuerySet
from core.filters import FlagFilter, MomentFilter
from rbac.models import Role, RoleGrant


class UserFilter(django_filters.FilterSet):
    is_active = FlagFilter()
    is_verified = FlagFilter()
    is_staff = FlagFilter()
    role = extend_schema_field({"type": "string"})(
        django_filters.ModelChoiceFilter(
            queryset=Role.objects.all(), to_field_name="name", method="with_role", help_text="Name of a role."
        )
    )
    created_after = MomentFilter("created_at", "gte")
    created_before = MomentFilter("created_at", "lt")
    last_login_before = MomentFilter("last_login", "lt", help_text="Those who never logged in are left out.")
    search = django_filters.CharFilter(
        method="matching", max_length=254, help_text="Any part of e-mail, username or a name, case ignored."
    )

    class Meta:
        model = User
        fields: list[str] = []

    def with_role(self, users: QuerySet[User], name: str, role: Role) -> QuerySet[User]:
        return users.filter(pk__in=RoleGrant.objects.live().filter(role=role).values("user_id"))

    def matching(self, users: UserQuerySet, name: str, text: str) -> UserQuerySet:
        return users.search(text)


class SessionFilter(django_filters.FilterSet):
    user = django_filters.UUIDFilter("user_id", help_text="Id of a user.")
    ip = django_filters.CharFilter(
        "ip", max_length=45, validators=[validate_ipv46_address], help_text="The exact address."
    )
    last_used_before = MomentFilter("last_used_at", "lt")

    class Meta:
        model = Session
        fields: list[str] = []
