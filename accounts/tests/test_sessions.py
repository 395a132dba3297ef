"""Log in, stay in, get out: over HTTP, with what the database then holds."""

import time
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db.models import F
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts import tokens
from accounts.models import Session, User
from accounts.services import cleanup
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.scene import (
    access_of,
    administrator,
    events,
    letter,
    letters,
    log_in,
    nothing_changes,
    refusal,
    state,
    wrong_fields,
)
from core.ids import uuid7
from tests.client import ApiClient

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Safari/605.1.15"
)
SIGNED_IN = {
    *("access", "refresh", "token_type", "access_expires_in", "refresh_expires_in", "user"),
}


@pytest.fixture
def user(db):
    return UserFactory(email="Ann@Example.org", username="Ann.Lee")


@pytest.fixture
def pair(api, user):
    return log_in(api, user)


def refresh(api, token):
    return api.post("/auth/refresh", {"refresh": token})


def refreshed(api, token):
    response = refresh(api, token)
    assert response.status_code == 200, response.content
    return response.json()


def is_in(api, access):
    return api.get("/users/me", token=access).status_code == 200


def shut_out(api, pair):
    """Neither token of the pair is of any use."""
    return refusal(api.get("/users/me", token=pair["access"])) == (401, "invalid_token") and refusal(
        refresh(api, pair["refresh"])
    ) == (401, "invalid_refresh_token")


def shift(**columns):
    """Let time pass for all sessions: `shift(rotated_at=-11)`, in seconds."""
    Session.objects.update(**{name: F(name) + timedelta(seconds=n) for name, n in columns.items()})


# --- Log in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        {"email": "Ann@Example.org"},
        {"email": "ann@example.org"},
        {"email": "ANN@EXAMPLE.ORG"},
        {"email": " ann@example.org "},
        {"username": "Ann.Lee"},
        {"username": "ANN.LEE"},
        {"username": "ann.lee"},
        {"username": "ann@example.ORG"},
    ],
)
def test_one_logs_in_by_address_or_username_in_any_case(api, user, name):
    response = api.post("/auth/login", {**name, "password": PASSWORD})
    assert response.status_code == 200
    assert response.json()["user"]["id"] == str(user.pk)
    assert Session.objects.get().user == user


def test_a_log_in_answers_with_a_token_pair_and_the_user(api, user, settings):
    response = api.post("/auth/login", {"email": user.email, "password": PASSWORD})
    body = response.json()
    assert set(body) == SIGNED_IN
    assert body["token_type"] == "Bearer"
    assert settings.ACCESS_TOKEN_SECONDS - 1 <= body["access_expires_in"] <= settings.ACCESS_TOKEN_SECONDS
    idle = settings.SESSION_IDLE_SECONDS
    assert idle - 1 <= body["refresh_expires_in"] <= idle
    assert response["Cache-Control"] == "no-store"
    assert body["user"] == api.get("/users/me", token=body["access"]).json()
    assert body["user"]["email"] == "Ann@Example.org"
    assert body["user"]["last_login"].endswith("Z")


def test_a_log_in_is_a_session_and_an_event(api, user):
    log_in(api, user, User_Agent=FIREFOX)
    session = Session.objects.get()
    assert (session.gen, session.ip, session.device) == (1, "192.0.2.1", "Firefox on Linux")
    [event] = events("session.started")
    assert (event.target_id, event.actor_id) == (user.pk, user.pk)
    assert event.details["session"] == str(session.pk)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"password": "required"}),
        ({"password": PASSWORD}, {"email": "required"}),
        ({"email": "a@example.org"}, {"password": "required"}),
        ({"email": "a@example.org", "password": ""}, {"password": "blank"}),
        ({"email": None, "password": None}, {"email": "null", "password": "null"}),
        ({"email": 7, "password": ["x"]}, {"email": "invalid", "password": "invalid"}),
        ({"email": "a" * 255, "password": "x"}, {"email": "max_length"}),
    ],
)
def test_a_log_in_names_what_is_wrong_with_its_body(api, body, fields):
    with nothing_changes():
        assert wrong_fields(api.post("/auth/login", body)) == fields


