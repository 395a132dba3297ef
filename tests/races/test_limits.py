"""The limit on failures is exact however many try at once, and nobody who is right pays for the crowd."""

import pytest

from tests.races import naive, people
from tests.races.callers import Call, address
from tests.races.crowd import CALLERS, FEW_ROUNDS, Crowd, codes, post, repeat, statuses, turns_red
from tests.races.people import PASSWORD, Person

LIMIT = 10


def log_in(person: Person, ip: str, password: str) -> Call:
    return post("/auth/login", ip=ip, email=person.email, password=password)


def guesses_from_one_address(crowd: Crowd) -> None:
    person, ip = crowd.once(people.person), address()
    answers = crowd.all_at_once([log_in(person, ip, f"Wrong-horse-{place}") for place in range(CALLERS)])
    assert statuses(answers) == {401: LIMIT, 429: CALLERS - LIMIT}, "the limit is exact"
    assert codes(answers) == {"invalid_credentials": LIMIT, "too_many_attempts": CALLERS - LIMIT}
    assert all("Retry-After" in answer.headers for answer in answers if answer.status == 429)
    *here, elsewhere = crowd.all_at_once([log_in(person, ip, PASSWORD)] * 10 + [log_in(person, address(), PASSWORD)])
    assert statuses(here) == {429: 10}, "nothing tells the right password"
    assert elsewhere.status == 200, "the owner is not locked out"


def test_ten_of_a_hundred_guesses_are_looked_at(crowd):
    repeat(guesses_from_one_address, crowd)


@pytest.mark.slow
def test_nor_more_with_bcrypt(crowd):
    with crowd.under(people.bcrypt):
        guesses_from_one_address(crowd)


def test_counting_by_reading_then_writing_would_let_more_through(crowd):
    turns_red(guesses_from_one_address, crowd, naive.failures_counted_by_reading_then_writing, "the limit is exact")


def right_log_ins(crowd: Crowd) -> None:
    person, ip = crowd.once(people.person), address()
    answers = crowd.all_at_once([log_in(person, ip, PASSWORD)] * CALLERS)
    assert statuses(answers) == {200: CALLERS}, "nobody right is refused"
    assert len({answer.body["refresh"] for answer in answers}) == CALLERS


def test_a_hundred_right_log_ins_all_succeed(crowd):
    repeat(right_log_ins, crowd, FEW_ROUNDS)


def right_log_ins_that_better_the_hash(crowd: Crowd) -> None:
    """The first replaces a hash that is too weak by now; the others had read the weak one."""
    person, ip = crowd.once(people.person), address()
    crowd.once(people.weaken_hash, person)
    answers = crowd.all_at_once([log_in(person, ip, PASSWORD)] * 40)
    assert statuses(answers) == {200: 40}, "nobody right is refused"


def test_nor_is_anybody_right_refused_while_the_hash_is_replaced(crowd):
    repeat(right_log_ins_that_better_the_hash, crowd, FEW_ROUNDS)


def right_and_wrong_log_ins(crowd: Crowd) -> None:
    """A success forgives what failed before it, in the very moment in which others are failing."""
    person, ip = crowd.once(people.person), address()
    calls = [log_in(person, ip, PASSWORD if place % 2 else "Wrong-horse") for place in range(CALLERS)]
    answers = crowd.all_at_once(calls)
    assert set(statuses(answers)) <= {200, 401, 429}
    assert not [a for a in answers if a.status == 200 and a.call.body["password"] != PASSWORD]


def test_right_and_wrong_log_ins_do_not_trip_each_other(crowd):
    repeat(right_and_wrong_log_ins, crowd, FEW_ROUNDS)


def guesses_from_many_addresses(crowd: Crowd) -> None:
    person = crowd.once(people.person)
    answers = crowd.all_at_once([log_in(person, address(), "Wrong-horse") for _ in range(CALLERS)])
    assert set(statuses(answers)) <= {401, 429}
    assert crowd.once(people.failures_of, person.email) == statuses(answers)[401], "each failure is counted"


def test_failures_from_a_hundred_addresses_are_all_counted(crowd):
    repeat(guesses_from_many_addresses, crowd, FEW_ROUNDS)
