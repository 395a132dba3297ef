"""Codes and links: how often, how long and for what each can be used, and that nothing stored can be."""

from typing import Any

import pytest
from django.db.models import F

from accounts.addresses import parse_address
from accounts.models import Challenge, Counter, User
from accounts.services.users import change_user, delete_user, restore_user
from accounts.tests.clock import time_passes
from accounts.tests.factories import PASSWORD, UserFactory, signed_in
from accounts.tests.mailbox import code_in_mail, latest_challenge, mails_to, token_in_mail, wrong
from accounts.tests.steps import ANN, OTHER_PASSWORD, invited, sign_up, signed_up
from accounts.tests.witness import events, nothing_changes, problem
from audit.models import Event
from core.actor import Actor
from core.secrets import code_for, keyed_hash, link_token, read_link_token
from mail.models import OutgoingMail
from tests.client import ApiClient

pytestmark = pytest.mark.django_db

NEW = "new@example.org"
WITH_CODE = ("verify", "reset", "email_change")
PURPOSES = (*WITH_CODE, "invitation")


@pytest.fixture(autouse=True)
def windows_in_the_database(settings: Any) -> None:
    settings.REDIS_URL = ""


class Door:
    """One purpose: how its mail is asked for, and where its code or link is presented."""

    def __init__(self, purpose: str, email: str = ANN) -> None:
        self.purpose, self.email, self.to = purpose, email, email
        self.access: str | None = None
        self.api = ApiClient()
        if purpose == "verify":
            self.user = signed_up(self.api, email)
        elif purpose == "invitation":
            self.user = invited(email)
        else:
            self.user = UserFactory(email=email)
        if purpose == "email_change":
            self.to, self.access = f"new.{email}", signed_in(self.user).pair.access
        if purpose in ("reset", "email_change"):
            self.ask()

    def ask(self) -> None:
        """For the mail, or for it again."""
        if self.purpose == "reset":
            self.api.post("/auth/password/forgot", {"email": self.email})
        elif self.purpose == "email_change":
            body = {"new_email": self.to, "password": PASSWORD}
            self.api.post("/users/me/email", body, token=self.access)
        else:
            time_passes(seconds=61)
            self.api.post("/auth/verify/resend", {"email": self.email})

    @property
    def code(self) -> str:
        return code_in_mail(self.to, self.purpose)

    @property
    def link(self) -> str:
        return token_in_mail(self.to, self.purpose)

    def present(self, **proof: str) -> Any:
        """`code=` or `link=`."""
        return present(self.purpose, self.email, self.access, **proof)

    def opens(self, **proof: str) -> bool:
        return bool(self.present(**proof).status_code < 300)


def present(purpose: str, email: str, access: str | None, *, code: str = "", link: str = "") -> Any:
    body = {"token": link} if link else {"email": email, "code": code}
    if purpose == "verify":
        return ApiClient().post("/auth/verify", body)
    if purpose == "email_change":
        return ApiClient().post("/users/me/email/confirm", body, token=access)
    return ApiClient().post("/auth/password/reset", {**body, "new_password": OTHER_PASSWORD})


# Tries


@pytest.mark.parametrize("purpose", WITH_CODE)
def test_five_wrong_tries_void_the_code_but_not_its_link(purpose):
    door = Door(purpose)
    for _ in range(5):
        with nothing_changes("attempts"):
            assert door.present(code=wrong(door.code)).json()["code"] == "invalid_code"
    with nothing_changes():
        assert door.present(code=door.code).json()["code"] == "invalid_code"
    assert door.opens(link=door.link)


@pytest.mark.parametrize("purpose", WITH_CODE)
def test_the_fifth_try_may_still_be_the_right_one(purpose):
    door = Door(purpose)
    for _ in range(4):
        door.present(code=wrong(door.code))
    assert door.opens(code=door.code)