def answer_without_ids(response):
    headers = {k: v for k, v in response.headers.items() if k != "X-Request-ID"}
    return response.status_code, headers, {k: v for k, v in response.json().items() if k != "request_id"}


def test_unknown_wrong_closed_and_passwordless_accounts_answer_alike(api, user):
    closed = UserFactory(is_active=False)
    invited = UserFactory(password=None)
    unverified = UserFactory(is_verified=False)
    tries = [
        {"email": "nobody@example.org", "password": PASSWORD},
        {"username": "nobody", "password": PASSWORD},
        {"email": "not an address", "password": PASSWORD},
        {"email": user.email, "password": "wrong"},
        {"email": user.email, "password": PASSWORD + " "},
        {"email": closed.email, "password": PASSWORD},
        {"email": invited.email, "password": PASSWORD},
        {"email": unverified.email, "password": "wrong"},
    ]
    answers = []
    with nothing_changes(*["session.refused"] * len(tries)):
        for body in tries:
            response = api.post("/auth/login", body)
            assert refusal(response) == (401, "invalid_credentials")
            assert response["WWW-Authenticate"].startswith("Bearer ")
            answers.append(answer_without_ids(response))
    assert all(answer == answers[0] for answer in answers)


def test_a_refused_log_in_is_recorded_without_what_was_typed(api):
    api.post("/auth/login", {"email": "Secret.Name@example.org", "password": "typed-secret"})
    [event] = events("session.refused")
    assert event.actor_id is None
    assert "secret" not in str(event.details).lower()
    assert len(event.details["name"]) == 64


def test_only_the_right_password_tells_that_the_address_is_not_verified(api):
    user = UserFactory(is_verified=False)
    with nothing_changes("session.refused"):
        response = api.post("/auth/login", {"email": user.email, "password": PASSWORD})
    assert refusal(response) == (403, "email_not_verified")


def test_a_stale_or_broken_token_keeps_nobody_from_logging_in(api, user):
    for broken in ("x", "a.b.c", "\N{SNOWMAN}".encode().decode("latin-1")):
        response = api.post(
            "/auth/login", {"email": user.email, "password": PASSWORD}, Authorization=f"Bearer {broken}"
        )
        assert response.status_code == 200


def test_a_password_counts_byte_for_byte(api):
    user = UserFactory(password=" with blanks ")
    assert log_in(api, user, " with blanks ")
    for other in ("with blanks", " with blanks", "with blanks ", " With blanks "):
        response = api.post("/auth/login", {"email": user.email, "password": other})
        assert refusal(response) == (401, "invalid_credentials")


