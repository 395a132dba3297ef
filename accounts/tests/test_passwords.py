"""Forgetting, resetting and changing passwords, what a password may be, and how it is kept."""

from typing import Any

import pytest
from django.contrib.auth.hashers import BCryptSHA256PasswordHasher, identify_hasher, make_password
from django.contrib.auth.password_validation import CommonPasswordValidator
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from accounts import validators
from accounts.models import Challenge, FailedLogIns, Session, User
from accounts.services import sessions
from accounts.tests.clock import time_passes
from accounts.tests.factories import PASSWORD, UserFactory, signed_in
from accounts.tests.mailbox import code_in_mail, latest_challenge, mail_count, mails_to, token_in_mail, wrong
from accounts.tests.steps import ANN, OTHER_PASSWORD, gets_in, invited, log_in, sign_up, signed_up, verify
from accounts.tests.witness import events, field_codes, nothing_changes, problem
from config.settings import PASSWORD_HASHERS
from core.actor import Actor
from core.secrets import code_for
from tests.client import ApiClient

pytestmark = pytest.mark.django_db


@pytest.fixture
def real_hashers(settings: Any) -> list[str]:
    """The cost of production."""
    settings.PASSWORD_HASHERS = list(PASSWORD_HASHERS)
    return settings.PASSWORD_HASHERS


@pytest.fixture
def ann(db: None) -> User:
    return UserFactory(email=ANN)


def forgot(api: ApiClient, email: str = ANN) -> Any:
    return api.post("/auth/password/forgot", {"email": email})


def reset(api: ApiClient, new_password: str = OTHER_PASSWORD, **proof: str) -> Any:
    """By default with the code of the latest mail."""
    proof = proof or {"email": ANN, "code": code_in_mail(ANN, "reset")}
    return api.post("/auth/password/reset", {**proof, "new_password": new_password})


def change(api: ApiClient, token: str | None, current: str, new: str) -> Any:
    return api.put("/users/me/password", {"current_password": current, "new_password": new}, token=token)


# Forgotten


def test_the_answer_is_the_same_for_every_address_and_only_accounts_get_a_mail(api, ann):
    UserFactory(email="closed@example.org", is_active=False)
    invited("invited@example.org")
    signed_up(api, "waiting@example.org")
    answers = set()
    for name in ("ann", "closed", "invited", "waiting", "nobody"):
        response = forgot(api, f"{name}@example.org")
        answers.add((response.status_code, response.content, tuple(sorted(set(response.headers) - {"X-Request-ID"}))))
    assert len(answers) == 1
    assert answers.pop()[0] == 202
    assert mails_to(ANN) == ["reset"]
    assert mails_to("closed@example.org") == ["account_closed"]
    assert mails_to("invited@example.org") == ["invitation", "reset"]
    assert mails_to("waiting@example.org") == ["verify", "reset"]
    assert mails_to("nobody@example.org") == []
    assert events("password.reset_asked") == ["password.reset_asked"] * 5


def test_asking_changes_nothing_but_the_mail(api, ann):
    signed_in(ann)
    before = User.objects.values().get()
    forgot(api)
    assert User.objects.values().get() == before
    assert Session.objects.live().count() == 1
    assert gets_in(ANN, PASSWORD)


def test_asking_again_sends_the_same_code_while_it_lives(api, ann):
    forgot(api)
    first = latest_challenge(ANN, "reset")
    forgot(api)
    assert latest_challenge(ANN, "reset") == first
    assert mails_to(ANN) == ["reset", "reset"]
    time_passes(minutes=15)
    forgot(api)
    assert latest_challenge(ANN, "reset") != first
    first.refresh_from_db()
    assert first.voided_at is not None


@pytest.mark.parametrize("email", ["", "ann", 7, None])
def test_forgetting_needs_an_address(api, ann, email):
    with nothing_changes():
        assert set(field_codes(forgot(api, email))) == {"email"}


def test_a_stale_token_keeps_nobody_from_asking_or_resetting(api, ann):
    assert api.post("/auth/password/forgot", {"email": ANN}, token="broken").status_code == 202
    body = {"token": token_in_mail(ANN, "reset"), "new_password": OTHER_PASSWORD}
    assert api.post("/auth/password/reset", body, token="broken").status_code == 204


