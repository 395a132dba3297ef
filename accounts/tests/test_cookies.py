"""Tokens in cookies: what a browser's script never sees, and what another site cannot make it do."""

import json
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from accounts.cookies import name_of
from accounts.models import Session
from accounts.tests.factories import PASSWORD, UserFactory, signed_in
from accounts.tests.scene import events, nothing_changes, refusal
from tests.operations import PUBLIC, Operation, operations
from tests.snapshot import contents
from tests.world import build, holder

pytestmark = pytest.mark.django_db
GARBLED = ["", "x", "a.b.c", "\x7f", "é", "9" * 5000]


class Browser:
    """Keeps cookies, and repeats the CSRF token in the header, as our own script would."""

    def __init__(self) -> None:
        self.client = Client(
            enforce_csrf_checks=True, HTTP_HOST="127.0.0.1", REMOTE_ADDR="192.0.2.8", raise_request_exception=False
        )

    def send(self, method: str, path: str, body: Any = None, *, csrf: str | None = "own", **headers: str) -> Any:
        kept = self.client.cookies.get("csrftoken")
        token = kept.value if csrf == "own" and kept else csrf
        if token and token != "own":
            headers["X-CSRFToken"] = token
        rest = () if body is None else (json.dumps(body), "application/json")
        return self.client.generic(method, f"/api/v1{path}", *rest, headers=headers)

    def sign_in(self, user: Any) -> Any:
        self.send("GET", "/auth/csrf")
        body = {"email": user.email, "password": PASSWORD, "cookies": True}
        response = self.send("POST", "/auth/login", body)
        assert response.status_code == 200, response.content
        return response

    def has(self) -> set[str]:
        return {name for name, morsel in self.client.cookies.items() if morsel.value}

    def put(self, kind: Any, value: str) -> None:
        self.client.cookies[name_of(kind)] = value


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def user() -> Any:
    return UserFactory()


# --- Getting and losing them -------------------------------------------------------------------------------------


def test_signing_in_sets_two_cookies_and_puts_no_token_into_the_body(browser, user):
    response = browser.sign_in(user)
    assert set(response.json()) == {"user", "access_expires_in"}
    assert response.json()["access_expires_in"] == settings.ACCESS_TOKEN_SECONDS
    for kind, seconds in (("access", settings.ACCESS_TOKEN_SECONDS), ("refresh", settings.SESSION_IDLE_SECONDS)):
        cookie = response.cookies[kind]
        assert cookie.value not in response.content.decode()
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
        assert (cookie["domain"], cookie["secure"]) == ("", "")
        assert cookie["max-age"] == seconds
    assert browser.send("GET", "/users/me").json()["id"] == str(user.pk)


def test_over_https_their_names_keep_them_to_this_host(browser, user, settings):
    """RFC 6265bis §4.1.3.2."""
    settings.PUBLIC_URL = "https://id.example.com"
    response = browser.sign_in(user)
    assert {"__Host-access", "__Host-refresh"} <= set(response.cookies)
    for cookie in (response.cookies["__Host-access"], response.cookies["__Host-refresh"]):
        assert (cookie["secure"], cookie["path"], cookie["domain"], cookie["httponly"]) == (True, "/", "", True)


def test_without_cookies_nothing_is_set(api, user):
    response = api.post("/auth/login", {"email": user.email, "password": PASSWORD})
    assert "access" in response.json()
    assert not response.cookies


@pytest.mark.parametrize("wrong", ["yes", 1, None, []])
def test_cookies_is_a_flag(browser, user, wrong):
    browser.send("GET", "/auth/csrf")
    response = browser.send("POST", "/auth/login", {"email": user.email, "password": PASSWORD, "cookies": wrong})
    assert refusal(response) == (400, "validation_error")


def test_refreshing_without_a_body_rotates_the_cookies(browser, user):
    browser.sign_in(user)
    before = browser.client.cookies["refresh"].value
    response = browser.send("POST", "/auth/refresh")
    assert response.status_code == 200
    assert set(response.json()) == {"access_expires_in"}
    assert browser.client.cookies["refresh"].value not in (before, "")
    assert Session.objects.get().gen == 2
    assert browser.send("GET", "/users/me").status_code == 200


def test_two_tabs_that_refresh_at_once_both_stay_signed_in(browser, user):
    browser.sign_in(user)
    other = Browser()
    other.client.cookies.load({name: morsel.value for name, morsel in browser.client.cookies.items()})
    first, second = browser.send("POST", "/auth/refresh"), other.send("POST", "/auth/refresh")
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.cookies["refresh"].value == second.cookies["refresh"].value
    assert other.send("GET", "/users/me").status_code == 200


def test_a_body_wins_over_the_cookie(browser, user):
    browser.sign_in(user)
    pair = signed_in(user).pair
    response = browser.send("POST", "/auth/refresh", {"refresh": pair.refresh})
    assert set(response.json()) >= {"access", "refresh"}
    assert not set(response.cookies) & {"access", "refresh"}


