"""One address makes one account, and one username has one owner."""

import pytest

from tests.races import naive, people
from tests.races.crowd import CALLERS, FEW_ROUNDS, Crowd, codes, post, repeat, statuses, turns_red
from tests.races.people import PASSWORD


def sign_ups_of_one_address(crowd: Crowd) -> None:
    email = people.new_address()
    answers = crowd.all_at_once([post("/auth/signup", email=email, password=PASSWORD) for _ in range(CALLERS)])
    assert statuses(answers) == {202: CALLERS}
    assert len({str(answer.body) for answer in answers}) == 1, "the same answer"
    assert len(crowd.once(people.holders_of, email)) == 1, "one user"


def test_a_hundred_sign_ups_of_one_address_make_one_user(crowd):
    repeat(sign_ups_of_one_address, crowd)


def test_nor_do_they_where_no_limit_thins_the_crowd(crowd):
    with crowd.under(people.no_limits):
        repeat(sign_ups_of_one_address, crowd, FEW_ROUNDS)


@pytest.mark.slow
def test_nor_with_bcrypt(crowd):
    with crowd.under(people.bcrypt):
        sign_ups_of_one_address(crowd)


def test_looking_for_the_address_first_would_fail(crowd):
    turns_red(sign_ups_of_one_address, crowd, naive.sign_up_that_looks_then_creates, "no 5xx")


def sign_ups_with_one_username(crowd: Crowd) -> None:
    name = f"u{people.new_address()[:20]}"
    calls = [post("/auth/signup", email=people.new_address(), password=PASSWORD, username=name) for _ in range(CALLERS)]
    answers = crowd.all_at_once(calls)
    assert statuses(answers) == {202: 1, 400: CALLERS - 1}, "one has the name"
    assert codes(answers) == {"validation_error": CALLERS - 1}
    errors = [answer.body["errors"] for answer in answers if answer.status == 400]
    assert all([(e["field"], e["code"]) for e in each] == [("username", "taken")] for each in errors)
    losers = [answer.call.body["email"] for answer in answers if answer.status == 400]
    assert not any(crowd.once(people.holders_of, email) for email in losers[:10]), "no account without it"


def test_a_hundred_sign_ups_with_one_username_give_it_to_one(crowd):
    repeat(sign_ups_with_one_username, crowd)


def test_looking_for_the_username_first_would_fail(crowd):
    turns_red(sign_ups_with_one_username, crowd, naive.sign_up_that_looks_then_creates, "no 5xx")
