from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from accounts.models import User
from accounts.tests.factories import UserFactory
from rbac.holdings import FOR_EVER, NEVER, forget, granted, holdings, holdings_of
from rbac.models import Permission, Role
from rbac.tests.factories import GrantFactory, PermissionFactory, RoleFactory

pytestmark = pytest.mark.django_db


def test_it_tells_roles_permissions_and_reasons():
    user = UserFactory()
    tomorrow = timezone.now() + timedelta(days=1)
    GrantFactory(user=user, role=RoleFactory(name="clerk", permissions=["order:read", "order:refund"]))
    GrantFactory(user=user, role=RoleFactory(name="auditor", permissions=["order:read"]), expires_at=tomorrow)

    held = holdings(user)

    assert held.roles == ("auditor", "clerk")
    assert held.permissions == {"order:read", "order:refund"}
    assert [(g.name, g.expires_at) for g in held.because["order:read"]] == [
        ("auditor", tomorrow),
        ("clerk", None),
    ]
    assert [g.name for g in held.because["order:refund"]] == ["clerk"]


def test_a_role_without_permissions_is_still_a_role():
    grant = GrantFactory(role=RoleFactory(name="guest"))
    assert holdings(grant.user).roles == ("guest",)
    assert holdings(grant.user).permissions == frozenset()


def test_admin_holds_every_permission_also_those_made_later(admin):
    late = PermissionFactory()
    held = holdings(admin)
    assert held.permissions == {p.name for p in Permission.objects.all()}
    assert late.name in held.permissions
    assert held.roles == ("admin",)
    assert Role.objects.get(name="admin").permissions.count() == 0


def test_admin_until_tomorrow_says_so_in_its_reasons():
    tomorrow = timezone.now() + timedelta(days=1)
    grant = GrantFactory(role=Role.objects.get(name="admin"), expires_at=tomorrow)
    [because] = holdings(grant.user).because["user:read"]
    assert (because.name, because.id, because.expires_at) == ("admin", grant.role_id, tomorrow)


def test_an_expired_grant_gives_nothing():
    past = timezone.now() - timedelta(seconds=1)
    for name in ("admin", "user"):
        user = GrantFactory(role=Role.objects.get(name=name), expires_at=past).user
        assert holdings(user).roles == ()
        assert holdings(user).permissions == frozenset()


def test_strangers_and_deactivated_users_hold_nothing(admin):
    admin.is_active = False
    for nobody in (None, AnonymousUser(), UserFactory.build(), admin):
        assert holdings(nobody).permissions == frozenset()
        assert holdings(nobody).roles == ()


def test_what_was_given_to_a_deactivated_user_is_still_known(admin):
    admin.is_active = False
    assert granted(admin).roles == ("admin",)


def test_it_costs_one_query_and_is_remembered(admin, holder, django_assert_num_queries):
    for user in (admin, holder("user:read", "order:refund")):
        with django_assert_num_queries(1):
            holdings(user)
            holdings(user)
            assert user.has_perm("user:read")


def test_what_was_remembered_can_be_forgotten(holder):
    user = holder("order:refund")
    assert holdings(user).permissions == {"order:refund"}
    user.grants.all().delete()
    assert holdings(user).permissions == {"order:refund"}
    forget(user)
    assert holdings(user).permissions == frozenset()


def test_it_knows_until_when_something_is_held():
    tomorrow = timezone.now() + timedelta(days=1)
    user = UserFactory()
    GrantFactory(user=user, role=RoleFactory(permissions=["a:b"]), expires_at=tomorrow)
    GrantFactory(user=user, role=RoleFactory(permissions=["a:b", "c:d"]), expires_at=tomorrow - timedelta(hours=1))
    GrantFactory(user=user, role=RoleFactory(permissions=["c:d"]))
    held = holdings(user)
    assert held.held_until("a:b") == tomorrow
    assert held.held_until("c:d") == FOR_EVER
    assert held.held_until("e:f") == NEVER


def test_it_remembers_and_forgets_through_a_lazy_user(holder, django_assert_num_queries):
    user = holder("order:refund")
    lazy: Any = SimpleLazyObject(lambda: user)  # what Django's middleware puts on a request
    with django_assert_num_queries(1):
        assert lazy.has_perm("order:refund")
        assert holdings(lazy).permissions == {"order:refund"}
    forget(lazy)
    with django_assert_num_queries(1):
        assert user.has_perm("order:refund")


def test_within_another_question_it_reads_the_same(admin):
    tomorrow = timezone.now() + timedelta(days=1)
    long_ago = timezone.now() - timedelta(days=1)
    clerk = RoleFactory(name="clerk of the day", permissions=["order:read", "order:refund"])
    nobody, somebody = UserFactory(), UserFactory()
    GrantFactory(user=somebody, role=clerk, expires_at=tomorrow)
    GrantFactory(user=somebody, role=RoleFactory(name="auditor", permissions=["order:read"]))
    GrantFactory(user=somebody, role=RoleFactory(name="guest"))
    GrantFactory(user=somebody, role=RoleFactory(name="former", permissions=["order:write"]), expires_at=long_ago)
    GrantFactory(user=admin, role=clerk, expires_at=tomorrow.replace(microsecond=7))

    for user in (nobody, somebody, admin):
        [read] = User.objects.filter(pk=user.pk).annotate(held=holdings_of("pk")).values_list("held", flat=True)
        assert read == granted(user)
    assert len(granted(somebody).grants) == 3


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no such setting")
def test_a_database_that_writes_moments_in_german_reads_the_same():
    tomorrow = timezone.now() + timedelta(days=1)
    user = GrantFactory(role=RoleFactory(name="clerk"), expires_at=tomorrow).user
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL datestyle = 'German'")
    [read] = User.objects.filter(pk=user.pk).annotate(held=holdings_of("pk")).values_list("held", flat=True)
    assert [grant.expires_at for grant in read.grants] == [tomorrow]
