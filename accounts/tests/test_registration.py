"""Signing up, proving the address, asking for the mail again, signing up again."""

from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher, make_password

from accounts.hashers import hash_beside
from accounts.models import Challenge, User
from accounts.tests.clock import time_passes
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.mailbox import code_in_mail, latest_challenge, mail_count, mails_to, token_in_mail, wrong
from accounts.tests.steps import ANN, OTHER_PASSWORD, gets_in, invited, log_in, sign_up, signed_up, verify
from accounts.tests.witness import events, field_codes, nothing_changes, problem
from config.settings import PASSWORD_HASHERS
from core.secrets import code_for
from mail.models import OutgoingMail
from tests.client import ApiClient

pytestmark = pytest.mark.django_db

WAITING = {"status": "unverified", "code_expires_in": 900, "resend_in": 60}


def stranger() -> ApiClient:
    return ApiClient("203.0.113.66")


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each hash that was computed."""
    computed: list[str] = []
    encode = MD5PasswordHasher.encode

    def counting(self: Any, password: str, salt: str) -> Any:
        computed.append(salt)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counting)
    return computed


def closed(email: str = ANN) -> User:
    return UserFactory(email=email, is_active=False)


# Signing up


def test_it_makes_an_account_that_waits_for_the_proof_of_its_address(api):
    response = sign_up(api, "Ann@Example.ORG")

    assert response.status_code == 202
    assert response.json() == {"email": "Ann@example.org", **WAITING}
    user = User.objects.get()
    assert (user.email, user.email_key) == ("Ann@example.org", "ann@example.org")
    assert (user.is_active, user.is_verified, user.is_staff, user.is_superuser) == (True, False, False, False)
    assert (user.joined_by, user.username, user.language) == ("signup", None, "en")
    assert [grant.role.name for grant in user.grants.all()] == ["user"]
    assert mails_to("Ann@example.org") == ["verify"]
    assert events() == ["role.granted", "user.signed_up"]


def test_it_keeps_what_the_person_says_about_themselves(api):
    said = {
        "username": "Ann_L-9.",
        "first_name": "Анна",
        "middle_name": "O'Brien",
        "last_name": "李 " * 70,
        "language": "ru",
    }
    user = signed_up(api, **said)
    assert {name: getattr(user, name) for name in said} == {**said, "last_name": said["last_name"].strip()}
    assert OutgoingMail.objects.get().language == "ru"


def test_it_ignores_whatever_else_is_sent(api):
    mine = "01890000-0000-7000-8000-000000000000"
    user = signed_up(
        api,
        id=mine,
        is_staff=True,
        is_verified=True,
        is_active=False,
        is_superuser=True,
        roles=["admin"],
        joined_by="administrator",
        password_contested=True,
        email_key="root@example.org",
    )
    assert (user.is_staff, user.is_verified, user.is_active, user.joined_by) == (False, False, True, "signup")
    assert str(user.pk) != mine
    assert [grant.role.name for grant in user.grants.all()] == ["user"]


def test_it_keeps_no_password_in_clear(api):
    user = signed_up(api)
    assert PASSWORD not in str(User.objects.values().get())
    assert user.check_password(PASSWORD)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"email": "required", "password": "required"}),
        ({"email": "", "password": ""}, {"email": "blank", "password": "blank"}),
        ({"email": None, "password": None}, {"email": "null", "password": "null"}),
        ({"email": 7}, {"email": "invalid"}),
        ({"email": ["ann@example.org"]}, {"email": "invalid"}),
        ({"email": "ann"}, {"email": "invalid_email"}),
        ({"email": "ann@example.org\r\nBcc: bob@example.org"}, {"email": "invalid_email"}),
        ({"email": f"{'a' * 250}@example.org"}, {"email": "invalid_email"}),
        ({"password": "short-7"}, {"password": "password_too_short"}),
        ({"password": "password1"}, {"password": "password_too_common"}),
        ({"password": 12345678901}, {"password": "invalid"}),
        ({"password": {"a": 1}}, {"password": "invalid"}),
        ({"password": "nul\x00nul-nul"}, {"password": "null_characters_not_allowed"}),
        ({"username": "ab"}, {"username": "invalid_username"}),
        ({"username": "a" * 31}, {"username": "invalid_username"}),
        ({"username": "ann@example.org"}, {"username": "invalid_username"}),
        ({"username": "änn"}, {"username": "invalid_username"}),
        ({"username": "ann lee"}, {"username": "invalid_username"}),
        ({"username": 12345}, {"username": "invalid"}),
        ({"first_name": "a" * 151}, {"first_name": "max_length"}),
        ({"middle_name": "a\x07b"}, {"middle_name": "control_character"}),
        ({"last_name": "a\u202eb"}, {"last_name": "control_character"}),
        ({"last_name": ["Lee"]}, {"last_name": "invalid"}),
        ({"language": "de"}, {"language": "invalid_choice"}),
        ({"language": None}, {"language": "null"}),
    ],
)
def test_it_names_each_field_that_it_refuses(api, body, fields):
    sent = {"email": ANN, "password": PASSWORD, **body} if body else {}
    with nothing_changes():
        response = api.post("/auth/signup", sent)
    refused = field_codes(response)
    if "email" in fields and "invalid_email" in fields.values():
        assert set(refused) == {"email"}
    else:
        assert refused == fields
    assert events() == []


@pytest.mark.parametrize("typed", ["Bob", "bob", "BOB"])
def test_it_refuses_a_username_that_somebody_has_in_any_case(api, typed):
    UserFactory(username="Bob")
    with nothing_changes():
        assert field_codes(sign_up(api, username=typed)) == {"username": "taken"}
    assert events() == []


def test_a_broken_or_stale_token_keeps_nobody_from_signing_up(api):
    assert api.post("/auth/signup", {"email": ANN, "password": PASSWORD}, token="broken").status_code == 202
    assert User.objects.count() == 1


# Whether an address is taken shows nowhere


@pytest.mark.parametrize(
    ("make", "mail"),
    [
        (lambda: UserFactory(email=ANN), "already_registered"),
        (lambda: closed(), "account_closed"),
        (lambda: UserFactory(email=ANN, is_active=False, is_verified=False), "account_closed"),
        (lambda: invited(), "invitation"),
        (lambda: invited(password=PASSWORD), "verify"),
    ],
    ids=["verified", "closed", "closed before it was verified", "invited", "made by an administrator"],
)
def test_a_taken_address_gets_the_same_answer_and_its_owner_a_mail(api, make, mail):
    new = sign_up(ApiClient(), "new@example.org")
    make()
    people = list(User.objects.order_by("pk").values())
    before = mails_to(ANN)

    response = sign_up(api, ANN, OTHER_PASSWORD, first_name="Mallory")

    assert response.status_code == new.status_code == 202
    assert response.json() == {**new.json(), "email": ANN}
    assert set(response.headers) == set(new.headers)
    assert list(User.objects.order_by("pk").values()) == people, "nothing of the account changes"
    assert mails_to(ANN) == [*before, mail]
    assert events("user.sign_up_refused") == ["user.sign_up_refused"]


def test_every_spelling_of_an_address_is_the_same_address(api):
    UserFactory(email="ann@xn--bcher-kva.example", email_key="ann@xn--bcher-kva.example")
    for typed in ("ann@bücher.example", "ANN@BÜCHER.example", " ann@xn--bcher-kva.example "):
        assert sign_up(api, typed).status_code == 202
    assert User.objects.count() == 1
    assert mails_to("ann@xn--bcher-kva.example") == ["already_registered"] * 3


def test_signing_up_costs_one_hash_whoever_has_the_address(api, hashes, settings):
    UserFactory(email="verified@example.org")
    closed("closed@example.org")
    invited("invited@example.org")
    signed_up(api, "waiting@example.org")
    signed_up(api, "same@example.org", OTHER_PASSWORD)
    for name in ("new", "verified", "closed", "invited", "waiting", "same"):
        hashes.clear()
        assert sign_up(api, f"{name}@example.org", OTHER_PASSWORD).status_code == 202
        assert len(hashes) == 1, name


def test_signing_up_costs_one_hash_also_when_no_mail_may_go_out_any_more(api, hashes):
    for _ in range(6):
        hashes.clear()
        sign_up(api)
        assert len(hashes) == 1


def test_a_taken_username_does_not_tell_whose_it_is(api):
    UserFactory(email=ANN, username="ann")
    elsewhere = sign_up(api, "other@example.org", username="ann")
    at_its_owner = sign_up(api, ANN, username="ann")
    assert field_codes(elsewhere) == {"username": "taken"}
    assert problem(at_its_owner) == problem(elsewhere)


# Proving the address


def test_the_code_of_the_mail_verifies_the_account(api):
    user = signed_up(api)
    assert log_in(api).json()["code"] == "email_not_verified"

    response = verify(api)

    assert response.status_code == 200
    assert response.json() == {"email": ANN, "status": "verified", "password_needed": False}
    user.refresh_from_db()
    assert user.is_verified
    assert events("user.verified") == ["user.verified"]
    assert log_in(api).status_code == 200


def test_the_link_of_the_mail_verifies_the_account(api):
    signed_up(api)
    response = api.post("/auth/verify", {"token": token_in_mail(ANN)})
    assert (response.status_code, response.json()["email"]) == (200, ANN)
    assert gets_in()


def test_any_spelling_of_the_address_will_do_for_the_code(api):
    signed_up(api)
    assert api.post("/auth/verify", {"email": " ANN@EXAMPLE.org ", "code": code_in_mail(ANN)}).status_code == 200


def test_a_stale_token_keeps_nobody_from_verifying(api):
    signed_up(api)
    assert api.post("/auth/verify", {"token": token_in_mail(ANN)}, token="broken").status_code == 200


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"email": "required", "code": "required"}),
        ({"email": ANN}, {"code": "required"}),
        ({"code": "123456"}, {"email": "required"}),
        ({"email": ANN, "code": "12345"}, {"code": "invalid"}),
        ({"email": ANN, "code": "1234567"}, {"code": "invalid"}),
        ({"email": ANN, "code": "12345a"}, {"code": "invalid"}),
        ({"email": ANN, "code": ["123456"]}, {"code": "invalid"}),
        ({"token": 7}, {"token": "invalid"}),
        ({"token": "a" * 201}, {"token": "max_length"}),
    ],
)
def test_verifying_needs_address_and_code_or_a_token(api, body, fields):
    signed_up(api)
    with nothing_changes():
        assert field_codes(api.post("/auth/verify", body)) == fields


def test_a_wrong_code_is_refused_alike_for_known_and_unknown_addresses(api):
    signed_up(api)
    UserFactory(email="verified@example.org")
    closed("closed@example.org")
    code = wrong(code_in_mail(ANN))
    answers = []
    for email in (ANN, "verified@example.org", "closed@example.org", "nobody@example.org", "no address"):
        with nothing_changes("attempts"):
            response = api.post("/auth/verify", {"email": email, "code": code})
        assert response.status_code == 400
        answers.append(problem(response))
    assert answers[0]["code"] == "invalid_code"
    assert answers == [answers[0]] * 5
    assert events("user.verification_failed") == ["user.verification_failed"] * 5


def test_a_code_works_once_even_though_its_purpose_is_fulfilled(api):
    signed_up(api)
    assert verify(api).status_code == 200
    with nothing_changes():
        again = verify(api)
        link = api.post("/auth/verify", {"token": token_in_mail(ANN)})
    assert (again.status_code, again.json()["code"]) == (400, "invalid_code")
    assert (link.status_code, link.json()["code"]) == (400, "invalid_link")


def test_a_link_works_once_and_takes_its_code_along(api):
    signed_up(api)
    token = token_in_mail(ANN)
    assert api.post("/auth/verify", {"token": token}).status_code == 200
    with nothing_changes():
        assert api.post("/auth/verify", {"token": token}).json()["code"] == "invalid_link"
        assert verify(api).json()["code"] == "invalid_code"


def test_codes_live_for_fifteen_minutes_and_links_for_a_day(api):
    signed_up(api)
    time_passes(minutes=15)
    with nothing_changes("attempts"):
        assert verify(api).json()["code"] == "invalid_code"
    time_passes(hours=23, minutes=44)
    assert api.post("/auth/verify", {"token": token_in_mail(ANN)}).status_code == 200


def test_a_code_still_works_just_before_its_end_and_a_link_no_more_after_its_own(api):
    signed_up(api)
    signed_up(api, "bob@example.org")
    time_passes(minutes=14, seconds=50)
    assert verify(api).status_code == 200
    time_passes(hours=23, minutes=46)
    with nothing_changes():
        late = api.post("/auth/verify", {"token": token_in_mail("bob@example.org")})
    assert late.json()["code"] == "invalid_link"


def test_lifetimes_of_codes_and_links_are_settings(api, settings):
    settings.CODE_SECONDS, settings.LINK_SECONDS = 2, 4
    assert sign_up(api).json()["code_expires_in"] == 2
    time_passes(seconds=3)
    assert verify(api).status_code == 400
    assert api.post("/auth/verify", {"token": token_in_mail(ANN)}).status_code == 200


def test_the_code_of_one_account_verifies_no_other(api):
    signed_up(api)
    signed_up(api, "bob@example.org")
    if code_in_mail(ANN) != code_in_mail("bob@example.org"):
        with nothing_changes("attempts"):
            response = api.post("/auth/verify", {"email": "bob@example.org", "code": code_in_mail(ANN)})
        assert response.json()["code"] == "invalid_code"
    assert verify(api).status_code == 200


@pytest.mark.parametrize(
    "spoil", [str.upper, lambda t: t[:-1], lambda t: t + "b", lambda t: t[::-1], lambda t: "b" * 80]
)
def test_a_forged_link_is_refused(api, spoil):
    signed_up(api)
    with nothing_changes():
        response = api.post("/auth/verify", {"token": spoil(token_in_mail(ANN))})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_link")


def test_no_letter_of_a_link_can_be_changed(api):
    signed_up(api)
    token = token_in_mail(ANN)
    for place, letter in enumerate(token):
        forged = token[:place] + ("c" if letter == "b" else "b") + token[place + 1 :]
        assert api.post("/auth/verify", {"token": forged}).status_code == 400, place
    assert not User.objects.get().is_verified


@pytest.mark.parametrize("proof", ["code", "token"])
def test_verifying_never_reactivates_an_account(api, proof):
    user = signed_up(api)
    User.objects.update(is_active=False)
    body = {"email": ANN, "code": code_in_mail(ANN)} if proof == "code" else {"token": token_in_mail(ANN)}
    with nothing_changes("attempts"):
        assert api.post("/auth/verify", body).status_code == 400
    user.refresh_from_db()
    assert (user.is_active, user.is_verified) == (False, False)


def test_a_verified_account_can_be_verified_by_nobody_again(api):
    UserFactory(email=ANN)
    with nothing_changes():
        assert api.post("/auth/verify/resend", {"email": ANN}).status_code == 202
    assert mails_to(ANN) == []


# The mail again


def resend(api: ApiClient, email: str = ANN) -> Any:
    return api.post("/auth/verify/resend", {"email": email})


def test_the_mail_again_carries_the_same_code_and_link(api):
    signed_up(api)
    first = latest_challenge(ANN)
    time_passes(seconds=61)
    response = resend(api)
    assert (response.status_code, response.json()) == (202, {"email": ANN, **WAITING})
    assert mails_to(ANN) == ["verify", "verify"]
    assert latest_challenge(ANN) == first
    assert verify(api).status_code == 200


def test_there_is_at_most_one_mail_per_resend_in(api):
    signed_up(api)
    with nothing_changes():
        for _ in range(3):
            assert resend(api).json() == {"email": ANN, **WAITING}
    time_passes(seconds=61)
    resend(api)
    resend(api)
    assert mails_to(ANN) == ["verify", "verify"]


def test_a_new_code_is_made_when_the_old_one_ended_and_the_older_link_ends_with_it(api):
    signed_up(api)
    first_code, first_link = code_in_mail(ANN), token_in_mail(ANN)
    time_passes(minutes=15)
    resend(api)
    assert latest_challenge(ANN).voided_at is None
    assert token_in_mail(ANN) != first_link
    with nothing_changes("attempts"):
        assert api.post("/auth/verify", {"token": first_link}).json()["code"] == "invalid_link"
        if first_code != code_in_mail(ANN):
            assert api.post("/auth/verify", {"email": ANN, "code": first_code}).status_code == 400
    assert verify(api).status_code == 200


def test_a_new_code_is_made_when_the_old_one_has_no_tries_left(api):
    signed_up(api)
    first = latest_challenge(ANN)
    for _ in range(5):
        api.post("/auth/verify", {"email": ANN, "code": wrong(code_in_mail(ANN))})
    time_passes(seconds=61)
    resend(api)
    assert latest_challenge(ANN) != first
    assert verify(api).status_code == 200


def test_asking_again_gives_no_tries_back(api):
    signed_up(api)
    for _ in range(4):
        api.post("/auth/verify", {"email": ANN, "code": wrong(code_in_mail(ANN))})
    time_passes(seconds=61)
    resend(api)
    assert latest_challenge(ANN).attempts == 4
    api.post("/auth/verify", {"email": ANN, "code": wrong(code_in_mail(ANN))})
    assert verify(api).status_code == 400


@pytest.mark.parametrize(
    "make",
    [
        lambda: None,
        lambda: UserFactory(email=ANN),
        lambda: closed(),
        lambda: UserFactory(email=ANN, is_active=False, is_verified=False),
    ],
    ids=["unknown", "verified", "closed", "closed before it was verified"],
)
def test_where_there_is_nothing_to_prove_the_answer_is_the_same_and_no_mail_goes_out(api, make):
    make()
    with nothing_changes():
        response = resend(api)
    assert (response.status_code, response.json()) == (202, {"email": ANN, **WAITING})


def test_who_was_invited_gets_the_invitation_again(api):
    invited()
    time_passes(seconds=61)
    resend(api)
    assert mails_to(ANN) == ["invitation", "invitation"]


def test_who_was_given_a_password_gets_the_code_again(api):
    invited(password=PASSWORD)
    time_passes(seconds=61)
    resend(api)
    assert mails_to(ANN) == ["verify", "verify"]
    assert verify(api).json() == {"email": ANN, "status": "verified", "password_needed": False}
    assert gets_in()


def test_asking_again_needs_an_address(api):
    with nothing_changes():
        assert field_codes(resend(api, "ann")) == {"email": "invalid_email"}


# Signing up again


def test_it_replaces_names_and_voids_the_older_code_and_link(api):
    first = signed_up(api, username="ann", first_name="Ann", last_name="Lee", language="ru")
    old_code, old_link = code_in_mail(ANN), token_in_mail(ANN)

    again = signed_up(api, "Ann@example.org", first_name="Anne")

    assert again.pk == first.pk
    assert (again.email, again.username, again.first_name, again.last_name) == ("Ann@example.org", None, "Anne", "")
    assert again.language == "en"
    assert [grant.role.name for grant in again.grants.all()] == ["user"]
    with nothing_changes("attempts"):
        assert api.post("/auth/verify", {"token": old_link}).json()["code"] == "invalid_link"
        if old_code != code_in_mail("Ann@example.org"):
            assert api.post("/auth/verify", {"email": ANN, "code": old_code}).json()["code"] == "invalid_code"
    assert verify(api, "Ann@example.org").status_code == 200


def test_it_voids_a_reset_that_was_asked_for_before(api):
    signed_up(api)
    api.post("/auth/password/forgot", {"email": ANN})
    sign_up(api, ANN, OTHER_PASSWORD)
    with nothing_changes():
        reset = {"token": token_in_mail(ANN, "reset"), "new_password": "Third-password-3"}
        assert api.post("/auth/password/reset", reset).json()["code"] == "invalid_link"


def test_it_mails_at_once(api):
    signed_up(api)
    sign_up(api)
    assert mails_to(ANN) == ["verify", "verify"]


def test_it_may_keep_ones_own_username(api):
    signed_up(api, username="ann")
    assert signed_up(api, username="Ann").username == "Ann"


def test_it_refuses_somebody_elses_username_and_leaves_the_waiting_account_alone(api):
    UserFactory(username="bob")
    signed_up(api)
    with nothing_changes():
        assert field_codes(sign_up(api, ANN, OTHER_PASSWORD, username="BOB")) == {"username": "taken"}


def test_the_same_password_again_is_kept(api):
    signed_up(api)
    sign_up(api)
    assert verify(api).json()["password_needed"] is False
    assert gets_in()


@pytest.mark.parametrize("proof", ["code", "token"])
def test_where_passwords_differed_none_is_kept(api, proof):
    signed_up(api)
    sign_up(api, ANN, OTHER_PASSWORD)
    body = {"email": ANN, "code": code_in_mail(ANN)} if proof == "code" else {"token": token_in_mail(ANN)}

    response = api.post("/auth/verify", body)

    assert response.json() == {"email": ANN, "status": "verified", "password_needed": True}
    assert not gets_in(ANN, PASSWORD)
    assert not gets_in(ANN, OTHER_PASSWORD)
    api.post("/auth/password/forgot", {"email": ANN})
    reset = {"email": ANN, "code": code_in_mail(ANN, "reset"), "new_password": "Third-password-3"}
    assert api.post("/auth/password/reset", reset).status_code == 204
    assert gets_in(ANN, "Third-password-3")


@pytest.mark.parametrize("proof", ["code", "token"])
def test_where_passwords_differed_the_newest_is_kept_when_it_comes_with_the_proof(api, proof):
    signed_up(api)
    sign_up(api, ANN, OTHER_PASSWORD)
    body = {"email": ANN, "code": code_in_mail(ANN)} if proof == "code" else {"token": token_in_mail(ANN)}

    response = api.post("/auth/verify", {**body, "password": OTHER_PASSWORD})

    assert response.json()["password_needed"] is False
    assert gets_in(ANN, OTHER_PASSWORD)
    assert not gets_in(ANN, PASSWORD)


@pytest.mark.parametrize("carried", [PASSWORD, "neither-of-the-two", OTHER_PASSWORD + " "])
def test_where_passwords_differed_no_other_than_the_newest_counts(api, carried):
    signed_up(api)
    sign_up(api, ANN, OTHER_PASSWORD)
    assert verify(api, password=carried).json()["password_needed"] is True
    for password in (PASSWORD, OTHER_PASSWORD, carried):
        assert not gets_in(ANN, password)


def test_passwords_that_differed_once_stay_in_doubt(api):
    for password in (PASSWORD, OTHER_PASSWORD, PASSWORD, PASSWORD):
        sign_up(api, ANN, password)
    assert verify(api).json()["password_needed"] is True
    assert not gets_in(ANN, PASSWORD)


def test_a_wrong_code_with_the_right_password_verifies_nobody(api):
    signed_up(api)
    sign_up(api, ANN, OTHER_PASSWORD)
    body = {"email": ANN, "code": wrong(code_in_mail(ANN)), "password": OTHER_PASSWORD}
    with nothing_changes("attempts"):
        assert api.post("/auth/verify", body).json()["code"] == "invalid_code"


def test_a_reset_ends_the_doubt(api):
    signed_up(api)
    sign_up(api, ANN, OTHER_PASSWORD)
    api.post("/auth/password/forgot", {"email": ANN})
    reset = {"token": token_in_mail(ANN, "reset"), "new_password": "Third-password-3"}
    assert api.post("/auth/password/reset", reset).status_code == 204
    assert gets_in(ANN, "Third-password-3")
    assert verify(api).status_code == 400, "the older code is void"
    assert not User.objects.get().password_contested


@pytest.mark.parametrize("hasher", PASSWORD_HASHERS[:2])
def test_the_same_password_is_known_again_from_its_hash(settings, hasher):
    settings.PASSWORD_HASHERS = [hasher, *PASSWORD_HASHERS]
    stored = make_password(PASSWORD)
    assert hash_beside(PASSWORD, stored) == stored
    assert hash_beside(OTHER_PASSWORD, stored) != stored


# Attacks by signing up first


def test_a_stranger_who_signed_up_first_gets_nothing_from_the_owners_verification(api):
    sign_up(stranger(), ANN, OTHER_PASSWORD, username="mallory")
    sign_up(api, ANN, PASSWORD)
    assert verify(api, password=PASSWORD).json()["password_needed"] is False
    assert not gets_in(ANN, OTHER_PASSWORD)
    assert gets_in(ANN, PASSWORD)


def test_a_stranger_who_signs_up_between_the_owners_sign_up_and_verification_gets_nothing(api):
    sign_up(api, ANN, PASSWORD)
    sign_up(stranger(), ANN, OTHER_PASSWORD)
    assert verify(api, password=PASSWORD).json()["password_needed"] is True
    assert not gets_in(ANN, OTHER_PASSWORD)
    assert not gets_in(ANN, PASSWORD)


def test_a_stranger_who_signs_up_again_while_the_owner_verifies_gets_nothing(api, monkeypatch):
    """His sign-up commits between the look at the password and the lock on the account."""
    from accounts.services import registration

    sign_up(stranger(), ANN, OTHER_PASSWORD)
    sign_up(api, ANN, PASSWORD)
    token, look = token_in_mail(ANN), registration.check_password

    def overtaken(*args: Any) -> bool:
        seen = look(*args)
        User.objects.update(password=make_password(OTHER_PASSWORD))
        return seen

    monkeypatch.setattr(registration, "check_password", overtaken)
    response = api.post("/auth/verify", {"token": token, "password": PASSWORD})
    monkeypatch.undo()
    assert response.json()["password_needed"] is True
    assert not gets_in(ANN, OTHER_PASSWORD)


def test_a_stranger_who_alone_signed_up_gets_nothing_when_the_owner_verifies_with_another_password(api):
    sign_up(stranger(), ANN, OTHER_PASSWORD)
    response = verify(api, password=PASSWORD)
    assert not gets_in(ANN, OTHER_PASSWORD)
    assert response.json()["password_needed"] is True


def test_a_stranger_cannot_sign_up_over_an_account_that_was_ever_verified(api):
    user = signed_up(api)
    verify(api)
    before = User.objects.values().get()
    assert sign_up(stranger(), ANN, OTHER_PASSWORD, first_name="Mallory").status_code == 202
    assert User.objects.values().get() == before
    assert user.pk == before["id"]
    assert gets_in(ANN, PASSWORD)
    assert not gets_in(ANN, OTHER_PASSWORD)


def test_an_invited_person_cannot_be_overtaken_by_a_sign_up(api):
    user = invited()
    sign_up(stranger(), ANN, OTHER_PASSWORD)
    assert not User.objects.get().has_usable_password()
    reset = {"token": token_in_mail(ANN, "invitation"), "new_password": PASSWORD}
    assert api.post("/auth/password/reset", reset).status_code == 204
    assert not gets_in(ANN, OTHER_PASSWORD)
    assert gets_in(ANN, PASSWORD)
    assert User.objects.get().pk == user.pk


def test_a_sign_up_waits_and_signs_nobody_in(api):
    signed_up(api)
    response = log_in(api)
    assert (response.status_code, response.json()["code"]) == (403, "email_not_verified")
    assert log_in(api, ANN, OTHER_PASSWORD).json()["code"] == "invalid_credentials"
    assert User.objects.get().last_login is None


def test_an_accounts_mail_goes_to_no_address_but_its_own(api):
    signed_up(api)
    api.post("/auth/verify/resend", {"email": ANN, "to": "mallory@example.org", "new_email": "mallory@example.org"})
    api.post("/auth/password/forgot", {"email": ANN, "to": "mallory@example.org"}, host="127.0.0.1")
    assert set(OutgoingMail.objects.values_list("to", flat=True)) == {ANN}


def test_the_older_code_of_the_stranger_is_not_the_owners(api):
    """Each sign-up has a challenge of its own, so nobody tries on with what another mail carried."""
    sign_up(stranger(), ANN, OTHER_PASSWORD)
    old = Challenge.objects.get()
    sign_up(api, ANN, PASSWORD)
    old.refresh_from_db()
    assert old.voided_at is not None
    assert code_for(old.pk, "reset") != code_for(old.pk, "verify")
    assert mail_count() == 2