# Reset


@pytest.mark.parametrize("proof", ["code", "token"])
def test_a_reset_sets_the_password_and_ends_everything_older(api, ann, proof):
    first, second = signed_in(ann), signed_in(ann)
    forgot(api)
    body = {"token": token_in_mail(ANN, "reset")} if proof == "token" else {}

    response = reset(api, **body)

    assert (response.status_code, response.content) == (204, b"")
    assert gets_in(ANN, OTHER_PASSWORD)
    assert not gets_in(ANN, PASSWORD)
    for pair in (first.pair, second.pair):
        assert api.get("/users/me", token=pair.access).status_code == 401
        assert api.post("/auth/refresh", {"refresh": pair.refresh}).status_code == 401
    assert mails_to(ANN)[:2] == ["reset", "password_changed"]
    assert events("password.reset") == ["password.reset"]
    assert events("session.ended") == ["session.ended"] * 2


def test_a_reset_works_once(api, ann):
    forgot(api)
    code, token = code_in_mail(ANN, "reset"), token_in_mail(ANN, "reset")
    assert reset(api, token=token).status_code == 204
    with nothing_changes():
        assert reset(api, "Third-password-3", token=token).json()["code"] == "invalid_link"
        assert reset(api, "Third-password-3", email=ANN, code=code).json()["code"] == "invalid_code"


def test_the_address_counts_as_verified_after_a_reset(api):
    signed_up(api)
    forgot(api)
    assert reset(api).status_code == 204
    assert User.objects.get().is_verified
    assert gets_in(ANN, OTHER_PASSWORD)


def test_wrong_unknown_and_closed_are_refused_alike(api, ann):
    UserFactory(email="closed@example.org", is_active=False)
    UserFactory(email="idle@example.org")
    forgot(api)
    answers = []
    for email in (ANN, "closed@example.org", "idle@example.org", "nobody@example.org", "no address"):
        with nothing_changes("attempts"):
            response = reset(api, email=email, code=wrong(code_in_mail(ANN, "reset")))
        answers.append(problem(response))
    assert answers[0]["code"] == "invalid_code"
    assert answers == [answers[0]] * 5
    assert events("password.reset_failed") == ["password.reset_failed"] * 5


def test_codes_of_resets_end_after_fifteen_minutes_and_links_after_a_day(api, ann):
    forgot(api)
    time_passes(minutes=15)
    with nothing_changes():
        assert reset(api).json()["code"] == "invalid_code"
    time_passes(hours=23, minutes=45)
    with nothing_changes():
        assert reset(api, token=token_in_mail(ANN, "reset")).json()["code"] == "invalid_link"


@pytest.mark.parametrize("proof", ["code", "token"])
def test_a_reset_never_reactivates(api, ann, proof):
    forgot(api)
    User.objects.update(is_active=False)
    with nothing_changes():
        body = {"token": token_in_mail(ANN, "reset")} if proof == "token" else {}
        assert reset(api, **body).status_code == 400
    assert not User.objects.get().is_active


def test_a_weak_password_is_refused_and_spends_nothing(api, ann):
    forgot(api)
    for weak, code in (("short-7", "password_too_short"), ("ann@example.org", "password_too_similar")):
        with nothing_changes():
            assert field_codes(reset(api, weak)) == {"new_password": code}
    assert reset(api).status_code == 204


def test_a_weak_password_is_no_way_to_try_codes_for_nothing(api, ann):
    """One that only the account's own words make weak tells apart right and wrong codes: so it costs a try."""
    forgot(api)
    for _ in range(5):
        response = reset(api, "ann@example.org", email=ANN, code=wrong(code_in_mail(ANN, "reset")))
        assert response.json()["code"] == "invalid_code"
    assert latest_challenge(ANN, "reset").attempts == 5
    assert reset(api).json()["code"] == "invalid_code"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"email": "required", "code": "required", "new_password": "required"}),
        ({"new_password": OTHER_PASSWORD}, {"email": "required", "code": "required"}),
        ({"token": "abc"}, {"new_password": "required"}),
        ({"token": "abc", "new_password": 1}, {"new_password": "invalid"}),
        ({"email": ANN, "code": "12 456", "new_password": OTHER_PASSWORD}, {"code": "invalid"}),
    ],
)
def test_a_reset_needs_proof_and_password(api, ann, body, fields):
    refused = field_codes(api.post("/auth/password/reset", body))
    assert refused.items() <= fields.items()
    assert refused


