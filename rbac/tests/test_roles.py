from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Event
from core.actor import Actor
from core.errors import InvalidInput, LastAdministrator, NotFound, PrivilegeEscalation, SystemRole
from rbac.models import Permission, Role, RoleGrant
from rbac.services import change_role, create_role, delete_role, set_permissions
from rbac.tests.factories import GrantFactory, RoleFactory
from rbac.tests.witness import acting, nothing_changes, refused, told

pytestmark = pytest.mark.django_db


def test_it_makes_a_role_of_what_one_holds(holder):
    user = holder("role:write", "order:read")
    role = create_role(acting(user), "Clerk", "Reads", ["order:read"])
    assert (role.name, role.description, role.permission_names()) == ("Clerk", "Reads", ["order:read"])
    event = Event.objects.get()
    assert (event.action, event.target_id) == ("role.created", role.pk)
    assert event.details == {"role": "Clerk", "permissions": ["order:read"]}


def test_nobody_makes_a_role_of_more_than_he_holds(holder):
    user = holder("role:write")
    with refused("privilege_escalation", "create_role"), pytest.raises(PrivilegeEscalation):
        create_role(acting(user), "clerk", permissions=["role:write", "user:read"])


@pytest.mark.parametrize("name", ["clerk", "CLERK", "Admin"])
def test_a_name_is_taken_whatever_the_case(admin, name):
    RoleFactory(name="Clerk")
    with nothing_changes(), pytest.raises(InvalidInput) as error:
        create_role(acting(admin), name)
    assert told(error.value) == [("name", "taken")]


def test_unknown_permissions_are_named_by_their_place(admin):
    names = ["user:read", "no:such", "nonsense", "user:write:x"]
    with nothing_changes(), pytest.raises(InvalidInput) as error:
        create_role(acting(admin), "clerk", permissions=names)
    assert told(error.value) == [(f"permissions.{place}", "unknown") for place in (1, 2, 3)]


def test_it_changes_what_is_given_and_leaves_the_rest(admin):
    role = RoleFactory(name="clerk", description="Reads", permissions=["order:read"])
    change_role(acting(admin), role, name="Clerk")
    role.refresh_from_db()
    assert (role.name, role.description, role.permission_names()) == ("Clerk", "Reads", ["order:read"])
    change_role(acting(admin), role, description="", permissions=[])
    role.refresh_from_db()
    assert (role.name, role.description, role.permission_names()) == ("Clerk", "", [])
    assert [(e.action, e.details) for e in Event.objects.order_by("at", "pk")] == [
        ("role.changed", {"role": "clerk", "name": "Clerk"}),
        ("role.changed", {"role": "Clerk", "description": ""}),
        ("role.changed", {"role": "Clerk", "added": [], "removed": ["order:read"]}),
    ]


def test_what_changes_nothing_is_no_event(admin):
    role = RoleFactory(permissions=["order:read"])
    with nothing_changes():
        change_role(acting(admin), role, name=role.name, permissions=["order:read", "order:read"])


def test_renaming_to_a_taken_name_changes_nothing(admin):
    RoleFactory(name="Clerk")
    role = RoleFactory()
    with nothing_changes(), pytest.raises(InvalidInput) as error:
        change_role(acting(admin), role, name="cLERK", description="New")
    assert told(error.value) == [("name", "taken")]


def test_setting_permissions_moves_the_time_of_the_role(admin):
    role = RoleFactory(permissions=["order:read"])
    before = role.updated_at
    set_permissions(acting(admin), role, ["user:read"])
    role.refresh_from_db()
    assert role.updated_at > before
    assert role.permission_names() == ["user:read"]


def test_nobody_puts_into_a_role_what_he_does_not_hold(holder):
    user, role = holder("role:write"), RoleFactory()
    for attempt in (
        lambda: set_permissions(acting(user), role, ["user:read"]),
        lambda: change_role(acting(user), role, permissions=["user:read"]),
    ):
        name = "set_permissions" if "set" in attempt.__code__.co_names[0] else "change_role"
        with refused("privilege_escalation", name), pytest.raises(PrivilegeEscalation):
            attempt()


