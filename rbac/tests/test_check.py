import pytest

from accounts.tests.factories import UserFactory
from rbac.models import Role
from rbac.tests.factories import GrantFactory, RoleFactory
from rbac.tests.witness import nothing_changes

pytestmark = pytest.mark.django_db
UNKNOWN = "019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e"


def test_it_says_what_is_allowed_and_why_in_the_order_of_the_question(call):
    user = UserFactory()
    GrantFactory(user=user, role=RoleFactory(name="clerk", permissions=["order:refund", "order:read"]))
    GrantFactory(
        user=user,
        role=RoleFactory(name="temp", permissions=["order:refund"]),
        expires_at="2099-01-01T00:00:00Z",
    )
    answer = call(user, "POST", "permissions/check", {"checks": ["user:read", "order:refund", "no:such", "user:read"]})
    assert answer.status_code == 200
    nothing = {"permission": "user:read", "allowed": False, "because": []}
    assert answer.json() == {
        "results": [
            nothing,
            {
                "permission": "order:refund",
                "allowed": True,
                "because": [
                    {"role": "clerk", "expires_at": None},
                    {"role": "temp", "expires_at": "2099-01-01T00:00:00Z"},
                ],
            },
            {"permission": "no:such", "allowed": False, "because": []},
            nothing,
        ]
    }


def test_not_even_admin_holds_what_does_not_exist(call, admin):
    answer = call(admin, "POST", "permissions/check", {"checks": ["no:such", "user:read"]})
    assert [r["allowed"] for r in answer.json()["results"]] == [False, True]
    assert answer.json()["results"][1]["because"] == [{"role": "admin", "expires_at": None}]


def test_it_costs_the_same_for_one_and_for_a_hundred(call, holder, django_assert_num_queries):
    user = holder("order:refund")
    for checks in (["order:refund"], [f"order:a{n}" for n in range(100)]):
        with django_assert_num_queries(2):
            assert len(call(user, "POST", "permissions/check", {"checks": checks}).json()["results"]) == len(checks)


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "checks", "required"),
        ({"checks": []}, "checks", "min_length"),
        ({"checks": ["a:b"] * 101}, "checks", "max_length"),
        ({"checks": "a:b"}, "checks", "not_a_list"),
        ({"checks": ["a:b", "nonsense"]}, "checks.1", "invalid"),
        ({"checks": ["a:b", "a:b:c"]}, "checks.1", "invalid"),
        ({"checks": [" a:b"]}, "checks.0", "invalid"),
        ({"checks": ["a:b\n"]}, "checks.0", "invalid"),
        ({"checks": ["A:b"]}, "checks.0", "invalid"),
        ({"checks": [None]}, "checks.0", "null"),
        ({"checks": [["a:b"]]}, "checks.0", "invalid"),
        ({"checks": ["a:b"], "user": "me"}, "user", "invalid"),
        ({"checks": ["a:b"], "user": {}}, "user", "invalid"),
    ],
)
def test_a_malformed_question_is_refused_by_field(call, admin, body, field, code):
    with nothing_changes():
        answer = call(admin, "POST", "permissions/check", body)
    assert answer.status_code == 400
    assert (field, code) in {(e["field"], e["code"]) for e in answer.json()["errors"]}


def test_about_another_user_only_readers_of_roles_may_ask(call, holder):
    asker, user = holder("user:read"), holder("order:refund")
    for one in (str(user.pk), UNKNOWN):
        answer = call(asker, "POST", "permissions/check", {"checks": ["order:refund"], "user": one})
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
        assert answer.json()["required"] == "role:read"

    reader = holder("role:read")
    answer = call(reader, "POST", "permissions/check", {"checks": ["order:refund"], "user": str(user.pk)})
    assert answer.json()["results"][0]["allowed"] is True
    answer = call(reader, "POST", "permissions/check", {"checks": ["order:refund"], "user": UNKNOWN})
    assert answer.status_code == 404


def test_about_oneself_everybody_may_ask(call, holder):
    user = holder("order:refund")
    for one in (str(user.pk), None):
        answer = call(user, "POST", "permissions/check", {"checks": ["order:refund"], "user": one})
        assert answer.json()["results"][0]["allowed"] is True


def test_a_deactivated_user_holds_nothing(call, admin):
    user = GrantFactory(role=Role.objects.get(name="admin"), user__is_active=False).user
    answer = call(admin, "POST", "permissions/check", {"checks": ["user:read"], "user": str(user.pk)})
    assert answer.json()["results"] == [{"permission": "user:read", "allowed": False, "because": []}]


def test_strangers_ask_nothing(call, db):
    assert call(None, "POST", "permissions/check", {"checks": ["a:b"]}).status_code == 401
    assert call(None, "GET", "users/me/permissions").status_code == 401


def test_everybody_sees_his_own(call, holder, django_assert_num_queries):
    user = holder("order:refund", "audit:read")
    GrantFactory(user=user, role=RoleFactory(name="aaa"))
    with django_assert_num_queries(2):
        answer = call(user, "GET", "users/me/permissions")
    assert answer.status_code == 200
    assert answer.json()["permissions"] == ["audit:read", "order:refund"]
    assert answer.json()["roles"][0] == "aaa"
    assert set(answer.json()) == {"roles", "permissions"}


def test_a_check_changes_nothing(call, admin):
    with nothing_changes():
        call(admin, "POST", "permissions/check", {"checks": ["user:read"]})