def test_a_header_wins_over_a_cookie(browser, user):
    browser.sign_in(user)
    other = UserFactory()
    access = signed_in(other).pair.access
    assert browser.send("GET", "/users/me", Authorization=f"Bearer {access}").json()["id"] == str(other.pk)
    response = browser.send("GET", "/users/me", Authorization="Bearer broken")
    assert refusal(response) == (401, "invalid_token")
    assert not response.cookies, "what the header spoils the cookies do not pay for"
    assert refusal(browser.send("GET", "/users/me", Authorization="Basic x")) == (401, "not_authenticated")


@pytest.mark.parametrize(("method", "path"), [("POST", "/auth/logout"), ("POST", "/auth/logout/all")])
def test_signing_out_ends_the_session_and_deletes_the_cookies_as_they_were_set(browser, user, method, path):
    browser.sign_in(user)
    response = browser.send(method, path)
    assert response.status_code == 204
    assert Session.objects.get().ended_at
    for kind in ("access", "refresh"):
        cookie = response.cookies[kind]
        assert (cookie.value, cookie["max-age"], cookie["path"]) == ("", 0, "/")
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")


def test_signing_out_with_nothing_but_the_refresh_cookie_ends_the_session(browser, user):
    """The access cookie has gone by then, as often as not."""
    browser.sign_in(user)
    del browser.client.cookies["access"]
    assert browser.send("POST", "/auth/logout").status_code == 204
    assert Session.objects.get().ended_at


def test_closing_the_account_deletes_the_cookies(browser, user):
    browser.sign_in(user)
    assert browser.send("DELETE", "/users/me", {"password": PASSWORD}).status_code == 204
    assert browser.has() == {"csrftoken"}


# --- Nobody is stuck with a bad one --------------------------------------------------------------------------------


@pytest.mark.parametrize("value", GARBLED)
def test_a_garbled_cookie_keeps_nobody_from_signing_in(browser, user, value):
    browser.put("access", value)
    browser.put("refresh", value)
    browser.client.cookies["csrftoken"] = value
    browser.sign_in(user)
    assert browser.send("GET", "/users/me").status_code == 200


@pytest.mark.parametrize("value", GARBLED[1:])
def test_public_calls_ignore_a_garbled_cookie_and_delete_it(browser, user, value):
    browser.put("access", value)
    browser.put("refresh", value)
    response = browser.send("POST", "/auth/password/forgot", {"email": user.email})
    assert response.status_code == 202
    assert {name for name, cookie in response.cookies.items() if cookie["max-age"] == 0} == {"access", "refresh"}


def test_public_calls_leave_a_good_cookie_alone(browser, user):
    browser.sign_in(user)
    response = browser.send("POST", "/auth/password/forgot", {"email": user.email})
    assert not set(response.cookies) & {"access", "refresh"}
    assert browser.send("GET", "/users/me").status_code == 200


def test_the_cookies_of_an_ended_session_are_refused_and_deleted(browser, user):
    browser.sign_in(user)
    Session.objects.update(ended_at="2026-01-01T00:00:00Z")
    assert refusal(browser.send("GET", "/users/me")) == (401, "invalid_token")
    assert browser.has() == {"csrftoken"}
    assert refusal(browser.send("GET", "/users/me")) == (401, "not_authenticated")


def test_a_stale_access_cookie_leaves_the_refresh_cookie_to_be_used(browser, user):
    browser.sign_in(user)
    browser.put("access", "stale")
    assert refusal(browser.send("GET", "/users/me")) == (401, "invalid_token")
    assert "refresh" in browser.has()
    assert browser.send("POST", "/auth/refresh").status_code == 200
    assert browser.send("GET", "/users/me").status_code == 200


def test_one_kind_never_passes_for_the_other(browser, user):
    pair = signed_in(user).pair
    browser.put("access", pair.refresh)
    assert refusal(browser.send("GET", "/users/me")) == (401, "invalid_token")
    browser.put("refresh", pair.access)
    browser.send("GET", "/auth/csrf")
    browser.put("refresh", pair.access)
    assert refusal(browser.send("POST", "/auth/refresh")) == (401, "invalid_refresh_token")


def test_a_spent_cookie_after_the_grace_ends_the_session_for_both(browser, user, settings):
    settings.REFRESH_GRACE_SECONDS = 0
    browser.sign_in(user)
    thief = Browser()
    thief.client.cookies.load({name: morsel.value for name, morsel in browser.client.cookies.items()})
    assert browser.send("POST", "/auth/refresh").status_code == 200
    Session.objects.update(rotated_at="2026-01-01T00:00:00Z")
    response = thief.send("POST", "/auth/refresh")
    assert refusal(response) == (401, "invalid_refresh_token")
    assert thief.has() == {"csrftoken"}
    assert refusal(browser.send("GET", "/users/me")) == (401, "invalid_token")
    assert events("session.reused")


