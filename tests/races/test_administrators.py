"""Whatever the last administrators do to each other and to themselves, one is left."""

import random

from tests.races import naive, people
from tests.races.callers import Call
from tests.races.crowd import CALLERS, Crowd, codes, post, repeat, statuses, turns_red
from tests.races.people import PASSWORD, SignedIn


def withdraws(one: SignedIn, other: SignedIn, admin: str) -> Call:
    return Call("DELETE", f"/users/{other.id}/roles/{admin}", access=one.access)


def deactivates(one: SignedIn, other: SignedIn, admin: str) -> Call:
    return Call("PATCH", f"/users/{other.id}", {"is_active": False}, access=one.access)


def deletes(one: SignedIn, other: SignedIn, admin: str) -> Call:
    return Call("DELETE", f"/users/{other.id}", access=one.access)


def resigns(one: SignedIn, other: SignedIn, admin: str) -> Call:
    return withdraws(one, one, admin)


def leaves(one: SignedIn, other: SignedIn, admin: str) -> Call:
    return Call("DELETE", "/users/me", {"password": PASSWORD}, access=one.access)


EACH_OTHER = [withdraws, deactivates, deletes]
THEMSELVES = [resigns, leaves]


def two_last_administrators(crowd: Crowd) -> None:
    one, other = crowd.once(people.administrators, 2)
    admin = crowd.once(people.role_called, "admin")
    ways = random.choices([EACH_OTHER, THEMSELVES], [3, 1])[0]
    his, hers = random.choice(ways), random.choice(ways)
    answers = crowd.all_at_once([his(one, other, admin), hers(other, one, admin)] * (CALLERS // 2))
    assert set(statuses(answers)) <= {200, 204, 401, 403, 404, 409}
    assert crowd.once(people.how_many_administrators) == 1, "one is left"


def test_two_last_administrators_leave_one(crowd):
    repeat(two_last_administrators, crowd)


def test_looking_before_the_change_would_leave_none(crowd):
    turns_red(two_last_administrators, crowd, naive.administrators_counted_before, "one is left")


def roles_of_one_name(crowd: Crowd) -> None:
    [boss] = crowd.once(people.administrators, 1)
    name = f"clerk-{random.getrandbits(64):x}"
    calls = [post("/roles", name=random.choice([name, name.upper()]), access=boss.access) for _ in range(CALLERS)]
    answers = crowd.all_at_once(calls)
    assert statuses(answers) == {201: 1, 400: CALLERS - 1}, "one role"
    assert codes(answers) == {"validation_error": CALLERS - 1}
    errors = [answer.body["errors"] for answer in answers if answer.status == 400]
    assert all([(e["field"], e["code"]) for e in each] == [("name", "taken")] for each in errors)


def test_a_hundred_roles_of_one_name_are_one_role(crowd):
    repeat(roles_of_one_name, crowd)


def test_looking_for_the_name_first_would_fail(crowd):
    turns_red(roles_of_one_name, crowd, naive.role_that_is_looked_for_then_made, "no 5xx")
