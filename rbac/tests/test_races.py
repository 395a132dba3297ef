"""Many callers at once. Several processes do the same to the whole house in `tests/`."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from audit.models import Event
from core.errors import InvalidInput, LastAdministrator, NotFound, Problem
from rbac.models import Permission, Role, RoleGrant
from rbac.services import (
    create_permission,
    create_role,
    delete_permission,
    delete_role,
    grant,
    set_permissions,
    withdraw,
)
from rbac.tests.factories import GrantFactory, RoleFactory
from rbac.tests.witness import acting

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*calls):
    """What each call returned or which problem it met, all having begun together."""
    barrier = Barrier(len(calls))

    def meet(call):
        try:
            connection.ensure_connection()
            barrier.wait(10)
            return call()
        except Problem as problem:
            return problem
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(meet, calls))


@pytest.fixture
def admins(transactional_db):
    role = Role.objects.get(name="admin")
    return [acting(GrantFactory(role=role).user) for _ in range(2)]


def test_one_role_is_made_of_a_name_in_any_case(admins):
    names = ["clerk", "CLERK", "Clerk", "cLERK"] * 2
    answers = at_once(*(lambda name=name: create_role(admins[0], name) for name in names))
    assert sum(isinstance(answer, Role) for answer in answers) == 1
    problems = [answer for answer in answers if not isinstance(answer, Role)]
    assert {type(problem) for problem in problems} == {InvalidInput}
    assert {problem.errors[0]["code"] for problem in problems} == {"taken"}
    assert Event.objects.filter(action="role.created").count() == 1


def test_one_permission_is_made_of_a_name(admins):
    answers = at_once(*[lambda: create_permission(admins[0], "order", "refund")] * 8)
    assert sum(isinstance(answer, Permission) for answer in answers) == 1
    assert sum(isinstance(answer, InvalidInput) for answer in answers) == 7


def test_one_grant_is_made_of_many(admins):
    given = GrantFactory()
    role = RoleFactory()
    answers = at_once(*[lambda: grant(admins[0], acting(given.user).user, role)] * 8)
    assert sorted(is_new for _, is_new in answers) == [False] * 7 + [True]
    assert RoleGrant.objects.filter(user=given.user, role=role).count() == 1


def test_two_last_administrators_who_demote_each_other_leave_one(admins):
    one, two = admins
    role = Role.objects.get(name="admin")
    for _ in range(5):
        at_once(lambda: withdraw(one, two.user, role), lambda: withdraw(two, one.user, role))
        left = RoleGrant.objects.of_administrators()
        assert left.count() == 1
        RoleGrant.objects.all().delete()
        for actor in admins:
            GrantFactory(user=actor.user, role=role)


def test_two_last_administrators_who_resign_leave_one(admins):
    role = Role.objects.get(name="admin")
    answers = at_once(*(lambda actor=actor: withdraw(actor, actor.user, role) for actor in admins))
    assert sorted(str(type(answer).__name__) for answer in answers) == ["LastAdministrator", "NoneType"]
    assert RoleGrant.objects.of_administrators().count() == 1
    assert isinstance(next(filter(None, answers)), LastAdministrator)


def test_a_permission_deleted_meanwhile_is_unknown_never_a_failure(admins):
    for _ in range(5):
        role = RoleFactory()
        permission = create_permission(admins[0], "order", "refund")
        _, answer = at_once(
            lambda permission=permission: delete_permission(admins[0], permission),
            lambda role=role: set_permissions(admins[1], role, ["order:refund"]),
        )
        assert isinstance(answer, Role | InvalidInput)
        assert role.permission_names() == []


def test_a_role_deleted_meanwhile_is_not_found_never_a_failure(admins):
    for _ in range(5):
        given = GrantFactory()
        role = RoleFactory()
        _, answer = at_once(
            lambda role=role: delete_role(admins[0], role),
            lambda role=role, given=given: grant(admins[1], given.user, Role(pk=role.pk)),
        )
        assert isinstance(answer, tuple | NotFound)
        assert not RoleGrant.objects.filter(role_id=role.pk).exists()