def test_tries_that_come_after_the_fifth_are_answered_alike():
    door = Door("verify")
    answers = [problem(door.present(code=wrong(door.code))) for _ in range(8)]
    assert answers == [answers[0]] * 8
    assert latest_challenge(ANN).attempts == 5


def test_wrong_links_cost_a_code_no_tries():
    door = Door("verify")
    for _ in range(10):
        door.present(link=door.link[::-1])
    assert latest_challenge(ANN).attempts == 0
    assert door.opens(code=door.code)


def test_tries_for_one_purpose_cost_another_none():
    door = Door("verify")
    door.api.post("/auth/password/forgot", {"email": ANN})
    for _ in range(5):
        present("reset", ANN, None, code=wrong(code_in_mail(ANN, "reset")))
    assert latest_challenge(ANN).attempts == 0
    assert door.opens(code=door.code)


def test_tries_for_one_account_cost_another_none():
    ann, bob = Door("verify"), Door("verify", "bob@example.org")
    for _ in range(5):
        ann.present(code=wrong(ann.code))
    assert bob.opens(code=bob.code)


@pytest.mark.parametrize("purpose", WITH_CODE)
def test_what_is_no_six_digits_is_no_code_and_costs_no_try(purpose):
    door = Door(purpose)
    for typed in (" ", "12345", "1234567", "abcdef", "-12345", "+12345", "1 2345", "1e1000", "12345\x00"):
        with nothing_changes():
            response = door.present(code=typed)
        assert (response.status_code, response.json()["code"]) == (400, "validation_error"), typed
    assert not Counter.objects.filter(key=digest_of_wrong_codes()).exists()
    assert door.opens(code=door.code)


def digest_of_wrong_codes() -> str:
    return keyed_hash(f"codes|{ANN}", "limit")


@pytest.mark.parametrize("purpose", WITH_CODE)
def test_blanks_around_a_pasted_code_do_no_harm(purpose):
    door = Door(purpose)
    assert door.opens(code=f" {door.code}\n")


# Twenty wrong codes in a day


def twenty_wrong_codes(email: str = ANN) -> None:
    for _ in range(20):
        response = ApiClient().post("/auth/verify", {"email": email, "code": "000000"})
        assert response.json()["code"] == "invalid_code"


def not_all_zero(door: Door) -> None:
    """One code in a million is the one that these tests take for wrong."""
    while door.code == "000000":
        Challenge.objects.update(voided_at=F("created_at"))
        door.ask()


@pytest.mark.parametrize("purpose", WITH_CODE)
def test_after_twenty_wrong_codes_only_links_count_for_the_account(purpose):
    door = Door(purpose)
    not_all_zero(door)
    twenty_wrong_codes()
    Challenge.objects.update(attempts=0)
    with nothing_changes():
        assert door.present(code=door.code).json()["code"] == "invalid_code"
    assert door.opens(link=door.link)


def test_after_nineteen_wrong_codes_a_code_still_counts():
    door = Door("verify")
    not_all_zero(door)
    for _ in range(19):
        present("reset", ANN, None, code="000000")
    assert door.opens(code=door.code)


def test_wrong_codes_count_together_whatever_they_were_for():
    door = Door("email_change")
    not_all_zero(door)
    for _ in range(5):
        door.present(code=wrong(door.code))
        present("reset", ANN, None, code="000000")
        present("verify", ANN, None, code="000000")
        present("verify", f" {ANN.upper()}", None, code="000000")
    door.api.post("/auth/password/forgot", {"email": ANN})
    with nothing_changes():
        assert present("reset", ANN, None, code=code_in_mail(ANN, "reset")).status_code == 400


def test_mails_carry_no_code_while_codes_do_not_count():
    door = Door("reset")
    twenty_wrong_codes()
    door.ask()
    assert list(OutgoingMail.objects.order_by("id").values_list("with_code", flat=True)) == [True, False]


