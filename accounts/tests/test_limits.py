"""Limits on guessing and on mail. Windows are counted in the database here; in Redis only where there is one."""

import time
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from accounts import limits
from accounts.models import Challenge, Counter, FailedLogIns, KnownPlace, User
from accounts.tests.clock import time_passes
from accounts.tests.factories import PASSWORD, UserFactory, signed_in
from accounts.tests.mailbox import code_in_mail, mail_count, mails_to, token_in_mail, wrong
from accounts.tests.scene import events
from accounts.tests.steps import ANN, OTHER_PASSWORD, gets_in, log_in, sign_up, signed_up
from accounts.tests.witness import nothing_changes, problem
from core import redis
from core.client import network
from tests.client import ApiClient

pytestmark = pytest.mark.django_db

HERE, THERE = "198.51.100.1", "198.51.100.2"


@pytest.fixture(autouse=True)
def windows_in_the_database(request: Any, settings: Any) -> None:
    if "service" not in request.keywords:
        settings.REDIS_URL = ""


@pytest.fixture
def ann(db: None) -> User:
    return UserFactory(email=ANN, username="ann")


def try_in_vain(times: int, ip: str = HERE, name: str = ANN) -> list[int]:
    return [log_in(ApiClient(ip), name, "wrong").status_code for _ in range(times)]


def waits(ip: str, name: str = ANN, password: str = PASSWORD) -> int:
    """For how long, in seconds, the right password is refused from there; 0 when it is not."""
    response = log_in(ApiClient(ip), name, password)
    if response.status_code == 429:
        assert problem(response)["code"] == "too_many_attempts"
        return int(response["Retry-After"])
    assert response.status_code == 200, response.content
    return 0


# Failures of one account


def test_nine_failures_keep_nobody_out_and_a_log_in_forgets_them(ann):
    assert try_in_vain(9) == [401] * 9
    assert waits(HERE) == 0
    assert try_in_vain(9) == [401] * 9
    assert waits(HERE) == 0


def test_after_ten_failures_their_address_waits_also_with_the_right_password(ann):
    assert try_in_vain(10) == [401] * 10
    with nothing_changes():
        assert 50 <= waits(HERE) <= 60
        assert try_in_vain(3) == [429] * 3


@pytest.mark.parametrize("name", [ANN, "nobody@example.org"])
def test_each_wait_that_begins_is_an_event_and_trying_meanwhile_is_none(ann, name):
    try_in_vain(9, name=name)
    assert events("user.locked") == []
    try_in_vain(4, name=name)
    [event] = events("user.locked")
    assert (event.target_id, event.actor_id) == (ann.pk if name == ANN else None, None)
    assert name not in str(event.details)
    time_passes(minutes=1)
    try_in_vain(3, name=name)
    assert len(events("user.locked")) == 2


def test_it_waits_one_two_four_eight_and_then_fifteen_minutes(ann):
    try_in_vain(10)
    for minutes in (1, 2, 4, 8, 15, 15, 15):
        assert minutes * 60 - 5 <= waits(HERE) <= minutes * 60
        time_passes(minutes=minutes)
        assert try_in_vain(1) == [401]
    time_passes(minutes=15)
    assert waits(HERE) == 0


def test_trying_while_waiting_neither_lengthens_the_wait_nor_counts(ann):
    try_in_vain(10)
    time_passes(seconds=55)
    assert try_in_vain(20) == [429] * 20
    time_passes(seconds=6)
    assert waits(HERE) == 0


def test_another_address_gets_in_and_frees_nobody_by_it(ann):
    try_in_vain(10)
    assert waits(THERE) == 0
    assert waits(HERE) > 0
    time_passes(minutes=1)
    assert waits(HERE) == 0


def test_the_failures_of_all_addresses_add_up_and_each_that_failed_waits(ann):
    assert try_in_vain(5, HERE) == [401] * 5
    assert try_in_vain(5, THERE) == [401] * 5
    assert waits(HERE) > 0
    assert waits(THERE) > 0
    assert waits("198.51.100.3") == 0


def test_whoever_fails_after_the_tenth_waits_at_once(ann):
    try_in_vain(10)
    assert try_in_vain(2, THERE) == [401, 429]


