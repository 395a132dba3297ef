"""Whether an address has an account shows in no answer: not in status, body, headers, length or time.

Time is measured twice: roughly by the clock with the real hasher, and exactly by counting what costs time, the hashes.
"""

import re
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth import hashers

from accounts.challenges import Purpose, ask
from accounts.models import User
from accounts.services.users import create_user
from accounts.tests.browser import Browser
from accounts.tests.factories import PASSWORD, UserFactory
from core.actor import Actor
from mail.models import OutgoingMail
from tests.world import send

STATES = ["absent", "active", "inactive", "unverified", "no password", "invited", "contested"]
ADDRESS = "somebody@example.org"
WRONG = "Wrong-horse-battery-1"
ID = re.compile(r"[0-9a-f]{32}")


def person(state: str, email: str = ADDRESS, password: str = PASSWORD) -> User | None:
    """Somebody with this address, or nobody."""
    if state == "absent":
        return None
    if state == "invited":
        from accounts.addresses import parse_address

        return create_user(Actor.system("test"), parse_address(email), None, {})
    made: User = UserFactory(
        email=email,
        password=None if state == "no password" else password,
        is_active=state != "inactive",
        is_verified=state not in ("unverified", "contested"),
        password_contested=state == "contested",
    )
    if state in ("unverified", "contested"):
        ask(made, Purpose.VERIFY)
    return made


Call = Callable[[str], Any]

CALLS: dict[str, Call] = {
    "sign-up": lambda email: send("POST", "/api/v1/auth/signup", {"email": email, "password": WRONG}),
    "log-in": lambda email: send("POST", "/api/v1/auth/login", {"email": email, "password": WRONG}),
    "log-in by token": lambda email: send(
        "POST", "/api/v1/auth/token", {"grant_type": "password", "username": email, "password": WRONG}, form=True
    ),
    "forgot": lambda email: send("POST", "/api/v1/auth/password/forgot", {"email": email}),
    "resend": lambda email: send("POST", "/api/v1/auth/verify/resend", {"email": email}),
    "verify": lambda email: send("POST", "/api/v1/auth/verify", {"email": email, "code": "000000"}),
    "verify with password": lambda email: send(
        "POST", "/api/v1/auth/verify", {"email": email, "code": "000000", "password": WRONG}
    ),
    "reset": lambda email: send(
        "POST", "/api/v1/auth/password/reset", {"email": email, "code": "000000", "new_password": WRONG}
    ),
}
each_call = pytest.mark.parametrize("call", CALLS)


def seen(response: Any) -> tuple[Any, ...]:
    """All that a stranger sees, but the ids of the request. Of equal lengths if equal."""
    headers = {name: ID.sub("id", value) for name, value in response.items()}
    return response.status_code, headers, ID.sub("id", response.content.decode()), len(response.content)


@pytest.fixture
def no_code_is_right() -> Iterator[None]:
    """One in a million would be."""
    with mock.patch("accounts.challenges.code_for", return_value="999999"):
        yield


@pytest.mark.django_db
@each_call
@pytest.mark.parametrize("state", STATES[1:])
def test_the_answer_is_the_same_as_for_an_address_that_nobody_has(
    call: str, state: str, no_code_is_right: None
) -> None:
    nobody = seen(CALLS[call]("somebody@example.net"))
    person(state, "somebody@example.com")
    there = seen(CALLS[call]("somebody@example.com"))
    assert str(there).replace("example.com", "example.net") == str(nobody)


@pytest.mark.django_db
@each_call
@pytest.mark.parametrize("state", STATES[1:])
def test_it_stays_the_same_when_it_is_asked_again_and_again(call: str, state: str, no_code_is_right: None) -> None:
    """Limits count for the unknown as for the known."""
    person(state, "somebody@example.com")
    for _ in range(12):
        nobody, there = seen(CALLS[call]("somebody@example.net")), seen(CALLS[call]("somebody@example.com"))
        assert str(there).replace("example.com", "example.net") == str(nobody)


@pytest.mark.django_db
@pytest.mark.parametrize("state", STATES[1:])
def test_a_right_password_of_an_account_that_may_not_enter_looks_wrong(state: str) -> None:
    """But for `email_not_verified`, which the contract gives to whoever has the password."""
    person(state)
    answer = send("POST", "/api/v1/auth/login", {"email": ADDRESS, "password": PASSWORD})
    expected = {"active": 200, "unverified": 403, "contested": 403}
    assert answer.status_code == expected.get(state, 401)


