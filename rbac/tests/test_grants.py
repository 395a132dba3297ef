from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from accounts.tests.factories import UserFactory
from audit.models import Event
from core.actor import Actor
from core.errors import InvalidInput, LastAdministrator, NotFound, PrivilegeEscalation
from rbac.holdings import holdings
from rbac.models import Role, RoleGrant
from rbac.services import grant, grant_default_role, withdraw
from rbac.tests.factories import GrantFactory, RoleFactory
from rbac.tests.witness import acting, nothing_changes, refused, told

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("test")
TOMORROW = timezone.now() + timedelta(days=1)


def test_it_gives_a_role_and_records_it(admin):
    user, role, actor = UserFactory(), RoleFactory(permissions=["order:refund"]), acting(admin)
    assert not user.has_perm("order:refund")

    given, is_new = grant(actor, user, role, TOMORROW)

    assert is_new
    assert (given.user_id, given.role_id, given.granted_by_id) == (user.pk, role.pk, admin.pk)
    assert given.expires_at == TOMORROW
    assert user.has_perm("order:refund"), "the user in hand knows of it"
    event = Event.objects.get()
    assert (event.action, event.actor_id, event.target_id) == ("role.granted", admin.pk, user.pk)
    assert event.details == {"role": role.name, "expires_at": TOMORROW.isoformat()}


def test_given_again_only_the_end_changes(admin):
    first = GrantFactory(expires_at=TOMORROW)
    given, is_new = grant(acting(admin), first.user, first.role)
    assert not is_new
    assert (given.pk, given.expires_at) == (first.pk, None)
    assert (given.granted_by_id, given.granted_at) == (None, first.granted_at)


def test_an_expired_grant_is_replaced(admin):
    old = GrantFactory(expires_at=timezone.now(), granted_at=timezone.now() - timedelta(days=9))
    given, is_new = grant(acting(admin), old.user, old.role)
    assert is_new
    assert (given.expires_at, given.granted_by_id) == (None, admin.pk)
    assert given.granted_at > old.granted_at
    assert RoleGrant.objects.filter(user=old.user).count() == 1


def test_nobody_gives_a_role_that_ends_in_the_past(admin):
    user, role = UserFactory(), RoleFactory()
    with nothing_changes(), pytest.raises(InvalidInput) as error:
        grant(acting(admin), user, role, timezone.now() - timedelta(seconds=1))
    assert told(error.value) == [("expires_at", "past")]


def test_nobody_gives_a_role_above_himself(holder):
    giver, user = holder("role:assign", "order:read"), UserFactory()
    role = RoleFactory(permissions=["order:read", "order:refund"])
    for one in (role, Role.objects.get(name="admin")):
        with refused("privilege_escalation", "grant"), pytest.raises(PrivilegeEscalation):
            grant(acting(giver), user, one)


def test_nobody_gives_himself_more(holder):
    giver = holder("role:assign")
    role = RoleFactory(permissions=["order:refund"])
    with refused("privilege_escalation", "grant"), pytest.raises(PrivilegeEscalation):
        grant(acting(giver), giver, role)


def test_nobody_gives_a_role_to_somebody_above_himself(admin, holder):
    giver, role = holder("role:assign"), RoleFactory()
    with refused("privilege_escalation", "grant"), pytest.raises(PrivilegeEscalation):
        grant(acting(giver), admin, role)


def test_an_administrator_for_a_day_does_not_make_himself_one_for_ever(admin):
    role = Role.objects.get(name="admin")
    deputy = GrantFactory(role=role, expires_at=TOMORROW).user
    with refused("privilege_escalation", "grant"), pytest.raises(PrivilegeEscalation):
        grant(acting(deputy), deputy, role)
    with refused("privilege_escalation", "grant"), pytest.raises(PrivilegeEscalation):
        grant(acting(deputy), deputy, role, TOMORROW + timedelta(seconds=1))
    grant(acting(deputy), deputy, role, TOMORROW - timedelta(hours=1))


def test_whoever_holds_enough_gives_to_whom_is_below(holder):
    giver, user = holder("role:assign", "order:read"), UserFactory(is_active=False)
    role = RoleFactory(permissions=["order:read"])
    grant(acting(giver), user, role)
    assert holdings(user).roles == ()
    user.is_active = True
    assert holdings(user).roles == (role.name,)


def test_a_command_gives_everything(db):
    user = UserFactory()
    given, _ = grant(SYSTEM, user, Role.objects.get(name="admin"))
    assert given.granted_by_id is None
    assert user.is_superuser
    assert Event.objects.get().details["by"] == "test"


def test_the_last_administrator_gets_no_end(admin):
    role = Role.objects.get(name="admin")
    for actor in (acting(admin), SYSTEM):
        with refused("last_administrator", "grant"), pytest.raises(LastAdministrator):
            grant(actor, admin, role, TOMORROW)


@pytest.mark.parametrize("gone", ["user", "role"])
def test_it_gives_nothing_when_user_or_role_are_gone(admin, gone):
    user, role = UserFactory(), RoleFactory()
    model, row = (get_user_model(), user) if gone == "user" else (Role, role)
    model.objects.filter(pk=row.pk).delete()
    with nothing_changes(), pytest.raises(NotFound):
        grant(acting(admin), user, role)


def test_it_withdraws_and_records_it(admin):
    given = GrantFactory(role=RoleFactory(permissions=["order:refund"]))
    assert given.user.has_perm("order:refund")
    withdraw(acting(admin), given.user, given.role)
    assert not given.user.has_perm("order:refund")
    assert not RoleGrant.objects.filter(pk=given.pk).exists()
    event = Event.objects.get()
    assert (event.action, event.target_id) == ("role.withdrawn", given.user_id)
    assert event.details == {"role": given.role.name}


def test_nobody_withdraws_from_somebody_above_himself(admin, holder):
    giver, role = holder("role:assign"), Role.objects.get(name="admin")
    GrantFactory(role=role)
    with refused("privilege_escalation", "withdraw"), pytest.raises(PrivilegeEscalation):
        withdraw(acting(giver), admin, role)


def test_one_may_withdraw_ones_own(admin):
    other = GrantFactory(role=Role.objects.get(name="admin"))
    withdraw(acting(admin), admin, other.role)
    assert not admin.is_superuser


def test_the_last_administrator_stays_whoever_asks(admin):
    role = Role.objects.get(name="admin")
    for actor in (acting(admin), SYSTEM):
        with refused("last_administrator", "withdraw"), pytest.raises(LastAdministrator):
            withdraw(actor, admin, role)


def test_it_withdraws_nothing_that_is_not_there(admin):
    expired = GrantFactory(expires_at=timezone.now())
    for user, role in ((UserFactory(), RoleFactory()), (expired.user, expired.role)):
        with nothing_changes(), pytest.raises(NotFound):
            withdraw(acting(admin), user, role)


def test_whoever_signs_up_gets_user_though_he_holds_nothing(db):
    Role.objects.get(name="user").permissions.add(*RoleFactory(permissions=["order:read"]).permissions.all())
    user = UserFactory()
    grant_default_role(Actor(), user)
    assert holdings(user).permissions == {"order:read"}
    assert Event.objects.get().action == "role.granted"