def token_request(password: str) -> Any:
    form = {"grant_type": "password", "username": "ann", "password": password}
    client = Client(REMOTE_ADDR=HERE, HTTP_HOST="127.0.0.1")
    return client.post("/api/v1/auth/token", urlencode(form), content_type="application/x-www-form-urlencoded")


def test_an_account_is_one_by_address_by_username_and_at_every_door(ann):
    token, api = signed_in(ann).pair.access, ApiClient(HERE)
    assert try_in_vain(2) == [401] * 2
    for _ in range(2):
        assert api.post("/auth/login", {"username": "ANN", "password": "wrong"}).status_code == 401
        assert token_request("wrong").status_code == 400
        change = {"current_password": "wrong", "new_password": OTHER_PASSWORD}
        assert api.put("/users/me/password", change, token=token).status_code == 400
        move = {"new_email": "new@example.org", "password": "wrong"}
        assert api.post("/users/me/email", move, token=token).status_code == 400
    assert waits(HERE) > 0


def test_the_token_endpoint_counts_and_waits(ann):
    assert [token_request("wrong").status_code for _ in range(10)] == [400] * 10
    response = token_request(PASSWORD)
    assert (response.status_code, response.json()["error"]) == (429, "invalid_grant")
    assert int(response["Retry-After"]) <= 60
    assert waits(HERE) > 0


def test_the_staff_panel_counts_and_waits():
    UserFactory(email=ANN, is_staff=True)
    client = Client(REMOTE_ADDR=HERE, HTTP_HOST="127.0.0.1")
    for _ in range(10):
        client.post("/admin/login/", {"username": ANN, "password": "wrong"})
    assert client.post("/admin/login/", {"username": ANN, "password": PASSWORD}).status_code == 200, "the form again"
    assert waits(HERE) > 0
    assert waits(THERE) == 0


def test_the_question_for_the_current_password_counts_and_waits(ann):
    api, token = ApiClient(HERE), signed_in(ann).pair.access
    body = {"current_password": "wrong", "new_password": OTHER_PASSWORD}
    assert [api.put("/users/me/password", body, token=token).status_code for _ in range(10)] == [400] * 10
    with nothing_changes():
        response = api.put("/users/me/password", {**body, "current_password": PASSWORD}, token=token)
        closing = api.delete("/users/me", {"password": PASSWORD}, token=token)
    assert (response.status_code, closing.status_code) == (429, 429)
    assert problem(response)["code"] == "too_many_attempts"
    assert int(response["Retry-After"]) <= 60


@pytest.mark.parametrize("name", ["nobody@example.org", "nobody", "no address at all @", "closed@example.org"])
def test_names_that_nobody_has_are_counted_exactly_alike(ann, name):
    UserFactory(email="closed@example.org", is_active=False)

    def story(typed: str, ip: str) -> list[tuple[int, Any]]:
        field = "email" if "@" in typed else "username"
        answers = []
        for step in [1] * 12 + [60] * 2 + [120] * 2:
            response = ApiClient(ip).post("/auth/login", {field: typed, "password": "wrong"})
            answers.append((response.status_code, {**problem(response), "after": bool(response.get("Retry-After"))}))
            if step > 1:
                time_passes(seconds=step)
        return answers

    assert story(name, THERE) == story(ANN, HERE)


def test_case_makes_no_other_name_of_it():
    assert try_in_vain(5, name="nobody@example.org") == [401] * 5
    assert try_in_vain(6, name="NOBODY@Example.ORG") == [401] * 5 + [429]


@pytest.mark.parametrize(
    ("one", "other"), [("{}@bücher.example", "{}@xn--bcher-kva.example"), ("{}@example.org", "{}@example。org")]
)
def test_no_spelling_of_an_address_tells_whether_somebody_has_it(one, other):
    from accounts.addresses import parse_address

    address = parse_address(one.format("known"))
    UserFactory(email=address.email, email_key=address.key)

    def story(name: str) -> list[int]:
        return try_in_vain(6, HERE, one.format(name)) + try_in_vain(6, HERE, other.format(name))

    assert story("unknown") == story("known")


def test_a_closed_account_fails_with_the_right_password_like_any_other_failure():
    UserFactory(email=ANN, is_active=False)
    answers = [log_in(ApiClient(HERE), ANN, PASSWORD).status_code for _ in range(11)]
    assert answers == [401] * 10 + [429]


# After a hundred failures in a row