def test_the_next_day_codes_count_again():
    door = Door("reset")
    not_all_zero(door)
    twenty_wrong_codes()
    time_passes(hours=23, minutes=59)
    door.ask()
    assert not door.opens(code=door.code)
    time_passes(minutes=2)
    door.ask()
    assert door.opens(code=door.code)


def test_asking_again_and_again_gives_no_more_than_twenty_tries_a_day():
    door, tries = Door("verify"), 0
    not_all_zero(door)
    for _ in range(9):
        for _ in range(5):
            challenge = latest_challenge(ANN)
            before = challenge.attempts
            door.present(code=wrong(door.code))
            challenge.refresh_from_db()
            tries += challenge.attempts - before
        time_passes(hours=1, seconds=1)
        door.ask()
    assert tries == 20
    assert not door.opens(code=door.code)
    assert door.opens(link=door.link)


def test_wrong_codes_for_one_account_leave_another_its_codes():
    bob = Door("verify", "bob@example.org")
    twenty_wrong_codes()
    assert bob.opens(code=bob.code)


def test_wrong_codes_for_an_address_that_nobody_has_count_alike():
    twenty_wrong_codes()
    door = Door("verify")
    assert not door.opens(code=door.code)
    assert door.opens(link=door.link)


# Once, not later, not the older one


def finished(door: Door, how: str) -> None:
    if how == "used":
        assert door.opens(link=door.link)
    else:
        time_passes(days=7)


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("how", ["used", "expired"])
def test_a_used_or_expired_link_is_refused(purpose, how):
    door = Door(purpose)
    finished(door, how)
    if purpose == "email_change":
        door.access = signed_in(User.objects.get()).pair.access
    with nothing_changes():
        response = door.present(link=door.link)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_link")


@pytest.mark.parametrize("purpose", WITH_CODE)
@pytest.mark.parametrize("how", ["used", "expired"])
def test_a_used_or_expired_code_is_refused(purpose, how):
    door = Door(purpose)
    code = door.code
    finished(door, how)
    if purpose == "email_change":
        door.access = signed_in(User.objects.get()).pair.access
    with nothing_changes():
        response = door.present(code=code)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_code")


@pytest.mark.parametrize("purpose", ["verify", "reset"])
def test_an_older_code_and_link_are_refused_once_newer_ones_were_made(purpose):
    door = Door(purpose)
    old_code, old_link = door.code, door.link
    time_passes(minutes=15)
    door.ask()
    with nothing_changes("attempts"):
        assert door.present(link=old_link).json()["code"] == "invalid_link"
        if old_code != door.code:
            assert door.present(code=old_code).json()["code"] == "invalid_code"
    assert door.opens(code=door.code)


def test_only_the_latest_of_several_new_addresses_can_be_confirmed():
    door = Door("email_change")
    old_code, old_link = door.code, door.link
    door.to = NEW
    door.ask()
    with nothing_changes("attempts"):
        assert door.present(link=old_link).json()["code"] == "invalid_link"
        if old_code != door.code:
            assert door.present(code=old_code).json()["code"] == "invalid_code"
    assert door.opens(code=door.code)
    assert User.objects.get().email == NEW


@pytest.mark.parametrize("purpose", WITH_CODE)
def test_asking_again_sends_the_same_while_it_lives(purpose):
    door = Door(purpose)
    code, link = door.code, door.link
    door.ask()
    assert (door.code, door.link) == (code, link)
    assert mails_to(door.to).count(purpose) == 2
    assert Challenge.objects.count() == 1


@pytest.mark.parametrize("purpose", PURPOSES)
def test_there_is_one_open_challenge_of_a_purpose(purpose):
    door = Door(purpose)
    for _ in range(3):
        time_passes(days=8)
        if door.access:
            door.access = signed_in(door.user).pair.access
        door.ask()
    assert Challenge.objects.count() == 4
    assert Challenge.objects.filter(used_at=None, voided_at=None).count() == 1


