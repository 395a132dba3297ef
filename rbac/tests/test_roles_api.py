import pytest

from accounts.tests.factories import UserFactory
from rbac.models import Permission, Role, RoleGrant
from rbac.tests.factories import GrantFactory, RoleFactory
from rbac.tests.witness import nothing_changes, refused

pytestmark = pytest.mark.django_db


def test_roles_are_made_read_changed_and_deleted(call, admin):
    body = {
        "name": "clerk",
        "description": "Reads",
        "permissions": ["user:read", "audit:read"],
        "system": True,
    }
    answer = call(admin, "POST", "roles", body)
    assert answer.status_code == 201
    made = answer.json()
    assert made == {
        "id": made["id"],
        "name": "clerk",
        "description": "Reads",
        "permissions": ["audit:read", "user:read"],
        "system": False,
        "created_at": made["created_at"],
        "updated_at": made["updated_at"],
    }
    path = f"roles/{made['id']}"
    assert answer.headers["Location"] == f"/api/v1/{path}"
    assert call(admin, "GET", path).json() == made

    changed = call(admin, "PATCH", path, {"name": "Reader", "permissions": ["user:read"]})
    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["permissions"]) == ("Reader", ["user:read"])
    assert call(admin, "GET", path).json() == changed.json()

    put = call(admin, "PUT", f"{path}/permissions", {"permissions": ["role:read"]})
    assert (put.status_code, put.json()["permissions"]) == (200, ["role:read"])
    assert call(admin, "GET", path).json() == put.json()

    assert call(admin, "DELETE", path).status_code == 204
    assert call(admin, "GET", path).status_code == 404


def test_admin_shows_all_permissions_and_the_system_roles_say_so(call, admin):
    roles = {role["name"]: role for role in call(admin, "GET", "roles").json()["results"]}
    assert roles["admin"]["permissions"] == sorted(p.name for p in Permission.objects.all())
    assert roles["admin"]["system"]
    assert roles["user"]["system"]
    assert roles["user"]["permissions"] == []


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "name", "required"),
        ({"name": ""}, "name", "blank"),
        ({"name": " clerk"}, "name", "invalid"),
        ({"name": "clerk\n"}, "name", "invalid"),
        ({"name": "1st"}, "name", "invalid"),
        ({"name": "a" * 51}, "name", "max_length"),
        ({"name": "c19a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e"}, "name", "invalid"),
        ({"name": "ADMIN"}, "name", "taken"),
        ({"name": "clerk", "permissions": "user:read"}, "permissions", "not_a_list"),
        ({"name": "clerk", "permissions": [1, {}]}, "permissions.1", "invalid"),
        ({"name": "clerk", "permissions": ["user:read", "no:such"]}, "permissions.1", "unknown"),
        ({"name": "clerk", "permissions": None}, "permissions", "null"),
        ({"name": "clerk", "description": 5}, "description", "invalid"),
        ({"name": "clerk", "description": "x" * 501}, "description", "max_length"),
    ],
)
def test_a_bad_role_is_refused_by_field(call, admin, body, field, code):
    with nothing_changes():
        answer = call(admin, "POST", "roles", body)
    assert answer.status_code == 400
    assert (field, code) in {(e["field"], e["code"]) for e in answer.json()["errors"]}


def test_the_system_roles_are_409(call, admin):
    role = Role.objects.get(name="admin")
    for method, path, body in (
        ("PATCH", f"roles/{role.pk}", {"description": "x"}),
        ("PUT", f"roles/{role.pk}/permissions", {"permissions": []}),
        ("DELETE", f"roles/{role.pk}", None),
        ("DELETE", f"roles/{Role.objects.get(name='user').pk}", None),
    ):
        with nothing_changes():
            answer = call(admin, method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (409, "system_role")


def test_each_call_needs_its_permission(call, holder):
    role = RoleFactory()
    calls = {
        ("GET", "roles"): "role:read",
        ("GET", f"roles/{role.pk}"): "role:read",
        ("POST", "roles"): "role:write",
        ("PATCH", f"roles/{role.pk}"): "role:write",
        ("PUT", f"roles/{role.pk}/permissions"): "role:write",
        ("DELETE", f"roles/{role.pk}"): "role:write",
    }
    everything = set(Permission.objects.filter(built_in=True))
    for (method, path), needed in calls.items():
        others = holder(*(p.name for p in everything if p.name != needed))
        with nothing_changes():
            assert call(None, method, path, {}).status_code == 401
            answer = call(others, method, path, {})
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
        assert answer.json()["required"] == needed
        assert call(holder(needed), method, path, {}).status_code in (200, 204, 400)


def test_a_change_of_a_role_counts_on_the_next_request(call, admin):
    user = UserFactory()
    role = GrantFactory(user=user).role
    assert call(user, "GET", "roles").status_code == 403
    call(admin, "PUT", f"roles/{role.pk}/permissions", {"permissions": ["role:read"]})
    assert call(user, "GET", "roles").status_code == 200
    call(admin, "PUT", f"roles/{role.pk}/permissions", {"permissions": []})
    assert call(user, "GET", "roles").status_code == 403


def test_escalation_by_a_role_one_has_is_refused_by_the_api(call, holder):
    user = holder("role:write", "role:assign")
    role = RoleGrant.objects.get(user=user).role
    with refused("privilege_escalation", "set_permissions"):
        answer = call(user, "PUT", f"roles/{role.pk}/permissions", {"permissions": ["role:write", "user:delete"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "privilege_escalation")


def test_a_page_of_roles_costs_the_same_however_long(call, admin, django_assert_num_queries):
    for size in (1, 50):
        while Role.objects.count() < size:
            RoleFactory(permissions=["order:read", "order:refund"])
        with django_assert_num_queries(5):  # who asks, what he holds, roles, theirs, and admin's permissions
            assert len(call(admin, "GET", "roles").json()["results"]) >= size