def test_a_reset_ends_every_other_code_and_link_of_the_account(api, ann):
    pair = signed_in(ann).pair
    api.post("/users/me/email", {"new_email": "new@example.org", "password": PASSWORD}, token=pair.access)
    change_token = token_in_mail("new@example.org", "email_change")
    forgot(api)
    reset(api)
    token = signed_in(ann, OTHER_PASSWORD).pair.access
    with nothing_changes():
        response = api.post("/users/me/email/confirm", {"token": change_token}, token=token)
    assert response.json()["code"] == "invalid_link"
    assert not Challenge.objects.filter(used_at=None, voided_at=None).exists()


def test_a_reset_ends_the_waiting_after_failures(api, ann):
    for _ in range(10):
        log_in(api, ANN, "wrong")
    assert log_in(api, ANN, PASSWORD).status_code == 429
    forgot(api)
    reset(api)
    assert not FailedLogIns.objects.exists()
    assert log_in(api, ANN, OTHER_PASSWORD).status_code == 200


def test_a_reset_by_link_wants_no_address_and_minds_no_wrong_one(api, ann):
    UserFactory(email="bob@example.org")
    forgot(api)
    token = token_in_mail(ANN, "reset")
    assert reset(api, token=token, email="bob@example.org").status_code == 204
    assert gets_in(ANN, OTHER_PASSWORD)
    assert not gets_in("bob@example.org", OTHER_PASSWORD)


# Invitations are accepted by the same call


def test_an_invitation_is_accepted_by_its_link(api):
    invited()
    response = reset(api, PASSWORD, token=token_in_mail(ANN, "invitation"))
    assert response.status_code == 204
    user = User.objects.get()
    assert (user.is_verified, user.joined_by) == (True, "administrator")
    assert events("user.invitation_accepted") == ["user.invitation_accepted"]
    assert gets_in(ANN, PASSWORD)


def test_an_invitation_lives_for_seven_days(api):
    invited()
    invited("late@example.org")
    time_passes(days=6, hours=23, minutes=59)
    assert reset(api, PASSWORD, token=token_in_mail(ANN, "invitation")).status_code == 204
    time_passes(minutes=1)
    with nothing_changes():
        assert reset(api, PASSWORD, token=token_in_mail("late@example.org", "invitation")).status_code == 400


def test_an_invitation_works_once(api):
    invited()
    token = token_in_mail(ANN, "invitation")
    reset(api, PASSWORD, token=token)
    with nothing_changes():
        assert reset(api, OTHER_PASSWORD, token=token).json()["code"] == "invalid_link"


def test_an_invitation_has_no_code(api):
    invited()
    challenge = latest_challenge(ANN, "invitation")
    for purpose in ("invitation", "reset", "verify"):
        with nothing_changes():
            response = reset(api, PASSWORD, email=ANN, code=code_for(challenge.pk, purpose))
        assert response.json()["code"] == "invalid_code"
    challenge.refresh_from_db()
    assert challenge.attempts == 0


def test_an_invitation_verifies_nothing_without_a_password(api):
    invited()
    with nothing_changes():
        assert api.post("/auth/verify", {"token": token_in_mail(ANN, "invitation")}).json()["code"] == "invalid_link"


def test_a_weak_password_leaves_the_invitation_open(api):
    invited()
    token = token_in_mail(ANN, "invitation")
    with nothing_changes():
        assert field_codes(reset(api, "password1", token=token)) == {"new_password": "password_too_common"}
    assert reset(api, PASSWORD, token=token).status_code == 204


def test_a_reset_ends_the_invitation(api):
    invited()
    forgot(api)
    reset(api)
    with nothing_changes():
        assert reset(api, PASSWORD, token=token_in_mail(ANN, "invitation")).status_code == 400


# Change