@pytest.fixture
def besieged(ann: User) -> User:
    """A dozen addresses failed, and as if they had failed a hundred times; the owner knows THERE."""
    signed_in(ann, ip=THERE, device="Firefox on Linux")
    for number in range(12):
        try_in_vain(1, f"203.0.113.{number}")
    assert FailedLogIns.objects.filter(network="", count=12).update(count=100) == 1
    return ann


def test_the_hundredth_failure_shuts_out_whoever_was_never_there(ann):
    signed_in(ann, ip=THERE)
    for number in range(99):
        assert try_in_vain(1, f"203.0.113.{number}") == [401]
    assert try_in_vain(1, "203.0.113.99") == [401]
    assert try_in_vain(1, "198.51.100.77") == [429]
    assert 0 < waits("198.51.100.77") <= 900
    assert waits(THERE) == 0


def test_only_addresses_from_which_the_owner_signed_in_before_get_in(besieged):
    assert 0 < waits("198.51.100.77") <= 900
    assert waits(THERE) == 0


def test_a_log_in_from_a_known_address_opens_the_account_to_all_again(besieged):
    assert waits(THERE) == 0
    assert waits("198.51.100.77") == 0


def test_success_frees_none_of_those_that_failed(besieged):
    assert waits(THERE) == 0
    assert waits("203.0.113.11") > 0


def test_a_reset_opens_the_account_to_all_again(besieged):
    api = ApiClient("198.51.100.77")
    api.post("/auth/password/forgot", {"email": ANN})
    body = {"email": ANN, "code": code_in_mail(ANN, "reset"), "new_password": OTHER_PASSWORD}
    assert api.post("/auth/password/reset", body).status_code == 204
    assert waits("198.51.100.77", password=OTHER_PASSWORD) == 0
    assert waits("203.0.113.11", password=OTHER_PASSWORD) == 0


def test_a_known_address_that_fails_waits_like_any_other(besieged):
    assert try_in_vain(2, THERE) == [401, 429]
    time_passes(minutes=1)
    assert waits(THERE) == 0


def test_it_lasts_however_long_the_failures_are_ago(besieged):
    time_passes(days=29)
    assert waits("198.51.100.77") > 0


def test_what_others_know_of_an_account_opens_nothing(besieged):
    """Somebody else's known address is none of this account's."""
    bob = UserFactory(email="bob@example.org")
    signed_in(bob, ip="198.51.100.77")
    assert waits("198.51.100.77") > 0


def test_a_hundred_failures_lock_unknown_names_just_the_same():
    for number in range(100):
        assert try_in_vain(1, f"203.0.113.{number}", "nobody@example.org") == [401]
    assert try_in_vain(1, "198.51.100.77", "nobody@example.org") == [429]


def test_verifying_or_asking_opens_nothing(besieged):
    ApiClient(HERE).post("/auth/password/forgot", {"email": ANN})
    ApiClient(HERE).post("/auth/verify/resend", {"email": ANN})
    assert waits("198.51.100.77") > 0


# Failures of one address


def fail_everywhere(times: int, ip: str = HERE) -> list[int]:
    """Once for each of many names."""
    return [log_in(ApiClient(ip), f"p{n}@example.org", "wrong").status_code for n in range(times)]


def test_a_hundred_failures_an_hour_shut_an_address_out(ann):
    assert fail_everywhere(100) == [401] * 100
    with nothing_changes():
        assert 0 < waits(HERE) <= 3600
    assert waits(THERE) == 0
    time_passes(minutes=59)
    assert 0 < waits(HERE) <= 60
    time_passes(minutes=1, seconds=1)
    assert waits(HERE) == 0


def test_success_gives_an_address_none_of_its_failures_back(ann):
    fail_everywhere(99)
    assert waits(HERE) == 0
    assert try_in_vain(2, name="last@example.org") == [401, 429]


def test_log_ins_that_succeed_or_wait_count_as_no_failure(ann):
    bob = UserFactory(email="bob@example.org")
    assert fail_everywhere(80) == [401] * 80
    assert try_in_vain(60) == [401] * 10 + [429] * 50
    assert [waits(HERE, bob.email) for _ in range(5)] == [0] * 5
    assert fail_everywhere(11) == [401] * 10 + [429]


# Mails to one address


FORGOT, RESEND = "/auth/password/forgot", "/auth/verify/resend"


def ask(path: str, email: str = ANN, ip: str = HERE) -> Any:
    return ApiClient(ip).post(path, {"email": email})