@pytest.mark.parametrize(
    ("change", "operation"),
    [
        (lambda actor, role: set_permissions(actor, role, []), "set_permissions"),
        (lambda actor, role: set_permissions(actor, role, ["role:write"]), "set_permissions"),
        (lambda actor, role: change_role(actor, role, name="new"), "change_role"),
        (change_role, "change_role"),
        (delete_role, "delete_role"),
    ],
)
def test_nobody_changes_empties_or_deletes_a_role_above_himself(holder, change, operation):
    user = holder("role:write")
    role = RoleFactory(permissions=["role:write", "order:refund"])
    with refused("privilege_escalation", operation), pytest.raises(PrivilegeEscalation):
        change(acting(user), role)


def test_nobody_makes_lasting_what_he_holds_for_a_day(holder):
    user = holder("role:write")
    own = RoleGrant.objects.get(user=user).role
    day = GrantFactory(
        user=user,
        role=RoleFactory(permissions=["order:refund"]),
        expires_at=timezone.now() + timedelta(days=1),
    )
    with refused("privilege_escalation", "set_permissions"), pytest.raises(PrivilegeEscalation):
        set_permissions(acting(user), own, ["role:write", "order:refund"])
    set_permissions(acting(user), RoleFactory(), ["order:refund"])
    assert day.user.has_perm("order:refund")


def test_admin_never_changes(admin):
    role = Role.objects.get(name="admin")
    for change in (
        lambda: change_role(acting(admin), role, name="root"),
        lambda: change_role(acting(admin), role),
        lambda: set_permissions(acting(admin), role, []),
        lambda: delete_role(acting(admin), role),
        lambda: delete_role(Actor.system("test"), role),
    ):
        with nothing_changes(), pytest.raises(SystemRole):
            change()


def test_of_user_only_the_permissions_change(admin):
    role = Role.objects.get(name="user")
    for change in (
        lambda: change_role(acting(admin), role, name="everyone"),
        lambda: change_role(acting(admin), role, description="Everyone"),
        lambda: change_role(acting(admin), role, description="Everyone", permissions=["user:read"]),
        lambda: delete_role(acting(admin), role),
    ):
        with nothing_changes(), pytest.raises(SystemRole):
            change()
    change_role(acting(admin), role, name="user", permissions=["user:read"])
    assert role.permission_names() == ["user:read"]
    set_permissions(acting(admin), role, [])
    assert role.permission_names() == []


def test_deleting_withdraws_it_from_everybody(admin):
    given = GrantFactory(role=RoleFactory(permissions=["order:refund"]))
    delete_role(acting(admin), given.role)
    assert not RoleGrant.objects.filter(user=given.user).exists()
    assert not acting(given.user).user.has_perm("order:refund")
    assert Permission.objects.filter(resource="order").exists()
    event = Event.objects.get()
    assert event.action == "role.deleted"
    assert event.details["withdrawn_from"] == 1


def test_it_deletes_nothing_twice(admin):
    role = RoleFactory()
    Role.objects.filter(pk=role.pk).delete()
    with nothing_changes(), pytest.raises(NotFound):
        delete_role(acting(admin), role)


@pytest.mark.parametrize(
    ("change", "operation"),
    [
        (delete_role, "delete_role"),
        (lambda actor, role: set_permissions(actor, role, ["role:write"]), "set_permissions"),
        (lambda actor, role: change_role(actor, role, permissions=[]), "change_role"),
    ],
)
def test_the_last_administrators_role_stays_whoever_asks(holder, change, operation):
    user = holder("role:write", "role:assign")
    role = RoleGrant.objects.get(user=user).role
    for actor in (acting(user), Actor.system("test")):
        with refused("last_administrator", operation), pytest.raises(LastAdministrator):
            change(actor, role)
