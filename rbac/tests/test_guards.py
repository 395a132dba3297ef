from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.tests.factories import UserFactory
from audit.models import Event
from core.actor import Actor
from core.errors import LastAdministrator, OwnAccount, PrivilegeEscalation
from rbac.guards import (
    guarded,
    holds_all,
    keeps_an_administrator,
    may_grant,
    not_own_account,
    one_at_a_time,
    outranks,
)
from rbac.models import Permission, Role, RoleGrant
from rbac.tests.factories import GrantFactory, RoleFactory
from rbac.tests.witness import acting, nothing_changes, refused, state

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("test")


@guarded
def rename(actor, role, error=None):
    Role.objects.filter(pk=role.pk).update(name="renamed")
    if error:
        raise error


@guarded
def run(actor, *changes):
    with keeps_an_administrator():
        for change in changes:
            change()


# guarded


def test_it_commits_what_is_not_refused(holder):
    role = RoleFactory()
    rename(acting(holder()), role)
    role.refresh_from_db()
    assert role.name == "renamed"
    assert not Event.objects.exists()


@pytest.mark.parametrize("refusal", [OwnAccount, PrivilegeEscalation, LastAdministrator])
def test_it_undoes_and_records_what_is_refused(holder, refusal):
    actor, role = acting(holder()), RoleFactory()
    with refused(refusal.code, "rename"), pytest.raises(refusal):
        rename(actor, role, refusal)
    event = Event.objects.get()
    assert (event.actor_id, event.target_id, event.ip) == (actor.user_id, role.pk, actor.ip)


def test_it_undoes_other_errors_without_a_record(holder):
    actor, role = acting(holder()), RoleFactory()
    with nothing_changes(), pytest.raises(ZeroDivisionError):
        rename(actor, role, ZeroDivisionError)


def test_a_refusal_in_a_guarded_service_of_another_is_recorded_once(holder):
    @guarded
    def outer(actor, role):
        rename(actor, role, PrivilegeEscalation)

    actor, role = acting(holder()), RoleFactory()
    with refused("privilege_escalation", "outer"), pytest.raises(PrivilegeEscalation):
        outer(actor, role)


@pytest.mark.django_db(transaction=True)
def test_a_refusal_is_recorded_by_a_commit_of_its_own():
    role = RoleFactory()
    with refused("own_account", "rename"), pytest.raises(OwnAccount):
        rename(Actor(), role, OwnAccount)
    assert not transaction.get_connection().in_atomic_block


def test_it_reads_anew_what_the_actor_holds(holder):
    @guarded
    def needs(actor):
        holds_all(actor, ["order:refund"])

    user = holder("order:refund")
    actor = acting(user)
    assert actor.user.has_perm("order:refund")
    RoleGrant.objects.filter(user=user).delete()  # meanwhile, in another request
    with refused("privilege_escalation", "needs"), pytest.raises(PrivilegeEscalation):
        needs(actor)


# the rails


def test_nobody_does_to_himself_what_administrators_do_to_others(admin, holder):
    with pytest.raises(OwnAccount):
        not_own_account(acting(admin), admin)
    not_own_account(acting(admin), holder())
    not_own_account(SYSTEM, admin)


def test_nobody_acts_on_a_user_above_himself(admin, holder):
    clerk, chief = holder("order:read"), holder("order:read", "order:refund")
    outranks(acting(admin), chief)
    outranks(acting(chief), clerk)
    outranks(acting(clerk), UserFactory())
    outranks(SYSTEM, admin)
    for actor, user in ((clerk, chief), (chief, admin)):
        with pytest.raises(PrivilegeEscalation):
            outranks(acting(actor), user)


def test_equals_may_act_on_each_other_and_everybody_on_himself(admin, holder):
    other = GrantFactory(role=Role.objects.get(name="admin")).user
    outranks(acting(admin), other)
    outranks(acting(admin), admin)
    user = holder("order:read")
    outranks(acting(user), user)


def test_a_deactivated_administrator_still_stands_above(admin, holder):
    admin.is_active = False
    admin.save(update_fields=["is_active"])
    with pytest.raises(PrivilegeEscalation):
        outranks(acting(holder("user:delete")), admin)


def test_an_expired_grant_lifts_nobody(holder):
    user = GrantFactory(role=Role.objects.get(name="admin"), expires_at=timezone.now()).user
    outranks(acting(holder()), user)


def test_nobody_gives_what_he_does_not_hold(holder):
    user = holder("order:read")
    holds_all(acting(user), ["order:read"])
    holds_all(acting(user), [])
    holds_all(SYSTEM, ["order:refund"])
    for actor in (acting(user), Actor()):
        with pytest.raises(PrivilegeEscalation):
            holds_all(actor, ["order:read", "order:refund"])


def test_only_an_administrator_gives_admin(admin, holder):
    role = Role.objects.get(name="admin")
    may_grant(acting(admin), role)
    may_grant(SYSTEM, role)
    everything = holder(*(p.name for p in Permission.objects.all()))
    with pytest.raises(PrivilegeEscalation):
        may_grant(acting(everything), role)


# the last administrator


def test_changes_happen_one_after_another_within_a_transaction_only(transactional_db):
    with pytest.raises(RuntimeError):
        one_at_a_time()


@pytest.mark.parametrize(
    "loss", [{"is_active": False}, {"is_verified": False}, {"password": "!unusable"}, {"password": ""}]
)
def test_the_last_administrator_keeps_what_makes_one(admin, loss):
    users = type(admin).objects.filter(pk=admin.pk)
    with refused("last_administrator", "run"), pytest.raises(LastAdministrator):
        run(SYSTEM, lambda: users.update(**loss))


@pytest.mark.parametrize("expires_at", [timezone.now(), timezone.now() + timedelta(days=999)])
def test_an_administrator_with_an_end_is_not_counted(admin, expires_at):
    with refused("last_administrator", "run"), pytest.raises(LastAdministrator):
        run(SYSTEM, lambda: RoleGrant.objects.update(expires_at=expires_at))


def test_another_administrator_is_enough(admin):
    other = GrantFactory(role=Role.objects.get(name="admin")).user
    run(SYSTEM, lambda: RoleGrant.objects.filter(user=admin).delete())
    assert list(RoleGrant.objects.values_list("user", flat=True)) == [other.pk]


def test_whoever_holds_role_assign_by_another_role_is_an_administrator(admin, holder):
    holder("role:assign")
    run(SYSTEM, lambda: RoleGrant.objects.filter(user=admin).delete())


def test_role_assign_comes_as_one_permission_not_in_pieces(admin, holder):
    holder("role:read", "user:assign")
    with refused("last_administrator", "run"), pytest.raises(LastAdministrator):
        run(SYSTEM, lambda: RoleGrant.objects.filter(user=admin).delete())


def test_where_there_was_no_administrator_none_is_missed():
    GrantFactory(role=Role.objects.get(name="admin"), user__is_verified=False)
    before = state()
    run(SYSTEM, lambda: RoleGrant.objects.all().delete())
    assert before["grants"]
    assert not RoleGrant.objects.exists()