def test_the_sixth_mail_of_an_hour_is_not_sent_and_the_answer_is_the_same(ann):
    answers = {ask(FORGOT).content for _ in range(5)}
    assert mails_to(ANN) == ["reset"] * 5
    with nothing_changes():
        answers.add(ask(FORGOT).content)
        assert ask(FORGOT, ip=THERE).status_code == 202
    assert len(answers) == 1
    time_passes(hours=1, seconds=1)
    ask(FORGOT)
    assert len(mails_to(ANN)) == 6


def test_beyond_the_limit_a_sign_up_changes_nothing(api):
    for _ in range(5):
        assert sign_up(api, first_name="Ann").status_code == 202
    with nothing_changes():
        response = sign_up(api, ANN, OTHER_PASSWORD, first_name="Mallory", username="mallory")
    assert (response.status_code, response.json()["email"]) == (202, ANN)
    proof = {"token": token_in_mail(ANN)}
    assert api.post("/auth/verify", proof).json()["password_needed"] is False
    assert gets_in()


def test_beyond_the_limit_a_taken_address_gets_no_notice(ann, api):
    for _ in range(5):
        sign_up(api)
    with nothing_changes():
        assert sign_up(api).status_code == 202
    assert mails_to(ANN) == ["already_registered"] * 5


def test_beyond_the_limit_nothing_is_sent_again(api):
    signed_up(api)
    for _ in range(4):
        time_passes(seconds=61)
        ask(RESEND)
    assert len(mails_to(ANN)) == 5
    time_passes(seconds=61)
    with nothing_changes():
        assert ask(RESEND).status_code == 202


def test_all_kinds_of_mail_count_together(api):
    signed_up(api)
    sign_up(api)
    ask(FORGOT)
    time_passes(seconds=61)
    ask(RESEND)
    ask(FORGOT)
    assert mail_count() == 5
    time_passes(seconds=61)
    with nothing_changes():
        ask(FORGOT)
        ask(RESEND)
        sign_up(api, ANN, OTHER_PASSWORD)


def test_requests_for_unknown_addresses_count_alike(api):
    for _ in range(5):
        ask(FORGOT)
    with nothing_changes():
        assert sign_up(api).status_code == 202
    time_passes(hours=1, seconds=1)
    sign_up(api)
    assert mails_to(ANN) == ["verify"]


def test_every_spelling_counts_for_the_same_address(ann):
    for typed in (
        "ann@example.org",
        "ANN@example.org",
        "ann@EXAMPLE.org",
        " ann@example.org",
        "ann@example。org",
        "Ann@Example.Org",
    ):
        assert ask(FORGOT, typed).status_code == 202
    assert len(mails_to(ANN)) == 5


def test_one_address_uses_up_no_mail_of_another(ann):
    UserFactory(email="bob@example.org")
    for _ in range(6):
        ask(FORGOT, "bob@example.org")
    ask(FORGOT)
    assert mails_to(ANN) == ["reset"]


def test_a_change_of_address_counts_for_the_new_one(ann):
    token = signed_in(ann).pair.access
    body = {"new_email": "new@example.org", "password": PASSWORD}
    for _ in range(6):
        assert ApiClient(HERE).post("/users/me/email", body, token=token).status_code == 202
    assert mails_to("new@example.org") == ["email_change"] * 5
    assert mails_to(ANN) == ["email_change_notice"] * 5


def test_resends_that_mail_nothing_do_not_use_up_the_owners_reset_mail(ann):
    for _ in range(5):
        ask(RESEND)
    ask(FORGOT)
    assert mails_to(ANN) == ["reset"]


# Requests for mail from one client


def test_the_sixty_first_request_for_mail_in_an_hour_is_429(ann):
    token = signed_in(ann).pair.access
    for number in range(20):
        assert ask(FORGOT, f"p{number}@example.org").status_code == 202
        assert ask(RESEND, f"p{number}@example.org").status_code == 202
        assert sign_up(ApiClient(HERE), f"q{number}@example.org").status_code == 202
    change = {"new_email": "new@example.org", "password": PASSWORD}
    with nothing_changes():
        refusals = [ask(FORGOT), ask(RESEND), sign_up(ApiClient(HERE))]
        refusals.append(ApiClient(HERE).post("/users/me/email", change, token=token))
    for response in refusals:
        assert response.status_code == 429
        assert problem(response)["code"] == "too_many_requests"
        assert 0 < int(response["Retry-After"]) <= 3600
    assert ask(FORGOT, ip=THERE).status_code == 202
    time_passes(hours=1, seconds=1)
    assert ask(FORGOT).status_code == 202