# Purposes are never mixed


# An invitation is accepted by the call that resets.
ELSEWHERE = [
    (purpose, door)
    for purpose in PURPOSES
    for door in WITH_CODE
    if purpose != door and (purpose, door) != ("invitation", "reset")
]


@pytest.mark.parametrize(("purpose", "elsewhere"), ELSEWHERE)
def test_a_link_opens_no_other_door(purpose, elsewhere):
    door = Door(purpose)
    access = door.access or signed_in(UserFactory(email="bob@example.org")).pair.access
    with nothing_changes():
        response = present(elsewhere, ANN, access, link=door.link)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_link")
    assert door.opens(link=door.link), "and its own still"


@pytest.mark.parametrize(("purpose", "elsewhere"), [*ELSEWHERE, ("invitation", "reset")])
def test_a_code_opens_no_other_door(purpose, elsewhere):
    door = Door(purpose)
    access = door.access or signed_in(UserFactory(email="bob@example.org")).pair.access
    with nothing_changes("attempts"):
        response = present(elsewhere, ANN, access, code=door.code)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_code")


@pytest.mark.parametrize("purpose", PURPOSES)
def test_codes_and_links_of_one_challenge_differ_by_purpose(purpose):
    challenge = latest_challenge(Door(purpose).to, purpose)
    others = [other for other in PURPOSES if other != purpose]
    assert link_token(challenge.pk, purpose) not in {link_token(challenge.pk, other) for other in others}
    for other in others:
        assert read_link_token(link_token(challenge.pk, purpose), other) is None
    assert len({code_for(challenge.pk, each) for each in PURPOSES}) > 1


def test_the_verification_page_does_not_reset_and_the_reset_page_does_not_verify():
    ann, bob = Door("verify"), Door("reset", "bob@example.org")
    with nothing_changes():
        for path, link in (("/account/reset", ann.link), ("/account/verify", bob.link)):
            form = {"token": link, "new_password": OTHER_PASSWORD}
            assert ApiClient().client.post(path, form).status_code == 400
    assert ann.opens(link=ann.link)
    assert bob.opens(link=bob.link)


# Nor people


def test_nobody_confirms_somebody_elses_new_address():
    door = Door("email_change")
    bob = UserFactory(email="bob@example.org")
    theirs = signed_in(bob).pair.access
    with nothing_changes("attempts"):
        assert present("email_change", ANN, theirs, link=door.link).json()["code"] == "invalid_link"
        assert present("email_change", ANN, theirs, code=door.code).json()["code"] == "invalid_code"
    assert latest_challenge(door.to, "email_change").attempts == 0, "whose code it is not, costs no try"
    assert door.opens(code=door.code)
    assert bob.email == "bob@example.org"


def test_wrong_codes_of_somebody_signed_in_count_for_their_own_account_only():
    door = Door("email_change")
    theirs = signed_in(UserFactory(email="bob@example.org")).pair.access
    for _ in range(20):
        ApiClient().post("/users/me/email/confirm", {"email": ANN, "code": wrong(door.code)}, token=theirs)
    assert door.opens(code=door.code)


def test_an_address_beside_a_token_decides_nothing():
    door = Door("verify")
    UserFactory(email="bob@example.org", is_verified=False)
    response = ApiClient().post("/auth/verify", {"email": "bob@example.org", "code": "000000", "token": door.link})
    assert response.json()["email"] == ANN
    assert not User.objects.get(email_key="bob@example.org").is_verified


# Whatever changes the credentials ends them all


def everything_open(user: User) -> dict[str, str]:
    """Codes and links of each purpose at once, for one account that somebody is signed in to."""
    api = ApiClient()
    api.post("/auth/password/forgot", {"email": user.email})
    api.post("/users/me/email", {"new_email": NEW, "password": PASSWORD}, token=signed_in(user).pair.access)
    open_ones = Challenge.objects.filter(used_at=None, voided_at=None)
    assert {challenge.purpose for challenge in open_ones} == {"reset", "email_change"}
    return {challenge.purpose: link_token(challenge.pk, challenge.purpose) for challenge in open_ones}


