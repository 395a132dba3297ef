"""Of all processes that find no key, one makes it; and all follow a rotation in one of them."""

from tests.races import naive, people
from tests.races.callers import Call
from tests.races.crowd import FEW_ROUNDS, Crowd, post, repeat, statuses, turns_red
from tests.races.people import PASSWORD, Person, SignedIn


def first_refreshes(crowd: Crowd) -> None:
    """Refreshes and not log-ins, whose transaction SQLite gives to one after the other anyway."""
    person: Person = crowd.once(people.person)
    devices: list[SignedIn] = [crowd.once(people.sign_in, person.email) for _ in range(12)]
    before = crowd.once(people.retire_all_keys)
    answers = crowd.all_at_once([post("/auth/refresh", refresh=device.refresh) for device in devices])
    assert statuses(answers) == {200: len(devices)}
    assert crowd.once(people.how_many_keys) == before + 1, "one key"
    asked = crowd.all_at_once([Call("GET", "/users/me", access=answer.body["access"]) for answer in answers])
    assert statuses(asked) == {200: len(devices)}


def test_the_first_to_sign_at_once_make_one_key(crowd):
    repeat(first_refreshes, crowd)


def first_log_ins(crowd: Crowd) -> None:
    person: Person = crowd.once(people.person)
    before = crowd.once(people.retire_all_keys)
    answers = crowd.all_at_once([post("/auth/login", email=person.email, password=PASSWORD) for _ in range(12)])
    assert statuses(answers) == {200: 12}
    assert crowd.once(people.how_many_keys) == before + 1, "one key"


def test_the_first_log_ins_at_once_make_one_key(crowd):
    repeat(first_log_ins, crowd, FEW_ROUNDS)


def test_making_one_without_waiting_would_make_several(crowd):
    turns_red(first_refreshes, crowd, naive.first_key_without_waiting_for_others, "one key|no 5xx")


def refreshes_after_a_rotation_elsewhere(crowd: Crowd) -> None:
    person: Person = crowd.once(people.person)
    devices: list[SignedIn] = [crowd.once(people.sign_in, person.email) for _ in range(6)]
    crowd.once(people.rotate_key)
    answers = crowd.all_at_once([post("/auth/refresh", refresh=device.refresh) for device in devices] * 6)
    assert statuses(answers) == {200: 36}
    for device in devices:
        pairs = {a.body["refresh"] for a in answers if a.call.body["refresh"] == device.refresh}
        assert len(pairs) == 1, "one successor"


def test_refreshes_after_a_rotation_elsewhere_give_one_successor_each(crowd):
    repeat(refreshes_after_a_rotation_elsewhere, crowd, FEW_ROUNDS)
