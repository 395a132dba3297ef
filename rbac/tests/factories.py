import factory

from rbac.models import Permission, Role, RoleGrant


class PermissionFactory(factory.django.DjangoModelFactory[Permission]):
    class Meta:
        model = Permission

    resource = factory.Sequence(lambda n: f"order{n}")
    action = "refund"


class RoleFactory(factory.django.DjangoModelFactory[Role]):
    """`RoleFactory(permissions=["user:read", "order:refund"])`; what does not exist yet is made."""

    class Meta:
        model = Role
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"role-{n}")

    @factory.post_generation
    def permissions(role, create, names, **kwargs):  # noqa: N805
        for name in names or ():
            resource, action = name.split(":")
            role.permissions.add(Permission.objects.get_or_create(resource=resource, action=action)[0])


class GrantFactory(factory.django.DjangoModelFactory[RoleGrant]):
    class Meta:
        model = RoleGrant

    user = factory.SubFactory("accounts.tests.factories.UserFactory")
    role = factory.SubFactory(RoleFactory)