def test_the_window_starts_with_the_first_request_and_does_not_slide(ann):
    ask(FORGOT, "p@example.org")
    time_passes(minutes=50)
    for number in range(59):
        assert ask(FORGOT, f"p{number}@example.org").status_code == 202
    response = ask(FORGOT)
    assert response.status_code == 429
    assert int(response["Retry-After"]) <= 600
    time_passes(minutes=10, seconds=1)
    assert ask(FORGOT).status_code == 202


# Who is one client


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        (None, "unknown"),
        ("", "unknown"),
    ],
)
def test_a_client_is_an_ipv4_address_or_a_64_of_ipv6(address, name):
    assert network(address) == name


def test_addresses_of_one_64_wait_together_and_others_do_not(ann):
    try_in_vain(5, "2001:db8:1:2::1")
    try_in_vain(5, "2001:db8:1:2:ffff:ffff:ffff:ffff")
    assert waits("2001:db8:1:2:abcd::9") > 0
    assert waits("2001:db8:1:3::1") == 0


def test_requests_for_mail_from_one_64_count_together():
    for number in range(60):
        assert ask(FORGOT, f"p{number}@example.org", f"2001:db8:1:2::{number:x}").status_code == 202
    assert ask(FORGOT, ANN, "2001:db8:1:2:9::").status_code == 429
    assert ask(FORGOT, ANN, "2001:db8:1:4::1").status_code == 202


def test_an_ipv4_address_written_as_ipv6_is_that_address(ann):
    try_in_vain(10, f"::ffff:{HERE}")
    assert waits(HERE) > 0


def forwarded(ip: str, **headers: str) -> Any:
    return ApiClient(ip).post("/auth/login", {"email": ANN, "password": "wrong"}, **headers)


def test_forwarded_addresses_are_ignored_without_proxies(ann):
    answers = [
        forwarded(HERE, X_Forwarded_For=f"203.0.113.{n}", X_Real_IP="203.0.113.9").status_code for n in range(11)
    ]
    assert answers == [401] * 10 + [429]
    assert waits(HERE) > 0


def test_behind_one_proxy_the_last_address_counts(ann, settings):
    settings.TRUSTED_PROXIES = 1
    for n in range(10):
        assert forwarded("10.0.0.1", X_Forwarded_For=f"203.0.113.{n}, 198.51.100.{n % 2}, {HERE}").status_code == 401
    assert forwarded("10.0.0.1", X_Forwarded_For=HERE).status_code == 429
    assert forwarded("10.0.0.1", X_Forwarded_For=f"{HERE}, {THERE}").status_code == 401


def test_behind_two_proxies_the_last_but_one_counts(ann, settings):
    settings.TRUSTED_PROXIES = 2
    for n in range(10):
        assert forwarded("10.0.0.1", X_Forwarded_For=f"203.0.113.{n}, {HERE}, 10.0.0.2").status_code == 401
    assert forwarded("10.0.0.1", X_Forwarded_For=f"{HERE}, 10.0.0.2").status_code == 429
    assert forwarded("10.0.0.1", X_Forwarded_For=f"{HERE}, {THERE}, 10.0.0.2").status_code == 401


@pytest.mark.parametrize("typed", ["", "unknown", "1.2.3.4.5", "<script>", "127.0.0.1:80", ",", "a" * 5000])
def test_what_is_no_address_counts_for_the_proxy(ann, settings, typed):
    settings.TRUSTED_PROXIES = 1
    for _ in range(10):
        assert forwarded("10.0.0.1", X_Forwarded_For=typed).status_code == 401
    assert forwarded("10.0.0.1").status_code == 429


def test_behind_a_proxy_ipv6_clients_are_64s_too(ann, settings):
    settings.TRUSTED_PROXIES = 1
    for n in range(10):
        assert forwarded("10.0.0.1", X_Forwarded_For=f"2001:db8:1:2::{n}").status_code == 401
    assert forwarded("10.0.0.1", X_Forwarded_For="2001:db8:1:2:7::").status_code == 429