class Hashes:
    """Counts what takes time: each call of a hasher that computes a hash."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "Hashes":
        encode = hashers.MD5PasswordHasher.encode

        def counted(hasher: Any, password: str, salt: str) -> str:
            self.count += 1
            return encode(hasher, password, salt)

        self.patch = mock.patch.object(hashers.MD5PasswordHasher, "encode", counted)
        self.patch.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.patch.stop()


EXPECTED_HASHES = {"sign-up": 1, "log-in": 1, "log-in by token": 1}


@pytest.mark.django_db
@each_call
@pytest.mark.parametrize("state", STATES)
def test_each_call_costs_the_same_number_of_hashes_for_everybody(call: str, state: str, no_code_is_right: None) -> None:
    person(state)
    with Hashes() as hashes:
        CALLS[call](ADDRESS)
    assert hashes.count == EXPECTED_HASHES.get(call, 0)


@pytest.mark.django_db
@pytest.mark.parametrize("state", STATES)
def test_a_sign_up_that_may_send_no_more_mail_still_costs_its_hash(state: str) -> None:
    person(state)
    for _ in range(5):
        CALLS["sign-up"](ADDRESS)
    mails = OutgoingMail.objects.count()
    with Hashes() as hashes:
        CALLS["sign-up"](ADDRESS)
    assert hashes.count == 1
    assert OutgoingMail.objects.count() == mails


@pytest.mark.django_db
@pytest.mark.parametrize("state", STATES)
def test_an_attempt_that_must_wait_costs_no_hash_for_anybody(state: str) -> None:
    person(state)
    for _ in range(10):
        CALLS["log-in"](ADDRESS)
    with Hashes() as hashes:
        assert CALLS["log-in"](ADDRESS).status_code == 429
    assert hashes.count == 0


@pytest.mark.django_db
def test_a_username_tells_nobody_whose_address_it_is() -> None:
    """Whether a taken username belongs to the address in the same body must not show."""
    UserFactory(email=ADDRESS, username="somebody")
    own = {"email": ADDRESS, "password": WRONG, "username": "somebody"}
    foreign = {**own, "email": "else@example.org"}
    answers = [send("POST", "/api/v1/auth/signup", body) for body in (own, foreign)]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert {**answers[0].json(), "request_id": ""} == {**answers[1].json(), "request_id": ""}


@pytest.mark.django_db
def test_only_the_owner_of_an_address_is_told_that_somebody_tried_it() -> None:
    user = person("active")
    assert user is not None
    CALLS["sign-up"](ADDRESS)
    assert list(OutgoingMail.objects.values_list("template", "to")) == [("already_registered", ADDRESS)]


def forms(email: str) -> dict[str, Callable[[Browser], Any]]:
    return {
        "sign-up": lambda browser: browser.send("/account/signup", email=email, password=WRONG),
        "log-in": lambda browser: browser.send("/account/login", email=email, password=WRONG),
        "forgot": lambda browser: browser.send("/account/forgot", email=email),
        "resend": lambda browser: browser.send("/account/verify/resend", email=email),
        "verify": lambda browser: browser.send("/account/verify", email=email, code="000000"),
        "reset": lambda browser: browser.send("/account/reset", email=email, code="000000", new_password=WRONG),
    }


@pytest.mark.django_db
@pytest.mark.parametrize("call", forms(""))
@pytest.mark.parametrize("state", STATES)
def test_each_form_costs_the_same_number_of_hashes_for_everybody(call: str, state: str, no_code_is_right: None) -> None:
    person(state)
    with Hashes() as hashes:
        forms(ADDRESS)[call](Browser())
    assert hashes.count == EXPECTED_HASHES.get(call, 0)


# --- By the clock ----------------------------------------------------------------------------------------------------

ROUNDS = 5
FACTOR = 1.8  # of a hash of a quarter of a second, on a machine that is busy with other things
CHEAP = 0.12  # seconds by which calls without a hash may differ


def seconds_of(call: str, email: str) -> float:
    """Of this thread's own work, so that what else the machine does counts for nothing."""
    started = time.thread_time()
    CALLS[call](email)
    return time.thread_time() - started


@pytest.mark.slow
@pytest.mark.real_hashing
@pytest.mark.django_db
@pytest.mark.parametrize("call", ["sign-up", "log-in", "forgot", "resend", "verify"])
def test_it_takes_as_long_for_nobody_as_for_anybody(call: str, settings: Any, no_code_is_right: None) -> None:
    """In one loop over all states, so that a busy moment of the machine strikes them alike."""
    settings.RATE_LIMITS = False
    for state in STATES:
        person(state, f"{state.replace(' ', '-')}@example.org")
    seconds_of(call, "warm-up@example.org")
    times: dict[str, list[float]] = {state: [] for state in STATES}
    for number in range(ROUNDS):
        for state in STATES:
            name = f"absent{number}" if state == "absent" else state.replace(" ", "-")
            times[state].append(seconds_of(call, f"{name}@example.org"))
    medians = {state: statistics.median(found) for state, found in times.items()}
    if call in EXPECTED_HASHES:
        assert max(medians.values()) / min(medians.values()) < FACTOR, medians
        assert min(medians.values()) > 0.02, "the hasher was not the real one"
    else:
        assert max(medians.values()) - min(medians.values()) < CHEAP, medians
