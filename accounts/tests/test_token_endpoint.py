"""POST /auth/token, held against RFC 6749 §4.3, §5.1, §5.2 and §6."""

import json
from urllib.parse import urlencode

import pytest

from accounts.limits import FAILURES_BEFORE_WAITING
from accounts.models import Session
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.scene import events, letters, log_in, nothing_changes, refusal
from tests.client import ApiClient

pytestmark = pytest.mark.django_db

URL = "/api/v1/auth/token"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def user(db):
    return UserFactory(email="Ann@Example.org", username="Ann.Lee")


@pytest.fixture
def ask(api):
    def send(*pairs, content_type=FORM, **fields):
        body = urlencode([*pairs, *fields.items()])
        return api.client.generic("POST", URL, body, content_type=content_type)

    return send


@pytest.fixture
def granted(ask, user):
    return ask(grant_type="password", username=user.email, password=PASSWORD).json()


def error(response):
    """The error of RFC 6749 §5.2, which has a shape of its own and may not be kept."""
    assert response["Content-Type"] == "application/json"
    assert (response["Cache-Control"], response["Pragma"]) == ("no-store", "no-cache")
    body = response.json()
    assert set(body) == {"error", "error_description"}
    assert body["error_description"].isascii()
    return response.status_code, body["error"]


@pytest.mark.parametrize("name", ["Ann@Example.org", "ann@example.org", "Ann.Lee", "ANN.LEE"])
def test_a_password_is_changed_for_tokens(ask, user, name, settings):
    response = ask(grant_type="password", username=name, password=PASSWORD)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert (response["Cache-Control"], response["Pragma"]) == ("no-store", "no-cache")
    body = response.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert body["token_type"] == "Bearer"
    assert settings.ACCESS_TOKEN_SECONDS - 1 <= body["expires_in"] <= settings.ACCESS_TOKEN_SECONDS


def test_its_tokens_are_those_of_the_api(api, user, granted):
    assert api.get("/users/me", token=granted["access_token"]).json()["id"] == str(user.pk)
    assert api.post("/auth/refresh", {"refresh": granted["refresh_token"]}).status_code == 200
    assert [event.target_id for event in events("session.started")] == [user.pk]


def test_a_refresh_token_is_changed_for_new_ones(api, ask, granted):
    response = ask(grant_type="refresh_token", refresh_token=granted["refresh_token"])
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert body["refresh_token"] != granted["refresh_token"]
    assert api.get("/users/me", token=body["access_token"]).status_code == 200
    assert Session.objects.get().gen == 2


def test_a_repeat_gets_the_same_answer_and_reuse_ends_the_session(api, ask, user, granted):
    first = ask(grant_type="refresh_token", refresh_token=granted["refresh_token"]).json()
    again = ask(grant_type="refresh_token", refresh_token=granted["refresh_token"]).json()
    assert (again["access_token"], again["refresh_token"]) == (first["access_token"], first["refresh_token"])
    ask(grant_type="refresh_token", refresh_token=first["refresh_token"])
    reused = ask(grant_type="refresh_token", refresh_token=granted["refresh_token"])
    assert error(reused) == (400, "invalid_grant")
    assert letters(user.email) == ["session_reused"]
    assert api.get("/users/me", token=first["access_token"]).status_code == 401


@pytest.mark.parametrize(
    "fields",
    [
        {"username": "nobody", "password": PASSWORD},
        {"username": "Ann.Lee", "password": "wrong"},
        {"username": "Ann.Lee", "password": PASSWORD + " "},
    ],
)
def test_wrong_credentials_are_an_invalid_grant(ask, user, fields):
    with nothing_changes("session.refused"):
        assert error(ask(grant_type="password", **fields)) == (400, "invalid_grant")


@pytest.mark.parametrize("who", [{"is_active": False}, {"is_verified": False}])
def test_who_may_not_log_in_gets_an_invalid_grant(ask, who):
    user = UserFactory(**who)
    with nothing_changes("session.refused"):
        response = ask(grant_type="password", username=user.email, password=PASSWORD)
    assert error(response) == (400, "invalid_grant")


@pytest.mark.parametrize("token", ["x", "a.b.c", "é"])
def test_a_broken_refresh_token_is_an_invalid_grant(ask, user, token):
    with nothing_changes():
        assert error(ask(grant_type="refresh_token", refresh_token=token)) == (400, "invalid_grant")


def test_an_access_token_is_no_refresh_token(ask, granted):
    with nothing_changes():
        response = ask(grant_type="refresh_token", refresh_token=granted["access_token"])
    assert error(response) == (400, "invalid_grant")


@pytest.mark.parametrize("kind", ["authorization_code", "client_credentials", "PASSWORD", "password ", "\x00", "é"])
def test_other_grants_are_not_supported(ask, user, kind):
    with nothing_changes():
        response = ask(grant_type=kind, username=user.email, password=PASSWORD)
    assert error(response)[0] == 400
    assert error(response)[1] in ("unsupported_grant_type", "invalid_request")