def test_a_change_ends_the_other_sessions_and_keeps_this_one(api, ann):
    here, there = signed_in(ann), signed_in(ann)

    assert change(api, here.pair.access, PASSWORD, OTHER_PASSWORD).status_code == 204

    assert api.get("/users/me", token=here.pair.access).status_code == 200
    assert api.post("/auth/refresh", {"refresh": here.pair.refresh}).status_code == 200
    assert api.get("/users/me", token=there.pair.access).status_code == 401
    assert api.post("/auth/refresh", {"refresh": there.pair.refresh}).status_code == 401
    assert gets_in(ANN, OTHER_PASSWORD)
    assert not gets_in(ANN, PASSWORD)
    assert mails_to(ANN)[0] == "password_changed"
    assert events("password.changed") == ["password.changed"]


def test_a_change_ends_codes_and_links_that_were_asked_for_before(api, ann):
    forgot(api)
    token = signed_in(ann).pair.access
    change(api, token, PASSWORD, OTHER_PASSWORD)
    with nothing_changes():
        assert reset(api, "Third-password-3").json()["code"] == "invalid_code"
        assert reset(api, "Third-password-3", token=token_in_mail(ANN, "reset")).json()["code"] == "invalid_link"


def test_a_wrong_current_password_is_an_invalid_field_and_no_401(api, ann):
    token = signed_in(ann).pair.access
    with nothing_changes():
        response = change(api, token, "not this one", OTHER_PASSWORD)
    assert field_codes(response) == {"current_password": "wrong_password"}
    assert "WWW-Authenticate" not in response
    assert events("password.refused") == ["password.refused"]


def test_a_weak_new_password_is_refused(api, ann):
    token = signed_in(ann).pair.access
    for weak, code in (("short-7", "password_too_short"), ("ann@example.org", "password_too_similar")):
        with nothing_changes():
            assert field_codes(change(api, token, PASSWORD, weak)) == {"new_password": code}


@pytest.mark.parametrize("missing", ["current_password", "new_password"])
def test_a_change_needs_the_current_and_the_new_password(api, ann, missing):
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    del body[missing]
    token = signed_in(ann).pair.access
    with nothing_changes():
        assert field_codes(api.put("/users/me/password", body, token=token)) == {missing: "required"}


def test_only_who_is_signed_in_changes_a_password(api, ann):
    with nothing_changes():
        assert change(api, None, PASSWORD, OTHER_PASSWORD).status_code == 401
        assert change(api, "broken", PASSWORD, OTHER_PASSWORD).status_code == 401


def test_a_change_changes_nobody_elses_password(api, ann):
    UserFactory(email="bob@example.org")
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD, "email": "bob@example.org", "user": "bob"}
    assert api.put("/users/me/password", body, token=signed_in(ann).pair.access).status_code == 204
    assert gets_in("bob@example.org", PASSWORD)


# What a password may be


@pytest.mark.parametrize(
    "password",
    [
        "eight-ch",
        "correct horse battery staple",
        "735029518264037",
        "         ",
        "  blanks  around  it  ",
        "\ttabs\tand\nlines",
        "пароль-из-слов",
        "🦊🐻🐼🐨🐯🦁🐮🐷",
        "é" * 8,
        "a1" * 512,
        "🦊" * 1023 + "x",
    ],
    ids=lambda password: f"{len(password)} of {password[:9]!r}",
)
def test_a_password_is_taken_as_it_is(api, password):
    assert sign_up(api, ANN, password).status_code == 202
    verify(api)
    assert gets_in(ANN, password)
    for other in (password.strip(), password[:-1], password + " ", password[:72], password.swapcase()):
        if other and other != password:
            assert not gets_in(ANN, other), repr(other)


def test_letters_that_only_look_the_same_are_other_letters(api):
    signed_up(api, ANN, "caf\u00e9-au-lait")
    verify(api)
    assert not gets_in(ANN, "cafe\u0301-au-lait")
    assert gets_in(ANN, "caf\u00e9-au-lait")