@pytest.mark.real_hashing
def test_a_weaker_hash_is_replaced_at_the_next_log_in(api, settings):
    settings.PASSWORD_HASHERS = [
        "accounts.hashers.Argon2idPasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    user = UserFactory()
    User.objects.filter(pk=user.pk).update(password=md5_of(PASSWORD))
    log_in(api, user)
    user.refresh_from_db()
    assert user.password.startswith("argon2$argon2id$")
    assert log_in(api, user)


def md5_of(password):
    return MD5PasswordHasher().encode(password, "saltsaltsaltsaltsaltsa")


# --- New devices -------------------------------------------------------------------------------------------------


def test_the_very_first_device_is_no_news(api, user):
    log_in(api, user, User_Agent=FIREFOX)
    log_in(api, user, User_Agent=FIREFOX)
    assert letters(user.email) == []


@pytest.mark.parametrize(("ip", "agent"), [("192.0.2.1", SAFARI), ("198.51.100.7", FIREFOX)])
def test_a_new_device_or_network_is_told_to_the_owner_once(api, user, ip, agent):
    log_in(api, user, User_Agent=FIREFOX)
    for _ in range(2):
        log_in(ApiClient(ip), user, User_Agent=agent)
    assert letters(user.email) == ["new_device"]
    assert letter("new_device", user.email).context["ip"] == ip


def test_another_address_of_the_same_v6_network_is_no_news(user):
    log_in(ApiClient("2001:db8::1"), user)
    log_in(ApiClient("2001:db8::2"), user)
    assert letters(user.email) == []
    log_in(ApiClient("2001:db8:0:1::1"), user)
    assert letters(user.email) == ["new_device"]


def test_a_refused_log_in_tells_nobody_of_a_new_device(api, user):
    log_in(api, user, User_Agent=FIREFOX)
    ApiClient("198.51.100.7").post("/auth/login", {"email": user.email, "password": "wrong"})
    assert letters(user.email) == []


# --- Refresh -----------------------------------------------------------------------------------------------------


def test_a_refresh_makes_a_new_pair_of_the_same_session(api, pair):
    successor = refreshed(api, pair["refresh"])
    assert set(successor) == SIGNED_IN - {"user"}
    assert successor["access"] != pair["access"]
    assert successor["refresh"] != pair["refresh"]
    assert is_in(api, successor["access"])
    assert Session.objects.get().gen == 2


def test_an_access_token_lives_on_until_it_expires_when_its_session_is_refreshed(api, pair):
    refreshed(api, pair["refresh"])
    assert is_in(api, pair["access"])


def test_a_refresh_answers_no_store(api, pair):
    assert refresh(api, pair["refresh"])["Cache-Control"] == "no-store"


def test_a_session_can_be_refreshed_many_times(api, pair):
    seen = {pair["refresh"]}
    token = pair["refresh"]
    for _ in range(5):
        token = refreshed(api, token)["refresh"]
        seen.add(token)
    assert len(seen) == 6
    assert Session.objects.get().gen == 6


def test_a_repeat_within_the_grace_gets_the_same_pair_letter_by_letter(api, pair):
    first = refreshed(api, pair["refresh"])
    for _ in range(3):
        again = refreshed(api, pair["refresh"])
        assert (again["access"], again["refresh"]) == (first["access"], first["refresh"])
        assert again["access_expires_in"] <= first["access_expires_in"]
    assert Session.objects.get().gen == 2
    assert events("session.reused") == []
    assert is_in(api, first["access"])


def test_a_repeat_tells_what_remains_of_the_lifetimes(api, pair):
    first = refreshed(api, pair["refresh"])
    time.sleep(1.1)
    again = refreshed(api, pair["refresh"])
    assert again["refresh"] == first["refresh"]
    assert 1 <= first["access_expires_in"] - again["access_expires_in"] <= 2
    assert 1 <= first["refresh_expires_in"] - again["refresh_expires_in"] <= 2


def test_the_successor_of_a_repeat_can_be_refreshed(api, pair):
    refreshed(api, pair["refresh"])
    again = refreshed(api, pair["refresh"])
    assert refreshed(api, again["refresh"])


def test_a_repeat_from_another_network_gets_the_pair_too_and_is_recorded(api, user, pair):
    first = refreshed(api, pair["refresh"])
    assert refreshed(ApiClient(ip="203.0.113.7"), pair["refresh"])["refresh"] == first["refresh"]
    [event] = events("session.repeated")
    assert (event.actor_id, event.target_id, event.ip) == (None, user.pk, "203.0.113.7")
    assert event.details == {"session": str(Session.objects.get().pk), "rotated_from": "192.0.2.1"}
    assert letters(user.email) == []
    assert is_in(api, first["access"])


def test_a_repeat_from_the_same_network_leaves_no_event(user):
    pair = log_in(ApiClient(ip="2001:db8:1:2::3"), user)
    refreshed(ApiClient(ip="2001:db8:1:2::4"), pair["refresh"])
    before = state()
    refreshed(ApiClient(ip="2001:db8:1:2:ffff::5"), pair["refresh"])
    assert state() == before
    assert events("session.repeated") == []


def test_a_repeat_of_what_the_previous_release_rotated_is_not_called_strange(api, pair):
    refreshed(api, pair["refresh"])
    Session.objects.update(rotated_from="")
    refreshed(ApiClient(ip="203.0.113.7"), pair["refresh"])
    assert events("session.repeated") == []


def assert_ended_by_reuse(api, user, *pairs):
    session = Session.objects.get()
    assert session.ended_at is not None
    assert session.ended_by == "reused"
    assert all(shut_out(api, pair) for pair in pairs)
    assert letters(user.email) == ["session_reused"]
    [reused], [ended] = events("session.reused"), events("session.ended")
    assert reused.target_id == ended.target_id == user.pk
    assert reused.details["session"] == str(session.pk)
    assert ended.details["why"] == "reused"


def test_a_spent_token_after_the_grace_ends_the_session_and_tells_its_owner(api, user, pair):
    successor = refreshed(api, pair["refresh"])
    shift(rotated_at=-11)
    assert refusal(refresh(api, pair["refresh"])) == (401, "invalid_refresh_token")
    assert_ended_by_reuse(api, user, pair, successor)


def test_a_token_two_generations_old_ends_the_session_even_at_once(api, user, pair):
    second = refreshed(api, pair["refresh"])
    third = refreshed(api, second["refresh"])
    assert refusal(refresh(api, pair["refresh"])) == (401, "invalid_refresh_token")
    assert_ended_by_reuse(api, user, pair, second, third)


def test_reuse_is_told_once_however_often_it_is_tried(api, user, pair):
    refreshed(api, pair["refresh"])
    shift(rotated_at=-11)
    for _ in range(4):
        assert refresh(api, pair["refresh"]).status_code == 401
    assert letters(user.email) == ["session_reused"]
    assert len(events("session.reused")) == 1


def test_reuse_in_one_session_leaves_the_other_devices_alone(api, user, pair):
    other = log_in(api, user)
    refreshed(api, pair["refresh"])
    shift(rotated_at=-11)
    refresh(api, pair["refresh"])
    assert is_in(api, other["access"])
    assert refreshed(api, other["refresh"])


def test_the_grace_can_be_switched_off(api, user, pair, settings):
    settings.REFRESH_GRACE_SECONDS = 0
    successor = refreshed(api, pair["refresh"])
    time.sleep(0.02)
    assert refresh(api, pair["refresh"]).status_code == 401
    assert_ended_by_reuse(api, user, successor)


def test_a_refresh_writes_nothing_but_the_session(api, pair, django_assert_max_num_queries):
    with django_assert_max_num_queries(4):
        refreshed(api, pair["refresh"])
    assert OutstandingToken.objects.count() == 0


@pytest.mark.parametrize("body", [{}, {"refresh": ""}, {"refresh": None}, {"refresh": 5}, {"refresh": "x" * 5000}])
def test_a_refresh_needs_its_token(api, body):
    with nothing_changes():
        assert list(wrong_fields(api.post("/auth/refresh", body))) == ["refresh"]


@pytest.mark.parametrize("token", ["x", "a.b.c", "." * 10, "é.é.é", "null"])
def test_a_broken_refresh_token_is_refused(api, user, token):
    with nothing_changes():
        response = refresh(api, token)
    assert refusal(response) == (401, "invalid_refresh_token")
    assert response["WWW-Authenticate"].startswith("Bearer ")


def test_a_refresh_token_of_a_deleted_person_is_refused(api, user, pair):
    user.delete()
    assert refusal(refresh(api, pair["refresh"])) == (401, "invalid_refresh_token")
    assert refusal(api.get("/users/me", token=pair["access"])) == (401, "invalid_token")


def test_a_token_of_a_session_that_never_was_is_refused(api, user, pair):
    Session.objects.update(id=uuid7())
    assert shut_out(api, pair)


# --- Lifetimes ---------------------------------------------------------------------------------------------------


def test_an_access_token_ends_with_its_lifetime(api, user, settings):
    settings.ACCESS_TOKEN_SECONDS = 2
    pair = log_in(api, user)
    assert 1 <= pair["access_expires_in"] <= 2
    assert is_in(api, pair["access"])
    time.sleep(2.05)
    assert refusal(api.get("/users/me", token=pair["access"])) == (401, "invalid_token")
    assert is_in(api, refreshed(api, pair["refresh"])["access"])


def test_an_idle_session_ends(api, user, settings):
    settings.SESSION_IDLE_SECONDS = 2
    pair = log_in(api, user)
    assert pair["refresh_expires_in"] <= 2
    assert pair["access_expires_in"] <= 2
    time.sleep(2.05)
    assert shut_out(api, pair)
    assert letters(user.email) == []
    assert api.post("/auth/login", {"email": user.email, "password": PASSWORD}).status_code == 200


def test_a_refresh_pushes_the_idle_limit_on(api, pair, settings):
    shift(refresh_expires_at=-settings.SESSION_IDLE_SECONDS + 100)
    refreshed(api, pair["refresh"])
    session = Session.objects.get()
    assert session.refresh_expires_at - session.rotated_at == timedelta(seconds=settings.SESSION_IDLE_SECONDS)


def test_nothing_pushes_the_absolute_limit_on(api, user, settings):
    settings.SESSION_MAX_SECONDS = 3
    pair = log_in(api, user)
    assert pair["refresh_expires_in"] <= 3
    end = Session.objects.get().expires_at
    time.sleep(1.1)
    pair = refreshed(api, pair["refresh"])
    assert pair["refresh_expires_in"] <= 2
    assert Session.objects.get().expires_at == end
    time.sleep(2)
    assert shut_out(api, pair)


def test_a_repeat_after_the_idle_limit_gets_nothing(api, pair):
    refreshed(api, pair["refresh"])
    Session.objects.update(refresh_expires_at=F("rotated_at"))
    assert refusal(refresh(api, pair["refresh"])) == (401, "invalid_refresh_token")


def test_lifetimes_of_one_second_are_legal(api, user, settings):
    settings.ACCESS_TOKEN_SECONDS = settings.SESSION_IDLE_SECONDS = settings.SESSION_MAX_SECONDS = 1
    pair = log_in(api, user)
    assert pair["access_expires_in"] <= 1
    time.sleep(1.05)
    assert shut_out(api, pair)


def test_expired_sessions_are_cleaned_up_and_live_ones_stay(api, user, pair, settings):
    other = log_in(api, user)
    Session.objects.exclude(pk=Session.objects.latest("id").pk).update(refresh_expires_at=F("created_at"))
    assert cleanup.clean_up()["sessions"] == 1
    assert is_in(api, other["access"])
    assert shut_out(api, pair)


# --- Log out -----------------------------------------------------------------------------------------------------


def test_logging_out_with_the_refresh_token_ends_the_session_at_once(api, pair):
    response = api.post("/auth/logout", {"refresh": pair["refresh"]})
    assert (response.status_code, response.content) == (204, b"")
    assert shut_out(api, pair)
    assert Session.objects.get().ended_by == "log_out"
    assert [event.details["why"] for event in events("session.ended")] == ["log_out"]


def test_logging_out_with_nothing_but_the_bearer_token_ends_the_session(api, pair):
    assert api.post("/auth/logout", token=pair["access"]).status_code == 204
    assert shut_out(api, pair)


def test_an_empty_object_as_body_is_nothing_but_the_bearer_token(api, pair):
    assert api.post("/auth/logout", {}, token=pair["access"]).status_code == 204
    assert shut_out(api, pair)


@pytest.mark.parametrize("by_refresh", [True, False])
def test_logging_out_twice_is_fine_and_recorded_once(api, pair, by_refresh):
    for _ in range(3):
        if by_refresh:
            response = api.post("/auth/logout", {"refresh": pair["refresh"]})
        else:
            response = api.post("/auth/logout", token=pair["access"])
        assert response.status_code == 204
    assert len(events("session.ended")) == 1
    assert BlacklistedToken.objects.count() == 1


def test_one_logs_out_with_a_spent_refresh_token(api, pair):
    successor = refreshed(api, pair["refresh"])
    assert api.post("/auth/logout", {"refresh": pair["refresh"]}).status_code == 204
    assert shut_out(api, successor)
    assert events("session.reused") == []


def test_one_logs_out_with_expired_tokens(api, user, settings):
    settings.ACCESS_TOKEN_SECONDS = settings.SESSION_IDLE_SECONDS = 1
    first, second = log_in(api, user), log_in(api, user)
    time.sleep(1.05)
    assert api.post("/auth/logout", {"refresh": first["refresh"]}).status_code == 204
    assert api.post("/auth/logout", token=second["access"]).status_code == 204
    assert Session.objects.filter(ended_at=None).count() == 0


def test_logging_out_on_one_device_leaves_the_other_alone(api, user, pair):
    other = log_in(api, user)
    api.post("/auth/logout", {"refresh": pair["refresh"]})
    assert is_in(api, other["access"])
    assert refreshed(api, other["refresh"])


def test_the_refresh_token_says_which_session_ends_not_the_bearer(api, user, pair):
    other = log_in(api, user)
    api.post("/auth/logout", {"refresh": other["refresh"]}, token=pair["access"])
    assert is_in(api, pair["access"])
    assert shut_out(api, other)


@pytest.mark.parametrize("token", ["x", "a.b.c"])
def test_logging_out_with_a_broken_refresh_token_is_refused(api, pair, token):
    with nothing_changes():
        response = api.post("/auth/logout", {"refresh": token})
    assert refusal(response) == (401, "invalid_refresh_token")


def test_an_access_token_does_not_pass_for_the_refresh_token_at_log_out(api, pair):
    with nothing_changes():
        assert refusal(api.post("/auth/logout", {"refresh": pair["access"]}))[0] == 401
        assert refusal(api.post("/auth/logout", token=pair["refresh"]))[0] == 401


def test_logging_out_with_nothing_at_all_is_refused(api, pair):
    with nothing_changes():
        assert refusal(api.post("/auth/logout")) == (401, "not_authenticated")


def test_logging_out_everywhere_ends_every_session_of_the_user_and_of_nobody_else(api, user, pair):
    other, stranger = log_in(api, user), log_in(api, UserFactory())
    assert api.post("/auth/logout/all", token=pair["access"]).status_code == 204
    assert shut_out(api, pair)
    assert shut_out(api, other)
    assert is_in(api, stranger["access"])
    assert len(events("session.ended")) == 2
    assert refusal(api.post("/auth/logout/all", token=pair["access"])) == (401, "invalid_token")


def test_logging_out_everywhere_needs_a_live_session(api, pair):
    with nothing_changes():
        assert refusal(api.post("/auth/logout/all")) == (401, "not_authenticated")
        assert refusal(api.post("/auth/logout/all", token="x")) == (401, "invalid_token")
        assert refusal(api.post("/auth/logout/all", {"refresh": pair["refresh"]})) == (401, "not_authenticated")


# --- What ends sessions from elsewhere ----------------------------------------------------------------------------


def test_a_deactivated_person_is_out_on_the_very_next_request(api, user, pair):
    admin = access_of(api, administrator())
    assert is_in(api, pair["access"])
    assert api.delete(f"/users/{user.pk}", token=admin).status_code == 204
    assert shut_out(api, pair)
    refused = api.post("/auth/login", {"email": user.email, "password": PASSWORD})
    assert refusal(refused) == (401, "invalid_credentials")


def test_a_session_of_a_deactivated_person_is_dead_even_if_nobody_ended_it(api, user, pair):
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert shut_out(api, pair)


def test_sessions_do_not_come_back_when_their_owner_is_restored(api, user, pair):
    admin = access_of(api, administrator())
    api.delete(f"/users/{user.pk}", token=admin)
    assert api.post(f"/users/{user.pk}/restore", token=admin).status_code == 200
    assert shut_out(api, pair)
    assert log_in(api, user)


def test_the_scheme_may_be_written_in_any_case(api, pair):
    for scheme in ("bearer", "BEARER", "Bearer "):
        assert api.get("/users/me", Authorization=f"{scheme} {pair['access']}").status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer x", "Basic YTpi", "Token x", "Bearer a b c"])
def test_other_authorization_is_refused(api, pair, header):
    status, code = refusal(api.get("/users/me", Authorization=header))
    assert status == 401
    assert code in ("not_authenticated", "invalid_token")


def test_the_challenge_names_the_error_only_for_a_token(api):
    assert "error=" not in api.get("/users/me")["WWW-Authenticate"]
    assert 'error="invalid_token"' in api.get("/users/me", token="x")["WWW-Authenticate"]


# --- The blacklist -----------------------------------------------------------------------------------------------


def test_an_ended_session_lists_its_refresh_token_by_jti_and_expiry_without_the_token(api, user, pair):
    successor = refreshed(api, pair["refresh"])
    api.post("/auth/logout", {"refresh": successor["refresh"]})
    [row] = BlacklistedToken.objects.select_related("token")
    session = Session.objects.get()
    assert row.token.token == ""
    assert row.token.jti == tokens.jti_of(session.pk, 2, "refresh")
    assert row.token.expires_at == session.refresh_expires_at
    assert row.token.user_id == user.pk


def test_refreshing_consults_the_blacklist(api, user, pair):
    session = Session.objects.select_related("user").get()
    tokens.blacklist([session])
    with nothing_changes():
        assert refusal(refresh(api, pair["refresh"])) == (401, "invalid_refresh_token")


def test_nothing_that_could_be_used_as_a_token_is_stored(api, user, pair):
    successor = refreshed(api, pair["refresh"])
    api.post("/auth/logout", {"refresh": successor["refresh"]})
    stored = str(state()) + str([event.details for event in events("session.ended")])
    for body in (pair, successor):
        for kind in ("access", "refresh"):
            assert body[kind] not in stored
            assert body[kind].rpartition(".")[2] not in stored


def test_the_blacklist_forgets_tokens_past_their_expiry(api, pair):
    api.post("/auth/logout", {"refresh": pair["refresh"]})
    assert cleanup.clean_up()["blacklisted"] == 0
    OutstandingToken.objects.update(expires_at=F("created_at") - timedelta(days=1))
    assert cleanup.clean_up()["blacklisted"] == 1
    assert BlacklistedToken.objects.count() == 0
    assert shut_out(api, pair)


# --- My devices --------------------------------------------------------------------------------------------------


def test_my_devices_are_listed_with_the_latest_first_and_this_one_marked(api, user):
    first = log_in(api, user, User_Agent=FIREFOX)
    log_in(ApiClient("198.51.100.7"), user, User_Agent=SAFARI)
    log_in(api, UserFactory())
    body = api.get("/users/me/sessions", token=first["access"]).json()
    assert set(body) == {"results"}
    assert [(s["device"], s["ip"], s["current"]) for s in body["results"]] == [
        ("Safari on Mac OS X", "198.51.100.7", False),
        ("Firefox on Linux", "192.0.2.1", True),
    ]
    assert set(body["results"][0]) == {"id", "created_at", "last_used_at", "ip", "device", "current"}


def test_ended_and_expired_devices_are_not_listed(api, user):
    ended, expired, mine = log_in(api, user), log_in(api, user), log_in(api, user)
    api.post("/auth/logout", {"refresh": ended["refresh"]})
    sid = [s["id"] for s in api.get("/users/me/sessions", token=expired["access"]).json()["results"] if s["current"]]
    Session.objects.filter(pk__in=sid).update(refresh_expires_at=F("created_at"))
    listed = api.get("/users/me/sessions", token=mine["access"]).json()["results"]
    assert [s["current"] for s in listed] == [True]


def test_i_end_one_of_my_devices(api, user, pair):
    other = log_in(api, user)
    sid = next(
        s["id"] for s in api.get("/users/me/sessions", token=pair["access"]).json()["results"] if not s["current"]
    )
    assert api.delete(f"/users/me/sessions/{sid}", token=pair["access"]).status_code == 204
    assert shut_out(api, other)
    assert is_in(api, pair["access"])
    with nothing_changes():
        assert refusal(api.delete(f"/users/me/sessions/{sid}", token=pair["access"])) == (404, "not_found")


def test_another_persons_device_is_not_there_for_me(api, pair):
    stranger = UserFactory()
    theirs = log_in(api, stranger)
    session = Session.objects.get(user=stranger)
    with nothing_changes():
        response = api.delete(f"/users/me/sessions/{session.pk}", token=pair["access"])
    assert refusal(response) == (404, "not_found")
    assert is_in(api, theirs["access"])