def by_changing_the_password(user: User) -> None:
    body = {"current_password": PASSWORD, "new_password": "Third-password-3"}
    assert ApiClient().put("/users/me/password", body, token=signed_in(user).pair.access).status_code == 204


def by_a_reset(user: User) -> None:
    assert present("reset", user.email, None, link=token_in_mail(user.email, "reset")).status_code == 204


def by_confirming_a_new_address(user: User) -> None:
    token = signed_in(user).pair.access
    assert present("email_change", ANN, token, link=token_in_mail(NEW, "email_change")).status_code == 200


def by_an_administrators_change_of_address(user: User) -> None:
    change_user(Actor.system("test"), user, {"email": parse_address("moved@example.org")})


def by_deactivation(user: User) -> None:
    delete_user(Actor.system("test"), user)


def by_closing_ones_account(user: User) -> None:
    assert ApiClient().delete("/users/me", {"password": PASSWORD}, token=signed_in(user).pair.access).status_code == 204


def by_deactivation_and_restoring(user: User) -> None:
    delete_user(Actor.system("test"), user)
    restore_user(Actor.system("test"), user)


@pytest.mark.parametrize(
    "change",
    [
        by_changing_the_password,
        by_a_reset,
        by_confirming_a_new_address,
        by_an_administrators_change_of_address,
        by_deactivation,
        by_closing_ones_account,
        by_deactivation_and_restoring,
    ],
)
def test_every_code_and_link_of_the_account_ends(change):
    user = UserFactory(email=ANN)
    links = everything_open(user)
    bystander = Door("reset", "bob@example.org")
    change(user)
    with nothing_changes():
        assert present("reset", ANN, None, link=links["reset"]).json()["code"] == "invalid_link"
        form = {"token": links["email_change"]}
        assert ApiClient().client.post("/account/verify", form).status_code == 400
    assert bystander.opens(code=bystander.code), "of nobody else"


# What is stored


def test_nothing_in_the_database_can_be_typed_or_clicked():
    doors = [Door(purpose, f"{purpose}@example.org") for purpose in PURPOSES]
    tables = (Challenge, OutgoingMail, Event, User, Counter)
    dump = str([list(model.objects.values()) for model in tables])
    for door in doors:
        assert door.link not in dump
        if door.purpose != "invitation":
            assert not [
                row
                for model in (Challenge, OutgoingMail)
                for row in model.objects.values()
                if door.code in {str(value) for value in row.values()}
            ]


def test_codes_and_links_follow_from_the_servers_key(settings):
    door = Door("verify")
    code, link = door.code, door.link
    settings.SECRET_KEY = "another key, of at least as many random letters as are asked for"
    assert door.link != link
    with nothing_changes("attempts"):
        assert not door.opens(link=link)
        if code != door.code:
            assert not door.opens(code=code)


def test_what_was_tried_is_recorded_without_the_code():
    door = Door("verify")
    typed = wrong(door.code)
    door.present(code=typed)
    door.present(link=door.link[::-1])
    assert events("user.verification_failed") == ["user.verification_failed"] * 2
    recorded = str(list(Event.objects.values_list("details", flat=True)))
    assert typed not in recorded
    assert door.link[::-1] not in recorded


def test_a_sign_up_for_the_new_address_does_not_block_its_owners_change():
    door = Door("email_change")
    stranger = ApiClient("203.0.113.66")
    assert sign_up(stranger, door.to, OTHER_PASSWORD).status_code == 202
    assert door.opens(code=door.code)
    assert User.objects.get().email == door.to
    assert stranger.post("/auth/login", {"email": door.to, "password": OTHER_PASSWORD}).status_code == 401