@pytest.mark.parametrize("value", GARBLED[1:])
def test_signing_out_with_garbled_cookies_is_no_refusal(browser, value):
    browser.put("access", value)
    browser.put("refresh", value)
    assert browser.send("POST", "/auth/logout").status_code == 204
    assert browser.has() <= {"csrftoken"}


def test_signing_out_with_nothing_at_all_is_refused(browser):
    assert refusal(browser.send("POST", "/auth/logout")) == (401, "not_authenticated")


def test_refreshing_with_nothing_at_all_is_told_so(browser):
    response = browser.send("POST", "/auth/refresh")
    assert refusal(response) == (400, "validation_error")
    assert response.json()["errors"][0]["field"] == "refresh"


# --- Another site (OWASP ASVS 3.5.1) --------------------------------------------------------------------------------

FORGED = [
    {"csrf": None},
    {"csrf": ""},
    {"csrf": "x" * 32},
    {"csrf": "é" * 64},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:8000.evil.example"},
    {"Origin": "https://127.0.0.1:8000"},
]
UNSAFE = [operation for operation in operations() if operation.method != "GET" and operation.expected.needs != PUBLIC]


@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_signing_in_by_cookie_from_another_site_is_refused(browser, user, forged):
    browser.send("GET", "/auth/csrf")
    with nothing_changes():
        body = {"email": user.email, "password": PASSWORD, "cookies": True}
        assert refusal(browser.send("POST", "/auth/login", body, **forged)) == (403, "csrf_failed")
    assert browser.has() == {"csrftoken"}


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout", "/auth/logout/all"])
@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_another_site_neither_refreshes_nor_signs_out(browser, user, path, forged):
    browser.sign_in(user)
    with nothing_changes():
        response = browser.send("POST", path, **forged)
        assert refusal(response) == (403, "csrf_failed")
    assert not set(response.cookies) & {"access", "refresh"}
    assert browser.send("GET", "/users/me").status_code == 200


@pytest.mark.parametrize("operation", UNSAFE, ids=lambda operation: operation.name)
def test_no_unsafe_call_is_made_by_cookie_alone(operation: Operation) -> None:
    world = build()
    permission = operation.expected.needs if ":" in operation.expected.needs else None
    caller, _ = holder(world, permission)
    browser = Browser()
    browser.sign_in(caller)
    path = operation.url(world, caller).removeprefix("/api/v1")
    body = operation.expected.body(world, caller)
    before = contents()
    for forged in ({"csrf": None}, {"Origin": "https://evil.example"}):
        assert refusal(browser.send(operation.method, path, body, **forged)) == (403, "csrf_failed")
    assert contents() == before
    response = browser.send(operation.method, path, body, Origin=settings.PUBLIC_URL)
    assert response.status_code == operation.expected.ok, response.content


def test_a_bearer_needs_no_csrf_token(browser, user):
    browser.sign_in(user)
    access = signed_in(user).pair.access
    headers = {"Authorization": f"Bearer {access}", "Origin": "https://evil.example"}
    response = browser.send("PATCH", "/users/me", {"first_name": "Zoë"}, csrf=None, **headers)
    assert response.status_code == 200


def test_the_csrf_cookie_stays_while_it_is_good(browser):
    first = browser.send("GET", "/auth/csrf")
    assert (first.status_code, first.content, first.cookies["csrftoken"]["samesite"]) == (204, b"", "Lax")
    kept = browser.client.cookies["csrftoken"].value
    browser.send("GET", "/auth/csrf")
    assert browser.client.cookies["csrftoken"].value == kept


def test_no_other_origin_may_use_the_cookies(browser, user, settings):
    """CORS is for bearer clients: never with credentials, and the header of the CSRF token is not allowed."""
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    headers = {
        "Origin": "https://app.example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-csrftoken",
    }
    response = browser.client.options("/api/v1/auth/refresh", headers=headers)
    assert response["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "Access-Control-Allow-Credentials" not in response
    assert "x-csrftoken" not in response["Access-Control-Allow-Headers"].lower()


# --- Left out -------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_cookies(settings):
    settings.MIDDLEWARE = [line for line in settings.MIDDLEWARE if line != "accounts.cookies.CookiesMiddleware"]


@pytest.mark.usefixtures("without_cookies")
def test_without_its_middleware_there_is_no_cookie_mode(user):
    browser = Browser()
    assert browser.send("GET", "/auth/csrf").status_code == 204
    answer = browser.send("POST", "/auth/login", {"email": user.email, "password": PASSWORD, "cookies": True})
    assert {"access", "refresh"} <= set(answer.json())
    browser.put("access", answer.json()["access"])
    browser.put("refresh", answer.json()["refresh"])
    assert refusal(browser.send("GET", "/users/me")) == (401, "not_authenticated")
    assert refusal(browser.send("POST", "/auth/refresh")) == (400, "validation_error")
    assert refusal(browser.send("POST", "/auth/logout")) == (401, "not_authenticated")
    assert not set(answer.cookies)
