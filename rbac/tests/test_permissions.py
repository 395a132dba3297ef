import pytest
from django.core.management import call_command

from audit.models import Event
from core.errors import InvalidInput, NotFound, PrivilegeEscalation
from rbac.builtin import PERMISSIONS
from rbac.errors import BuiltInPermission
from rbac.models import Permission, Role
from rbac.services import create_permission, delete_permission, sync_permissions
from rbac.tests.factories import PermissionFactory, RoleFactory
from rbac.tests.witness import acting, nothing_changes, refused, state, told

pytestmark = pytest.mark.django_db


# services


def test_it_makes_a_permission_that_only_admin_holds(admin, holder):
    user = holder("permission:write")
    permission = create_permission(acting(user), "order", "refund", "Give money back")
    assert permission.name == "order:refund"
    assert not permission.built_in
    assert acting(admin).user.has_perm("order:refund")
    assert not acting(user).user.has_perm("order:refund")
    event = Event.objects.get()
    assert (event.action, event.target_id) == ("permission.created", permission.pk)
    assert event.details == {"permission": "order:refund"}


def test_a_permission_is_made_once(admin):
    PermissionFactory(resource="order", action="refund")
    with nothing_changes(), pytest.raises(InvalidInput) as error:
        create_permission(acting(admin), "order", "refund")
    assert told(error.value) == [("resource", "taken"), ("action", "taken")]


def test_deleting_withdraws_it_from_every_role(admin):
    role = RoleFactory(name="clerk", permissions=["order:refund", "order:read"])
    permission = Permission.objects.get(resource="order", action="refund")
    delete_permission(acting(admin), permission)
    assert role.permission_names() == ["order:read"]
    event = Event.objects.get()
    assert event.action == "permission.deleted"
    assert event.details == {"permission": "order:refund", "roles": ["clerk"]}


def test_built_in_ones_stay(admin):
    with nothing_changes(), pytest.raises(BuiltInPermission):
        delete_permission(acting(admin), Permission.objects.get(resource="user", action="read"))


def test_nobody_deletes_from_a_role_above_himself(holder):
    user = holder("permission:write", "order:refund")
    RoleFactory(permissions=["order:refund", "order:close"])
    permission = Permission.objects.get(resource="order", action="refund")
    with refused("privilege_escalation", "delete_permission"), pytest.raises(PrivilegeEscalation):
        delete_permission(acting(user), permission)


def test_what_no_role_holds_may_be_deleted_by_whoever_made_it(holder):
    user = holder("permission:write")
    delete_permission(acting(user), create_permission(acting(user), "order", "refund"))
    assert not Permission.objects.filter(resource="order").exists()


def test_it_deletes_nothing_twice(admin):
    permission = PermissionFactory()
    Permission.objects.filter(pk=permission.pk).delete()
    with nothing_changes(), pytest.raises(NotFound):
        delete_permission(acting(admin), permission)


# what is built in


def test_migrating_makes_what_is_built_in():
    assert {p.name: p.description for p in Permission.objects.filter(built_in=True)} == PERMISSIONS
    assert sorted(Role.objects.values_list("name", flat=True)) == ["admin", "user"]


def test_syncing_again_changes_nothing():
    with nothing_changes():
        sync_permissions()
        call_command("sync_permissions", verbosity=0)


def test_syncing_mends_what_is_built_in_and_leaves_the_rest():
    Permission.objects.filter(resource="user", action="read").update(built_in=False, description="Old")
    Permission.objects.filter(resource="audit").delete()
    Role.objects.get(name="user").permissions.add(PermissionFactory())
    Role.objects.filter(name="admin").delete()
    RoleFactory(permissions=["order:refund"])
    before = state()

    sync_permissions()

    assert {p.name: p.description for p in Permission.objects.filter(built_in=True)} == PERMISSIONS
    assert Role.objects.filter(name="admin").exists()
    assert state()["role_permissions"] == before["role_permissions"]


# API


def test_permissions_are_made_listed_and_deleted(call, admin):
    body = {"resource": "order", "action": "refund", "description": "Give money back", "built_in": True}
    answer = call(admin, "POST", "permissions", body)
    assert answer.status_code == 201
    made = answer.json()
    assert made == {
        "id": made["id"],
        "name": "order:refund",
        "resource": "order",
        "action": "refund",
        "description": "Give money back",
        "built_in": False,
    }
    assert answer.headers["Location"] == f"/api/v1/permissions/{made['id']}"
    assert call(admin, "GET", f"permissions/{made['id']}").json() == made

    listed = call(admin, "GET", "permissions").json()["results"]
    assert made in listed
    assert [p["name"] for p in listed] == sorted([*PERMISSIONS, "order:refund"])

    assert call(admin, "DELETE", f"permissions/{made['id']}").status_code == 204
    assert call(admin, "DELETE", f"permissions/{made['id']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {("resource", "required"), ("action", "required")}),
        ({"resource": "Order", "action": "re fund"}, {("resource", "invalid"), ("action", "invalid")}),
        ({"resource": "order\n", "action": "a" * 51}, {("resource", "invalid"), ("action", "max_length")}),
        ({"resource": "user", "action": "read"}, {("resource", "taken"), ("action", "taken")}),
    ],
)
def test_a_bad_permission_is_refused_by_field(call, admin, body, errors):
    with nothing_changes():
        answer = call(admin, "POST", "permissions", body)
    assert answer.status_code == 400
    assert errors <= {(e["field"], e["code"]) for e in answer.json()["errors"]}


def test_built_in_ones_are_409(call, admin):
    permission = Permission.objects.get(resource="user", action="read")
    with nothing_changes():
        answer = call(admin, "DELETE", f"permissions/{permission.pk}")
    assert (answer.status_code, answer.json()["code"]) == (409, "built_in_permission")


def test_each_call_needs_its_permission(call, holder):
    one = PermissionFactory()
    calls = {
        ("GET", "permissions"): "permission:read",
        ("GET", f"permissions/{one.pk}"): "permission:read",
        ("POST", "permissions"): "permission:write",
        ("DELETE", f"permissions/{one.pk}"): "permission:write",
    }
    for (method, path), needed in calls.items():
        others = holder(*(set(PERMISSIONS) - {needed}))
        with nothing_changes():
            assert call(None, method, path, {}).status_code == 401
            answer = call(others, method, path, {})
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
        assert answer.json()["required"] == needed
        assert call(holder(needed), method, path, {}).status_code in (200, 204, 400)


def test_pages_follow_each_other(call, admin):
    PermissionFactory.create_batch(3)
    first = call(admin, "GET", "permissions?page_size=10").json()
    assert len(first["results"]) == 10
    second = call(admin, "GET", first["next"].partition("/api/v1/")[2]).json()
    names = [p["name"] for p in first["results"] + second["results"]]
    assert names == sorted(p.name for p in Permission.objects.all())