@pytest.mark.parametrize(
    "fields",
    [
        {"username": "Ann.Lee", "password": PASSWORD},
        {"grant_type": "", "username": "Ann.Lee", "password": PASSWORD},
        {"grant_type": "password"},
        {"grant_type": "password", "username": "Ann.Lee"},
        {"grant_type": "password", "password": PASSWORD},
        {"grant_type": "password", "username": "Ann.Lee", "password": ""},
        {"grant_type": "password", "username": "", "password": PASSWORD},
        {"grant_type": "password", "username": "Ann\x00Lee", "password": PASSWORD},
        {"grant_type": "refresh_token"},
        {"grant_type": "refresh_token", "refresh_token": ""},
    ],
)
def test_missing_and_empty_parameters_are_an_invalid_request(ask, user, fields):
    with nothing_changes():
        assert error(ask(**fields)) == (400, "invalid_request")


@pytest.mark.parametrize("twice", ["grant_type", "username", "password"])
@pytest.mark.parametrize("empty_first", [True, False])
def test_a_parameter_sent_twice_is_an_invalid_request(ask, user, twice, empty_first):
    fields = {"grant_type": "password", "username": user.email, "password": PASSWORD}
    first = "" if empty_first else fields[twice]
    with nothing_changes():
        assert error(ask((twice, first), **fields)) == (400, "invalid_request")


def test_a_refresh_token_sent_twice_is_an_invalid_request(ask, granted):
    with nothing_changes():
        response = ask(("refresh_token", "x"), grant_type="refresh_token", refresh_token=granted["refresh_token"])
    assert error(response) == (400, "invalid_request")


def test_unknown_parameters_are_ignored(ask, user):
    response = ask(grant_type="password", username=user.email, password=PASSWORD, scope="openid", client_id="swagger")
    assert response.status_code == 200


def test_the_client_of_swagger_may_send_basic_credentials(api, user):
    body = urlencode({"grant_type": "password", "username": user.email, "password": PASSWORD})
    headers = {"Authorization": "Basic c3dhZ2dlcjo="}
    response = api.client.generic("POST", URL, body, content_type=FORM, headers=headers)
    assert response.status_code == 200


def test_parameters_of_the_query_do_not_count(api, user):
    query = urlencode({"grant_type": "password", "username": user.email, "password": PASSWORD})
    with nothing_changes():
        response = api.client.generic("POST", f"{URL}?{query}", "a=b", content_type=FORM)
    assert error(response) == (400, "invalid_request")


def test_a_json_body_is_an_unsupported_media_type(api, user):
    body = json.dumps({"grant_type": "password", "username": user.email, "password": PASSWORD})
    with nothing_changes():
        response = api.client.generic("POST", URL, body, content_type="application/json")
    assert refusal(response) == (415, "unsupported_media_type")


def test_a_multipart_body_is_an_unsupported_media_type(api, user):
    with nothing_changes():
        response = api.client.post(URL, {"grant_type": "password", "username": user.email, "password": PASSWORD})
    assert refusal(response) == (415, "unsupported_media_type")


def test_an_empty_form_is_an_invalid_request(api):
    with nothing_changes():
        response = api.client.generic("POST", URL, CONTENT_TYPE=FORM, CONTENT_LENGTH="0")
    assert error(response) == (400, "invalid_request")


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain", ""])
def test_no_body_at_all_is_a_bad_request_and_no_accident(api, content_type):
    extra = {} if content_type is None else {"CONTENT_TYPE": content_type}
    with nothing_changes():
        response = api.client.generic("POST", URL, **extra)
    assert response.status_code in (400, 415)


def test_a_body_of_thousands_of_parameters_is_refused(ask):
    with nothing_changes():
        assert refusal(ask(*[(f"p{n}", "x") for n in range(3000)])) == (413, "body_too_large")


@pytest.mark.parametrize("body", [b"\xff\xfe", b"grant_type=%ff%fe", b"=", b"&&&", b"grant_type", b"%00=%00"])
def test_bytes_that_mean_nothing_are_an_invalid_request(api, body):
    with nothing_changes():
        response = api.client.generic("POST", URL, body, content_type=FORM)
    assert error(response) in ((400, "invalid_request"), (400, "unsupported_grant_type"))


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_only_post_is_allowed(api, method):
    response = api.call(method, "/auth/token")
    assert refusal(response) == (405, "method_not_allowed")
    assert response["Allow"] == "POST"


def test_it_counts_towards_the_same_limits_as_the_log_in(api, ask, user):
    for n in range(FAILURES_BEFORE_WAITING):
        if n % 2:
            assert ask(grant_type="password", username=user.email, password="wrong").status_code == 400
        else:
            assert api.post("/auth/login", {"email": user.email, "password": "wrong"}).status_code == 401
    response = ask(grant_type="password", username=user.email, password=PASSWORD)
    assert error(response) == (429, "invalid_grant")
    assert 1 <= int(response["Retry-After"]) <= 60
    assert refusal(api.post("/auth/login", {"email": user.email, "password": PASSWORD})) == (429, "too_many_attempts")
    assert log_in(ApiClient("198.51.100.7"), user)
    assert Session.objects.count() == 1
