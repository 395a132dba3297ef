"""What a mail carries works once, and one address goes to one account."""

import pytest

from tests.races import naive, people
from tests.races.callers import Answer, Call
from tests.races.crowd import CALLERS, FEW_ROUNDS, Crowd, codes, post, repeat, statuses, turns_red
from tests.races.people import Letter, Person, SignedIn


def uses_of_one_code(crowd: Crowd) -> None:
    letter: Letter = crowd.once(people.letter, "verify")
    answers = crowd.all_at_once([post("/auth/verify", email=letter.email, code=letter.code) for _ in range(CALLERS)])
    assert statuses(answers) == {200: 1, 400: CALLERS - 1}, "it works once"
    assert codes(answers) == {"invalid_code": CALLERS - 1}


def uses_of_one_reset_link(crowd: Crowd) -> None:
    one_password_of_many_stays(crowd, crowd.once(people.letter, "reset"))


def acceptances_of_one_invitation(crowd: Crowd) -> None:
    one_password_of_many_stays(crowd, crowd.once(people.letter, "invitation"))


def one_password_of_many_stays(crowd: Crowd, letter: Letter) -> None:
    answers = crowd.all_at_once(
        [
            post("/auth/password/reset", token=letter.token, new_password=f"Correct-horse-{place}")
            for place in range(CALLERS)
        ]
    )
    assert statuses(answers) == {204: 1, 400: CALLERS - 1}, "it works once"
    assert codes(answers) == {"invalid_link": CALLERS - 1}
    assert crowd.once(people.has_password, letter.email, winner(answers).call.body["new_password"])


def winner(answers: list[Answer]) -> Answer:
    [one] = [answer for answer in answers if answer.status < 400]
    return one


def moves_to_one_address(crowd: Crowd) -> None:
    email = people.new_address()
    movers: list[SignedIn] = crowd.once(people.a_hundred_signed_in)
    letters: list[Letter] = crowd.once(people.letters_about, email, movers)
    answers = crowd.all_at_once(
        [
            post("/users/me/email/confirm", access=mover.access, **proof_of(letter, by_code=place % 2 == 0))
            for place, (mover, letter) in enumerate(zip(movers, letters, strict=True))
        ]
    )
    assert statuses(answers) == {200: 1, 409: CALLERS - 1}, "one moves"
    assert codes(answers) == {"address_taken": CALLERS - 1}
    assert crowd.once(people.holders_of, email) == [winner(answers).body["id"]]


def proof_of(letter: Letter, *, by_code: bool) -> dict[str, str]:
    return {"code": letter.code} if by_code else {"token": letter.token}


RACES = [uses_of_one_code, uses_of_one_reset_link, acceptances_of_one_invitation]


@pytest.mark.parametrize("race", RACES)
def test_of_a_hundred_uses_one_works(crowd, race):
    repeat(race, crowd)


@pytest.mark.parametrize("race", RACES)
def test_without_lock_several_would_work(crowd, race):
    turns_red(race, crowd, naive.letters_spent_without_lock, "it works once")


def test_of_a_hundred_people_one_moves_to_an_address(crowd):
    repeat(moves_to_one_address, crowd)


def test_looking_for_the_address_first_would_fail(crowd):
    turns_red(moves_to_one_address, crowd, naive.move_that_looks_then_saves, "no 5xx")


def a_proof_beside_administrators(crowd: Crowd) -> None:
    """A sign-up that nobody proved makes room for an account that administrators make; a proved one does not."""
    [boss] = crowd.once(people.administrators, 1)
    letter: Letter = crowd.once(people.letter, "verify")
    made = [post("/users", access=boss.access, email=letter.email) for _ in range(30)]
    one_has_it_and_whoever_proved_it_keeps_it(crowd, letter, made)


def a_proof_beside_moves(crowd: Crowd) -> None:
    letter: Letter = crowd.once(people.letter, "verify")
    movers: list[SignedIn] = crowd.once(people.a_hundred_signed_in)[:30]
    letters: list[Letter] = crowd.once(people.letters_about, letter.email, movers)
    moves = [
        Call("POST", "/users/me/email/confirm", {"code": each.code}, access=mover.access)
        for mover, each in zip(movers, letters, strict=True)
    ]
    one_has_it_and_whoever_proved_it_keeps_it(crowd, letter, moves)


def one_has_it_and_whoever_proved_it_keeps_it(crowd: Crowd, letter: Letter, others: list[Call]) -> None:
    before = crowd.once(people.holders_of, letter.email)
    proofs = [post("/auth/verify", email=letter.email, code=letter.code) for _ in range(3)]
    answers = crowd.all_at_once([*proofs, *others])
    assert len([answer for answer in answers if answer.status < 400]) == 1, "one has it"
    is_proved = any(answer.status == 200 for answer in answers[:3])
    assert (crowd.once(people.holders_of, letter.email) == before) == is_proved, "who proved it keeps it"


@pytest.mark.parametrize("race", [a_proof_beside_administrators, a_proof_beside_moves])
def test_an_account_that_was_proved_makes_room_for_nobody(crowd, race):
    repeat(race, crowd)


def addresses_given_by_administrators(crowd: Crowd) -> None:
    """To accounts that there are and, a little later, to new ones."""
    [boss] = crowd.once(people.administrators, 1)
    email = people.new_address()
    moved: list[Person] = [crowd.once(people.person) for _ in range(40)]
    calls = [Call("PATCH", f"/users/{person.id}", {"email": email}, access=boss.access) for person in moved]
    calls += [Call("POST", "/users", {"email": email}, access=boss.access, after=0.1) for _ in range(60)]
    answers = crowd.all_at_once(calls)
    assert len([answer for answer in answers if answer.status < 400]) == 1, "one has it"
    errors = [answer.body["errors"] for answer in answers if answer.status >= 400]
    assert all([(e["field"], e["code"]) for e in each] == [("email", "taken")] for each in errors)
    assert crowd.once(people.holders_of, email) == [winner(answers).body["id"]]


def test_of_a_hundred_accounts_that_administrators_give_one_address_one_has_it(crowd):
    repeat(addresses_given_by_administrators, crowd, FEW_ROUNDS)