def test_sessions_show_the_address_of_the_client_and_not_of_the_proxy(ann, settings):
    settings.TRUSTED_PROXIES = 1
    body = {"email": ANN, "password": PASSWORD}
    response = ApiClient("10.0.0.1").post("/auth/login", body, X_Forwarded_For=f"203.0.113.4, {HERE}")
    assert response.status_code == 200
    assert ann.sessions.get().ip == HERE


# Switched off


def test_switched_off_nobody_waits_and_every_mail_goes_out(ann, settings):
    settings.RATE_LIMITS = False
    assert try_in_vain(30) == [401] * 30
    assert fail_everywhere(101) == [401] * 101
    assert waits(HERE) == 0
    assert {ask(FORGOT).status_code for _ in range(70)} == {202}
    assert mails_to(ANN).count("reset") == 70
    assert not FailedLogIns.objects.exists()


def test_switched_off_a_code_still_has_five_tries(api, settings):
    settings.RATE_LIMITS = False
    signed_up(api)
    body = {"email": ANN, "code": code_in_mail(ANN)}
    for _ in range(5):
        assert api.post("/auth/verify", {**body, "code": wrong(body["code"])}).status_code == 400
    assert api.post("/auth/verify", body).status_code == 400
    assert not User.objects.get().is_verified


def test_switched_off_no_number_of_wrong_codes_takes_the_codes_away(api, settings):
    settings.RATE_LIMITS = False
    signed_up(api)
    for _ in range(25):
        api.post("/auth/password/reset", {"email": ANN, "code": "000000", "new_password": OTHER_PASSWORD})
    assert api.post("/auth/verify", {"email": ANN, "code": code_in_mail(ANN)}).status_code == 200


# How it is kept


def test_nothing_that_is_kept_tells_a_name_or_an_address_that_was_typed():
    try_in_vain(10, HERE, "nobody@example.org")
    ask(FORGOT, "nobody@example.org")
    kept = str([list(model.objects.values()) for model in (FailedLogIns, Counter, KnownPlace, Challenge)])
    assert "nobody" not in kept
    assert "example.org" not in kept


def test_counting_is_one_step_that_starts_a_new_window_when_the_old_one_ended():
    assert [limits.count("a", "b", 60)[0] for _ in range(3)] == [1, 2, 3]
    assert limits.peek("a", "b")[0] == 3
    assert limits.count("a", "c", 60)[0] == 1
    assert limits.count("b", "b", 60)[0] == 1
    time_passes(seconds=61)
    assert limits.peek("a", "b")[0] == 0
    assert limits.count("a", "b", 60) == (1, 60) or limits.peek("a", "b")[1] >= 58


def test_while_redis_is_away_the_database_counts(ann, settings, monkeypatch):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(redis, "_away_until", 0.0)
    redis._client.cache_clear()
    try:
        assert [limits.count("a", "b", 60)[0] for _ in range(3)] == [1, 2, 3]
        assert limits.peek("a", "b")[0] == 3
        for _ in range(6):
            ask(FORGOT)
        assert len(mails_to(ANN)) == 5
        assert fail_everywhere(101) == [401] * 100 + [429]
    finally:
        redis._client.cache_clear()


@pytest.fixture
def in_redis(settings: Any) -> None:
    if not settings.REDIS_URL:
        pytest.skip("needs REDIS_URL")
    redis._client().flushdb()


@pytest.mark.service
def test_redis_counts_windows_where_there_is_one(in_redis, ann):
    assert [limits.count("a", "b", 60)[0] for _ in range(3)] == [1, 2, 3]
    count, left = limits.peek("a", "b")
    assert (count, 58 <= left <= 60) == (3, True)
    for _ in range(6):
        ask(FORGOT)
    assert len(mails_to(ANN)) == 5
    assert fail_everywhere(101) == [401] * 100 + [429]
    assert not Counter.objects.exists()


@pytest.mark.service
def test_a_window_in_redis_ends(in_redis):
    limits.count("a", "b", 1)
    limits.count("a", "b", 1)
    time.sleep(1.1)
    assert limits.peek("a", "b")[0] == 0
    assert limits.count("a", "b", 1)[0] == 1


@pytest.mark.service
def test_emptying_redis_unlocks_no_account(in_redis, ann):
    try_in_vain(10)
    redis._client().flushdb()
    assert waits(HERE) > 0
