"""Of many refreshes one makes the successor; of what runs beside a deactivation nothing stays."""

import random
import time

import pytest

from tests.races import naive, people
from tests.races.callers import Answer, Call
from tests.races.crowd import CALLERS, FEW_ROUNDS, Crowd, post, repeat, statuses, succeeded, turns_red
from tests.races.people import PASSWORD, Person, SignedIn


def refreshes_of_one_token(crowd: Crowd) -> None:
    """About the turn of a second: two pairs that were signed within one second are alike."""
    mine: SignedIn = crowd.once(people.signed_in)
    time.sleep((random.uniform(0.9, 1) - time.time()) % 1)
    answers = crowd.all_at_once([post("/auth/refresh", refresh=mine.refresh)] * CALLERS)
    assert statuses(answers) == {200: CALLERS}
    pairs = {(answer.body["access"], answer.body["refresh"]) for answer in answers}
    assert len(pairs) == 1, "one successor"
    assert crowd.once(people.generation_of, mine.session) == 2, "one generation"
    assert mine.refresh not in {refresh for _, refresh in pairs}


def test_a_hundred_refreshes_of_one_token_give_one_successor(crowd):
    repeat(refreshes_of_one_token, crowd)


def test_reading_then_saving_would_give_several(crowd):
    turns_red(refreshes_of_one_token, crowd, naive.refresh_that_reads_then_saves, "one successor")


def refreshes_beside_log_outs(crowd: Crowd) -> None:
    """Who gets tokens has rotated the session, or repeats what did: else the log-out had come first."""
    person: Person = crowd.once(people.person)
    devices: list[SignedIn] = [crowd.once(people.sign_in, person.email) for _ in range(10)]
    calls = [post("/auth/refresh", refresh=device.refresh) for device in devices] * 8
    calls += [post("/auth/logout", refresh=device.refresh) for device in devices] * 2
    random.shuffle(calls)
    answers = crowd.all_at_once(calls)
    assert set(statuses(answers)) <= {200, 204, 401}
    given = {answer.call.body["refresh"] for answer in answers if answer.status == 200}
    rotated = {device.refresh for device in devices if crowd.once(people.generation_of, device.session) == 2}
    assert given == rotated, "no token after the log-out"


def test_a_refresh_that_a_log_out_overtook_gets_nothing(crowd):
    repeat(refreshes_beside_log_outs, crowd)


@pytest.mark.parametrize("race", [refreshes_of_one_token, refreshes_beside_log_outs])
def test_signing_without_looking_who_won_would_give_several(crowd, race):
    turns_red(race, crowd, naive.refresh_that_signs_whoever_won, "one successor|no token after")


def log_ins_and_refreshes_beside_a_deactivation(crowd: Crowd) -> None:
    """The deactivation comes at any moment of theirs; afterwards the account is restored, and nothing revives."""
    [boss] = crowd.once(people.administrators, 1)
    person: Person = crowd.once(people.person)
    devices: list[SignedIn] = [crowd.once(people.sign_in, person.email) for _ in range(6)]
    calls = [post("/auth/login", email=person.email, password=PASSWORD) for _ in range(CALLERS - 61)]
    calls += [post("/auth/refresh", refresh=device.refresh) for device in devices * 10]
    random.shuffle(calls)
    deactivation = Call("DELETE", f"/users/{person.id}", access=boss.access, after=random.uniform(0, 1))
    *answers, deactivated = crowd.all_at_once([*calls, deactivation])
    assert deactivated.status == 204
    assert set(statuses(answers)) <= {200, 401}
    late = [answer for answer in succeeded(answers) if answer.begun > deactivated.ended]
    assert not late, "no token after the deactivation"
    restored = crowd.all_at_once([post(f"/users/{person.id}/restore", access=boss.access)])
    assert statuses(restored) == {200: 1}
    assert_are_refused(crowd, succeeded(answers))


def assert_are_refused(crowd: Crowd, handed_out: list[Answer]) -> None:
    access = [Call("GET", "/users/me", access=answer.body["access"]) for answer in handed_out]
    refresh = [post("/auth/refresh", refresh=answer.body["refresh"]) for answer in handed_out]
    for calls in (access, refresh):
        answers = crowd.all_at_once(calls)
        assert not succeeded(answers), "every token handed out is refused"


def test_no_token_outlives_a_deactivation(crowd):
    repeat(log_ins_and_refreshes_beside_a_deactivation, crowd)


def test_looking_only_before_hashing_would_let_some_through(crowd):
    turns_red(
        log_ins_and_refreshes_beside_a_deactivation,
        crowd,
        naive.log_in_that_looks_only_before_hashing,
        "every token handed out is refused",
    )


def endings_of_the_same_sessions(crowd: Crowd) -> None:
    """Log-outs lock a session and refer to its user; what ends all sessions of a user locks both.

    The crowd takes a deadlock for a failure.
    """
    [boss] = crowd.once(people.administrators, 1)
    person: Person = crowd.once(people.person)
    devices: list[SignedIn] = [crowd.once(people.sign_in, person.email) for _ in range(12)]
    calls = [post("/auth/logout", refresh=device.refresh) for device in devices] * 3
    calls += [Call("DELETE", f"/users/{person.id}/sessions", access=boss.access) for _ in range(3)]
    calls += [Call("DELETE", f"/users/{person.id}", access=boss.access) for _ in range(3)]
    random.shuffle(calls)
    answers = crowd.all_at_once(calls)
    assert statuses(answers) == {204: len(calls)}
    assert_are_over(crowd, devices)


def assert_are_over(crowd: Crowd, devices: list[SignedIn]) -> None:
    answers = crowd.all_at_once([Call("GET", "/users/me", access=device.access) for device in devices])
    assert statuses(answers) == {401: len(devices)}


def test_endings_of_the_same_sessions_do_not_lock_each_other_out(crowd):
    repeat(endings_of_the_same_sessions, crowd, FEW_ROUNDS)


def log_ins_beside_a_new_password(crowd: Crowd) -> None:
    """Log-ins replace a hash that is too weak by now, while the owner replaces the password."""
    person: Person = crowd.once(people.person)
    device: SignedIn = crowd.once(people.sign_in, person.email)
    crowd.once(people.weaken_hash, person)
    log_ins = [post("/auth/login", email=person.email, password=PASSWORD) for _ in range(40)]
    passwords = {"current_password": PASSWORD, "new_password": "Another-horse-9"}
    change = Call("PUT", "/users/me/password", passwords, access=device.access, after=random.uniform(0, 0.5))
    *answers, changed = crowd.all_at_once([*log_ins, change])
    assert set(statuses(answers)) <= {200, 401}
    if changed.status == 204:
        assert_are_refused(crowd, succeeded(answers))


def test_log_ins_beside_a_new_password_are_let_in_or_refused(crowd):
    repeat(log_ins_beside_a_new_password, crowd, FEW_ROUNDS)
