import pytest
from django.utils import timezone

from accounts.tests.factories import UserFactory
from rbac.models import Role
from rbac.tests.factories import GrantFactory, RoleFactory
from rbac.tests.witness import nothing_changes, refused

pytestmark = pytest.mark.django_db


def test_grants_are_listed_given_and_withdrawn(call, admin):
    user, role = UserFactory(), RoleFactory(name="clerk")
    path = f"users/{user.pk}/roles"
    answer = call(admin, "POST", path, {"role": "CLERK", "expires_at": "2099-01-01T00:00:00Z"})
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/{path}/{role.pk}"
    assert answer.json()["role"] == {"id": str(role.pk), "name": "clerk"}
    assert answer.json()["granted_by"] == str(admin.pk)
    assert answer.json()["expires_at"] == "2099-01-01T00:00:00Z"
    assert set(answer.json()) == {"role", "granted_by", "granted_at", "expires_at"}
    assert call(admin, "GET", path).json() == {"results": [answer.json()]}
    assert call(admin, "GET", f"{path}/{role.pk}").json() == answer.json()

    again = call(admin, "POST", path, {"role": str(role.pk)})
    assert again.status_code == 200
    assert again.json()["expires_at"] is None

    assert call(admin, "DELETE", f"{path}/{role.pk}").status_code == 204
    assert call(admin, "DELETE", f"{path}/{role.pk}").status_code == 404
    assert call(admin, "GET", f"{path}/{role.pk}").status_code == 404
    assert call(admin, "GET", path).json() == {"results": []}


def test_an_expired_grant_is_not_listed(call, admin):
    expired = GrantFactory(expires_at=timezone.now())
    assert call(admin, "GET", f"users/{expired.user_id}/roles").json() == {"results": []}


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "role", "required"),
        ({"role": "nobody"}, "role", "unknown"),
        ({"role": "019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e"}, "role", "unknown"),
        ({"role": None}, "role", "null"),
        ({"role": "user", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at", "past"),
        ({"role": "user", "expires_at": "tomorrow"}, "expires_at", "invalid"),
        ({"role": "user", "expires_at": "9999-12-31T23:59:59-10:00"}, "expires_at", "overflow"),
        ({"role": "user", "expires_at": 5}, "expires_at", "invalid"),
    ],
)
def test_a_bad_grant_is_refused_by_field(call, admin, body, field, code):
    user = UserFactory()
    with nothing_changes():
        answer = call(admin, "POST", f"users/{user.pk}/roles", body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "validation_error"
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [(field, code)]


def test_unknown_users_are_404_only_for_those_who_may_ask(call, admin, holder):
    path = "users/019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e/roles"
    role, other = RoleFactory(), holder("user:read")
    for method, rest, body in (
        ("GET", "", None),
        ("POST", "", {"role": role.name}),
        ("GET", f"/{role.pk}", None),
        ("DELETE", f"/{role.pk}", None),
    ):
        assert call(admin, method, path + rest, body).status_code == 404
        with nothing_changes():
            answer = call(other, method, path + rest, body)
        assert answer.status_code == 403
        assert answer.json()["required"] == ("role:read" if method == "GET" else "role:assign")


def test_escalation_is_refused_by_the_api(call, admin, holder):
    giver, user = holder("role:assign"), UserFactory()
    with refused("privilege_escalation", "grant"):
        answer = call(giver, "POST", f"users/{user.pk}/roles", {"role": "admin"})
    assert (answer.status_code, answer.json()["code"]) == (403, "privilege_escalation")
    with refused("privilege_escalation", "withdraw"):
        answer = call(giver, "DELETE", f"users/{admin.pk}/roles/{Role.objects.get(name='admin').pk}")
    assert (answer.status_code, answer.json()["code"]) == (403, "privilege_escalation")


def test_the_last_administrator_is_kept_by_the_api(call, admin):
    role = Role.objects.get(name="admin")
    with refused("last_administrator", "withdraw"):
        answer = call(admin, "DELETE", f"users/{admin.pk}/roles/{role.pk}")
    assert (answer.status_code, answer.json()["code"]) == (409, "last_administrator")


def test_a_grant_counts_on_the_next_request(call, admin, holder):
    user = UserFactory()
    assert call(user, "GET", "roles").status_code == 403
    role = RoleFactory(permissions=["role:read"])
    call(admin, "POST", f"users/{user.pk}/roles", {"role": role.name})
    assert call(user, "GET", "roles").status_code == 200
    call(admin, "DELETE", f"users/{user.pk}/roles/{role.pk}")
    assert call(user, "GET", "roles").status_code == 403


def test_a_users_roles_cost_the_same_however_many(call, holder, django_assert_num_queries):
    reader, user = holder("role:read"), UserFactory()
    GrantFactory.create_batch(12, user=user)
    with django_assert_num_queries(4):  # who asks, what he holds, the user, the grants
        assert len(call(reader, "GET", f"users/{user.pk}/roles").json()["results"]) == 12