@pytest.mark.parametrize("length", [1025, 5000, 200_000])
def test_more_than_1024_characters_are_refused(api, length):
    with nothing_changes():
        assert field_codes(sign_up(api, ANN, "a1" * (length // 2) + "b" * (length % 2))) == {
            "password": "password_too_long"
        }


def test_1024_characters_are_counted_and_not_bytes(api):
    assert sign_up(api, ANN, "ж" * 1024).status_code == 202
    assert field_codes(sign_up(api, "bob@example.org", "ж" * 1025)) == {"password": "password_too_long"}


def test_a_long_password_at_log_in_is_simply_wrong(api, ann):
    response = log_in(api, ANN, "x" * 100_000)
    assert (response.status_code, response.json()["code"]) == (401, "invalid_credentials")


def test_one_error_stands_for_each_broken_rule(api):
    response = sign_up(api, ANN, "muster")
    codes = [entry["code"] for entry in response.json()["errors"]]
    assert {entry["field"] for entry in response.json()["errors"]} == {"password"}
    assert "password_too_short" in codes
    assert "password_too_similar" in codes


def test_no_refusal_repeats_the_password(api):
    for password in ("password1", "Muster-7x", "qwerty7"):
        assert password not in sign_up(api, ANN, password).content.decode()


def common_to_django_alone() -> list[str]:
    theirs = set(FREQUENCY_LISTS["passwords"])
    return sorted(word for word in CommonPasswordValidator().passwords if len(word) >= 8 and word not in theirs)


def common_to_zxcvbn_alone() -> list[str]:
    djangos = CommonPasswordValidator().passwords
    return sorted(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= 8 and word not in djangos)


def test_the_file_of_zxcvbn_is_read_as_python_reads_it():
    assert validators._dictionary().strip(",").split(",") == FREQUENCY_LISTS["passwords"]


@pytest.mark.parametrize("words", [common_to_django_alone, common_to_zxcvbn_alone])
def test_common_passwords_of_both_lists_are_refused_in_any_case(settings, words):
    settings.RATE_LIMITS = False
    listed = words()
    assert len(listed) > 100
    for number, word in enumerate(listed[:: len(listed) // 12]):
        for typed in (word, word.upper(), word.capitalize()):
            with nothing_changes():
                response = sign_up(ApiClient(), f"p{number}@example.org", typed)
            assert "password_too_common" in field_codes(response).values(), typed


@pytest.mark.parametrize(
    "password",
    [
        "Ann.Lee-Smith@example.org",
        "ann.lee-smith",
        "Annabelle",
        "leesmith7",
        "LeeSmith-LeeSmith",
        "annabelle.1990",
        "nickname-7",
        "Marmaduke",
        "marmaduke12",
    ],
)
def test_a_password_made_of_ones_own_data_is_refused(api, password):
    said = {"username": "nickname", "first_name": "Annabelle", "middle_name": "Marmaduke", "last_name": "LeeSmith"}
    with nothing_changes():
        refused = field_codes(sign_up(api, "ann.lee-smith@example.org", password, **said))
    assert refused == {"password": "password_too_similar"}


@pytest.mark.parametrize("password", ["Muster123", "muster!!", "MUSTER-MUSTER", "1muster1"])
def test_a_password_made_of_the_sites_name_is_refused(api, password):
    with nothing_changes():
        assert field_codes(sign_up(api, ANN, password)) == {"password": "password_too_similar"}


def test_the_sites_name_is_the_configured_one(api, settings):
    settings.SITE_NAME = "Acme Widgets"
    for password in ("Widgets-7", "acme widgets", "ACMEwidgets1"):
        assert field_codes(sign_up(api, ANN, password)) == {"password": "password_too_similar"}


@pytest.mark.parametrize("password", ["AnnLee1990", "annlee-1", "Ann Lee 90"])
def test_short_names_put_together_are_ones_own_data_too(api, password):
    with nothing_changes():
        assert sign_up(api, "a.l@example.org", password, first_name="Ann", last_name="Lee").status_code == 400


def test_own_words_with_enough_beside_them_are_fine(api):
    assert sign_up(api, "annabelle@example.org", "annabelle has a dog").status_code == 202


def test_the_rules_are_the_same_at_every_door(api, ann):
    """Sign-up, reset, invitation, change, and an administrator's creation."""
    token = signed_in(ann).pair.access
    forgot(api)
    invited("bob@example.org")
    link = token_in_mail("bob@example.org", "invitation")
    for weak, code in (
        ("short-7", "password_too_short"),
        ("password1", "password_too_common"),
        ("a1" * 513, "password_too_long"),
    ):
        with nothing_changes():
            assert code in field_codes(sign_up(api, "new@example.org", weak)).values()
            assert code in field_codes(reset(api, weak)).values()
            assert code in field_codes(reset(api, weak, token=link)).values()
            assert code in field_codes(change(api, token, PASSWORD, weak)).values()


# How passwords are kept


def stored() -> str:
    return User.objects.get().password


def test_a_new_password_is_kept_as_bcrypt_over_sha_256_of_cost_12(api, real_hashers):
    signed_up(api)
    assert stored().startswith("bcrypt_sha256$$2b$12$")
    assert User.objects.get().check_password(PASSWORD)


def test_bytes_beyond_the_72nd_count(api, real_hashers):
    """Bare bcrypt takes 72 bytes and forgets the rest."""
    head = "0123456789abcdef" * 4 + "12345678"
    UserFactory(email=ANN, password=head + "A")
    assert not gets_in(ANN, head + "B")
    assert not gets_in(ANN, head)
    assert gets_in(ANN, head + "A")


@pytest.mark.parametrize("algorithm", ["pbkdf2_sha256", "argon2", "scrypt"])
def test_an_older_hash_is_replaced_at_the_next_log_in(api, real_hashers, algorithm):
    UserFactory(email=ANN, password=None)
    User.objects.update(password=make_password(PASSWORD, hasher=algorithm))
    old = stored()
    assert old.startswith(algorithm)

    assert log_in(api, ANN, "wrong").status_code == 401
    assert stored() == old

    assert log_in(api).status_code == 200
    assert stored().startswith("bcrypt_sha256$$2b$12$")
    assert log_in(api).status_code == 200


def test_a_weaker_hash_of_the_same_kind_is_replaced(api, real_hashers):
    UserFactory(email=ANN, password=None)
    weak = BCryptSHA256PasswordHasher()
    weak.rounds = 4
    User.objects.update(password=make_password(PASSWORD, hasher=weak))
    assert stored().startswith("bcrypt_sha256$$2b$04$")
    assert log_in(api).status_code == 200
    assert stored().startswith("bcrypt_sha256$$2b$12$")


def test_argon2_can_be_chosen_and_replaces_bcrypt(api, settings):
    settings.PASSWORD_HASHERS = [PASSWORD_HASHERS[1], PASSWORD_HASHERS[0]]
    UserFactory(email=ANN, password=None)
    User.objects.update(password=make_password(PASSWORD, hasher="bcrypt_sha256"))
    assert log_in(api).status_code == 200
    assert stored().startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert identify_hasher(stored()).algorithm == "argon2"


def test_replacing_a_hash_is_no_change_of_the_password(api, real_hashers, settings):
    settings.PASSWORD_HASHERS = [PASSWORD_HASHERS[1], PASSWORD_HASHERS[2]]
    ann = UserFactory(email=ANN)
    first = signed_in(ann)
    forgot(api)
    User.objects.update(password=make_password(PASSWORD, hasher="pbkdf2_sha256"))
    mails = mail_count()
    assert log_in(api).status_code == 200
    assert api.get("/users/me", token=first.pair.access).status_code == 200
    assert mails_to(ANN).count("password_changed") == 0
    assert mail_count() - mails <= 1, "a new device, at most"
    assert reset(api).status_code == 204, "codes live on"


def test_two_log_ins_that_replace_the_hash_at_once_both_get_in(api, settings, monkeypatch):
    ann = UserFactory(email=ANN, password=None)
    User.objects.update(password=make_password(PASSWORD, hasher="pbkdf2_sha256"))
    prove = sessions.prove_password

    def beside(*args: Any) -> Any:
        upgraded = prove(*args)
        User.objects.update(password=make_password(PASSWORD))
        return upgraded

    monkeypatch.setattr(sessions, "prove_password", beside)
    assert sessions.log_in(Actor(ip="192.0.2.1"), ann.email, PASSWORD)


def test_a_password_changed_while_the_old_one_was_checked_lets_nobody_in(api, ann, monkeypatch):
    prove = sessions.prove_password

    def overtaken(*args: Any) -> Any:
        upgraded = prove(*args)
        User.objects.update(password=make_password(OTHER_PASSWORD))
        return upgraded

    monkeypatch.setattr(sessions, "prove_password", overtaken)
    response = log_in(api)
    assert (response.status_code, response.json()["code"]) == (401, "invalid_credentials")
    assert not Session.objects.exists()
