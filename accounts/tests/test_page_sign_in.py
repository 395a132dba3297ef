"""Signing in on the pages: the cookies of the API, kept fresh on the way, for nobody else and from nowhere else."""

import re
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.urls import clear_url_caches

from accounts.cookies import name_of
from accounts.models import Session, User
from accounts.pages.page import PUBLIC
from accounts.tests.browser import Browser, leads_to, text, told
from accounts.tests.clock import time_passes
from accounts.tests.factories import PASSWORD, UserFactory, session_of, signed_in
from accounts.tests.mailbox import code_in_mail
from accounts.tests.scene import holder
from accounts.tests.steps import ANN, OTHER_PASSWORD, gets_in, signed_up
from accounts.tests.witness import events, nothing_changes
from tests.client import ApiClient

pytestmark = pytest.mark.django_db
GARBLED = ["x", "a.b.c", "\x7f", "é", "9" * 3000]
OWN = ["/account", *(f"/account/{n}" for n in ("password", "email", "email/confirm", "devices", "close"))]


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def ann() -> Any:
    return UserFactory(email=ANN, first_name="Ann", language="en")


@pytest.fixture
def inside(browser, ann) -> Browser:
    browser.sign_in(ann)
    return browser


@pytest.fixture
def staff() -> Any:
    return holder("user:read", is_staff=True)


# --- The cookies -----------------------------------------------------------------------------------------------------


def test_signing_in_sets_the_cookies_of_the_api(inside, ann):
    assert {"access", "refresh", "csrftoken"} <= inside.has()
    assert "session" not in inside.has(), "one session, by one kind of cookie"
    response = inside.client.get("/api/v1/users/me")
    assert response.json()["id"] == str(ann.pk)


def test_they_are_hidden_from_scripts_and_kept_to_this_host(browser, ann, settings):
    settings.PUBLIC_URL = "https://id.example.com"
    response = browser.sign_in(ann)
    for kind in ("access", "refresh"):
        cookie = response.cookies[name_of(kind)]
        assert name_of(kind).startswith("__Host-")
        assert (cookie["httponly"], cookie["secure"], cookie["samesite"], cookie["path"]) == (True, True, "Lax", "/")


def test_who_signed_in_by_the_api_is_in_on_the_pages(browser, ann):
    pair = signed_in(ann).pair
    browser.put("access", pair.access)
    browser.put("refresh", pair.refresh)
    assert ANN in text(browser.open("/account"))


def test_a_bearer_token_opens_no_page(ann):
    access = signed_in(ann).pair.access
    assert not Browser(authorization=f"Bearer {access}").is_in()


def test_the_account_is_found_with_a_slash_too(inside):
    assert leads_to(inside.open("/account/")) == "/account"


# --- Refreshed on the way --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stale", [None, *GARBLED])
@pytest.mark.parametrize("path", OWN)
def test_a_stale_access_cookie_is_renewed_on_the_way(inside, path, stale):
    inside.lose("access") if stale is None else inside.put("access", stale)
    before = inside.cookie("refresh")
    response = inside.open(path)
    assert response.status_code == 200
    assert {"access", "refresh"} <= set(response.cookies)
    assert inside.cookie("refresh") != before
    assert Session.objects.get().gen == 2
    assert inside.client.get("/api/v1/users/me").status_code == 200


def test_nothing_typed_is_lost_when_the_access_cookie_ends_meanwhile(inside, ann):
    inside.open("/account")
    inside.lose("access")
    assert (
        leads_to(inside.post("/account", username="", first_name="Zoë", last_name="Lee", language="en")) == "/account"
    )
    ann.refresh_from_db()
    assert ann.first_name == "Zoë"


def test_what_is_refused_then_is_shown_again_as_it_was_typed(inside):
    inside.open("/account")
    inside.lose("access")
    response = inside.post("/account", username="a b", first_name="Zoë", last_name="Lee", language="en")
    assert response.status_code == 400
    assert 'value="Zoë"' in text(response)
    assert "access" in response.cookies


def test_two_tabs_that_load_at_once_both_stay(inside):
    other = Browser()
    other.borrow(inside)
    inside.lose("access")
    other.lose("access")
    assert (inside.open("/account").status_code, other.open("/account/devices").status_code) == (200, 200)
    assert inside.cookie("refresh") == other.cookie("refresh")
    assert inside.is_in()
    assert other.is_in()
    assert not events("session.reused")


def test_a_spent_cookie_after_the_grace_ends_the_session_and_deletes_the_cookies(inside, settings):
    thief = Browser()
    thief.borrow(inside, "refresh")
    inside.lose("access")
    inside.open("/account")
    time_passes(seconds=settings.REFRESH_GRACE_SECONDS + 1)
    assert leads_to(thief.open("/account")).startswith("/account/login")
    assert thief.has() <= {"csrftoken"}
    assert not inside.is_in()
    assert events("session.reused")


@pytest.mark.parametrize("method", ["get", "head"])
def test_others_are_led_to_log_in_and_back(browser, ann, method):
    response = getattr(browser.client, method)("/account/devices?x=1&y=%2F")
    target = leads_to(response)
    assert target == "/account/login?next=%2Faccount%2Fdevices%3Fx%3D1%26y%3D%252F"
    response = browser.send("/account/login", query=target.removeprefix("/account/login"), email=ANN, password=PASSWORD)
    assert leads_to(response) == "/account/devices?x=1&y=%2F"


def test_the_way_back_survives_a_wrong_password(browser, ann):
    query = "?next=/account/devices%3Fx%3D1"
    response = browser.send("/account/login", query=query, next="/account/devices?x=1", email=ANN, password="wrong")
    assert '<input type="hidden" name="next" value="/account/devices?x=1">' in text(response)
    response = browser.send("/account/login", next="/account/devices?x=1", email=ANN, password=PASSWORD)
    assert leads_to(response) == "/account/devices?x=1"


def link_in(page, path):
    """The query of the link to `path`."""
    [link] = re.findall(rf'href="({re.escape(path)}[^"]*)"', text(page))
    return unescape(link).partition("?")[2]


def test_the_way_back_survives_signing_up_and_confirming(browser):
    query = link_in(browser.open("/account/login", next="/app/?a=b&c=%2F"), "/account/signup")
    browser.send("/account/signup", query=f"?{query}", email=ANN, password=PASSWORD)
    assert leads_to(browser.send("/account/verify", code=code_in_mail(ANN))) == "/account/login"
    assert leads_to(browser.send("/account/login", email=ANN, password=PASSWORD)) == "/app/?a=b&c=%2F"
    browser.send("/account/logout")
    assert leads_to(browser.send("/account/login", email=ANN, password=PASSWORD)) == "/account", "once is enough"


def test_the_way_back_survives_a_forgotten_password(browser, ann):
    query = link_in(browser.open("/account/login", next="/account/devices"), "/account/forgot")
    browser.send("/account/forgot", query=f"?{query}", email=ANN)
    browser.send("/account/reset", code=code_in_mail(ANN, "reset"), new_password=OTHER_PASSWORD)
    assert leads_to(browser.send("/account/login", email=ANN, password=OTHER_PASSWORD)) == "/account/devices"


def test_the_way_back_survives_an_address_that_was_not_confirmed_yet(browser, api):
    signed_up(api)
    User.objects.update(is_verified=False)
    response = browser.send("/account/login", query="?next=/account/devices", email=ANN, password=PASSWORD)
    assert leads_to(response) == "/account/verify"
    User.objects.update(is_verified=True)
    assert leads_to(browser.send("/account/login", email=ANN, password=PASSWORD)) == "/account/devices"


@pytest.mark.parametrize("step", ["/account/signup", "/account/forgot"])
def test_what_is_remembered_on_the_way_leads_nowhere_else(browser, ann, step):
    browser.send(step, email="other@example.org", password=PASSWORD, next="//evil.example")
    assert leads_to(browser.send("/account/login", email=ANN, password=PASSWORD)) == "/account"


def test_a_form_of_a_stranger_changes_nothing_and_leads_to_log_in(browser, ann):
    browser.open("/account/login")
    with nothing_changes():
        response = browser.post("/account/close", password=PASSWORD)
    assert leads_to(response) == "/account/login?next=%2Faccount%2Fclose"


# --- Nobody is stuck -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", GARBLED)
@pytest.mark.parametrize("kind", ["access", "refresh", "session", "csrftoken", "messages", "sessionid"])
def test_a_garbled_cookie_keeps_nobody_from_signing_in_or_up(ann, kind, value):
    for path, fields, then in (
        ("/account/login", {"email": ANN, "password": PASSWORD}, "/account"),
        ("/account/signup", {"email": "new@example.org", "password": PASSWORD}, "/account/verify"),
    ):
        browser = Browser()
        browser.client.cookies[name_of(kind) if kind in ("access", "refresh") else kind] = value
        assert leads_to(browser.send(path, **fields)) == then


@pytest.mark.parametrize("value", GARBLED)
def test_what_is_of_no_use_is_deleted(browser, value):
    browser.put("access", value)
    browser.put("refresh", value)
    browser.open("/account/login")
    assert not {"access", "refresh"} & browser.has()


def test_the_cookies_of_another_installation_keep_nobody_out(browser, ann, settings):
    pair = signed_in(UserFactory()).pair
    browser.put("access", pair.access[:-6] + "AAAAAA")
    browser.put("refresh", pair.refresh[:-6] + "AAAAAA")
    browser.sign_in(ann)
    assert browser.is_in()


@pytest.mark.parametrize("path", sorted(PUBLIC - {"/account/logout"}))
def test_the_cookies_of_an_ended_session_keep_nobody_out(inside, path):
    Session.objects.update(ended_at="2026-01-01T00:00:00Z")
    assert inside.open(path).status_code == 200
    assert not {"access", "refresh"} & inside.has()


def test_a_closed_account_is_out_at_once(inside, ann):
    type(ann).objects.update(is_active=False)
    assert not inside.is_in()


# --- A safe way on (CWE-601) -----------------------------------------------------------------------------------------

EVIL = [
    "//evil.example",
    "///evil.example",
    "\\\\evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/\n/evil.example",
    "/account\r\nLocation: https://evil.example",
    "/account\r\n\r\n<script>",
    "http:evil.example",
    "http:///evil.example",
    "https://evil.example",
    "HTTPS://evil.example/account",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "http://127.0.0.1:1/account",
    "//127.0.0.1:1/account",
    "//127.0.0.1@evil.example",
    "http://127.0.0.1@evil.example",
    "/%0d%0aLocation:evil\x00",
    "%2f%2fevil.example",
    "evil.example",
    "account",
    "?x",
    "#x",
    "/é",
    "/\u202e",
    "/account/login",
    "/account/login?next=/account/login",
    "/account/logout",
]


@pytest.mark.parametrize("target", EVIL)
def test_signing_in_leads_nowhere_else(browser, ann, target):
    page = text(browser.open("/account/login", next=target))
    assert 'name="next"' not in page
    assert leads_to(browser.send("/account/login", email=ANN, password=PASSWORD, next=target)) == "/account"
    assert leads_to(browser.open("/account/login", next=target)) == "/account"


@pytest.mark.parametrize(
    "target",
    ["/", "/account/devices", "/admin/", "/app/?a=b&c=%2F%2Fevil#x", "/%2f%2fevil.example", "/%5cevil.example"],
)
def test_signing_in_leads_to_a_path_of_this_site(browser, ann, target):
    assert leads_to(browser.send("/account/login", email=ANN, password=PASSWORD, next=target)) == target
    assert leads_to(browser.open("/account/login", next=target)) == target


# --- Who is in, and who goes in again --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/account/login", "/account/signup"])
def test_who_is_in_is_led_away_from_the_doors(inside, path):
    assert leads_to(inside.open(path)) == "/account"


def test_who_is_in_signs_nobody_up(inside):
    inside.open("/account")
    with nothing_changes():
        response = inside.post("/account/signup", email="new@example.org", password=PASSWORD)
    assert leads_to(response) == "/account"


def test_a_form_of_another_tab_signs_in_whoever_it_names_and_the_first_is_out(inside):
    bob = UserFactory(email="bob@example.org")
    inside.open("/account")
    response = inside.post("/account/login", email=bob.email, password=PASSWORD)
    assert leads_to(response) == "/account"
    assert bob.email in text(inside.open("/account"))
    assert Session.objects.live().get().user == bob


def test_a_wrong_password_there_signs_nobody_out(inside):
    inside.open("/account")
    assert inside.post("/account/login", email="bob@example.org", password="wrong").status_code == 401
    assert inside.is_in()


# --- Fixation (CWE-384) ----------------------------------------------------------------------------------------------


def test_cookies_that_were_put_there_before_are_worth_nothing_after(ann):
    attacker, victim = Browser(), Browser()
    attacker.send("/account/forgot", email="x@example.org")  # a session of Django's, without anybody in it
    assert {"session", "csrftoken"} <= attacker.has()
    victim.borrow(attacker)
    response = victim.sign_in(ann)
    assert victim.client.cookies["csrftoken"].value != attacker.client.cookies["csrftoken"].value
    assert not victim.client.cookies["session"].value
    assert not attacker.is_in()
    assert response.status_code == 302


def test_a_session_of_the_attacker_does_not_become_that_of_the_victim(ann):
    attacker, victim = Browser(), Browser()
    attacker.sign_in(UserFactory(email="mallory@example.org"))
    victim.borrow(attacker)
    victim.open("/account")
    victim.post("/account/login", email=ANN, password=PASSWORD)
    assert ANN in text(victim.open("/account"))
    assert not attacker.is_in()
    assert ApiClient().get("/users/me", token=attacker.cookie("access")).status_code == 401


def test_each_log_in_is_a_session_of_its_own(ann):
    sids = set()
    for _ in range(2):
        browser = Browser()
        browser.sign_in(ann)
        sids.add(browser.cookie("refresh"))
    assert len(sids) == Session.objects.live().count() == 2


# --- Forged forms ----------------------------------------------------------------------------------------------------

FORMS = {
    "/account/signup": {"email": "new@example.org", "password": PASSWORD},
    "/account/verify": {"email": ANN, "code": "123456"},
    "/account/verify/resend": {"email": ANN},
    "/account/login": {"email": ANN, "password": PASSWORD},
    "/account/logout": {},
    "/account/forgot": {"email": ANN},
    "/account/reset": {"email": ANN, "code": "123456", "new_password": OTHER_PASSWORD},
    "/account": {"first_name": "Mallory"},
    "/account/password": {"current_password": PASSWORD, "new_password": OTHER_PASSWORD},
    "/account/email": {"new_email": "new@example.org", "password": PASSWORD},
    "/account/email/confirm": {"code": "123456"},
    "/account/devices": {"others": "1"},
    "/account/close": {"password": PASSWORD},
}
FOREIGN = ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:8001", "https://127.0.0.1:8000"]


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("signed_in_before", [True, False])
def test_a_form_without_its_token_changes_nothing(browser, ann, path, signed_in_before):
    if signed_in_before:
        browser.sign_in(ann)
    session_of(ann)
    browser.open("/account/login")
    with nothing_changes():
        for token in ("", "x", "a" * 64):
            response = browser.post(path, csrfmiddlewaretoken=token, **FORMS[path])
            assert (response.status_code, response.json()["code"]) == (403, "csrf_failed")
    assert not signed_in_before or browser.is_in()


# What comes behind a link hides its origin; the token decides there (see the tests of the landing pages).
HIDING = {"/account/verify", "/account/reset"}


@pytest.mark.parametrize(("path", "origin"), [(p, o) for p in FORMS for o in FOREIGN if o != "null" or p not in HIDING])
def test_a_form_of_another_origin_changes_nothing(inside, ann, path, origin):
    session_of(ann)
    inside.open("/account")
    with nothing_changes():
        response = inside.post(path, origin=origin, **FORMS[path])
    assert (response.status_code, response.json()["code"]) == (403, "csrf_failed")
    assert inside.is_in()


def test_a_form_of_our_own_origin_is_taken_whatever_the_server_listens_on(browser, ann, settings):
    settings.PUBLIC_URL = "https://id.example.com"
    response = browser.send("/account/login", origin="https://id.example.com", email=ANN, password=PASSWORD)
    assert leads_to(response) == "/account"


# --- Log-out, and the panel ------------------------------------------------------------------------------------------


def test_opening_the_page_signs_nobody_out(inside):
    with nothing_changes():
        assert inside.open("/account/logout").status_code == 200
    assert inside.is_in()


def test_signing_out_ends_the_session_and_deletes_the_cookies(inside):
    access = inside.cookie("access")
    assert leads_to(inside.send("/account/logout")) == "/account/login"
    assert inside.has() <= {"csrftoken", "messages"}
    assert Session.objects.get().ended_by == "log_out"
    assert ApiClient().get("/users/me", token=access).status_code == 401
    assert "You are signed out." in text(inside.open("/account/login"))


def test_signing_out_with_nothing_but_the_refresh_cookie_ends_the_session_and_leaves_no_cookie(inside):
    inside.lose("access")
    inside.send("/account/logout")
    assert not {"access", "refresh"} & inside.has()
    assert Session.objects.get().ended_at


def test_signing_out_twice_is_no_refusal(browser):
    assert leads_to(browser.send("/account/logout")) == "/account/login"


def test_staff_enters_the_panel_without_signing_in_again(browser, staff):
    browser.sign_in(staff)
    assert browser.client.get("/admin/").status_code == 200
    assert browser.client.get("/admin/accounts/user/").status_code == 200


def test_who_is_not_staff_does_not(inside):
    assert inside.client.get("/admin/").status_code == 302


def test_signing_out_of_the_pages_ends_the_panel(browser, staff):
    browser.sign_in(staff)
    browser.send("/account/logout")
    assert browser.client.get("/admin/").status_code == 302
    assert not Session.objects.live().exists()


def test_signing_out_of_the_panel_ends_the_pages(browser, staff):
    browser.sign_in(staff)
    browser.client.get("/admin/")
    assert browser.post("/admin/logout/").status_code == 200
    assert not browser.is_in()
    assert browser.has() <= {"csrftoken"}
    assert not Session.objects.live().exists()


def panel_sign_in(browser: Browser, user: Any) -> Any:
    browser.client.get("/admin/login/")
    return browser.post("/admin/login/", username=user.email, password=PASSWORD, next="/admin/")


def test_who_signed_in_at_the_panel_is_in_on_the_pages(browser, staff):
    assert panel_sign_in(browser, staff).status_code == 302
    assert staff.email in text(browser.open("/account"))
    browser.send("/account/logout")
    assert browser.client.get("/admin/").status_code == 302


def test_one_browser_is_one_person(inside, staff):
    """Whoever signs in at the panel is no longer somebody else on the pages and in the API."""
    assert panel_sign_in(inside, staff).status_code == 302
    assert not {"access", "refresh"} & inside.has()
    assert staff.email in text(inside.open("/account"))
    assert Session.objects.live().get().user == staff


def test_both_sessions_of_a_browser_end_together(browser, staff, ann):
    panel_sign_in(browser, staff)
    pair = signed_in(ann).pair
    browser.put("access", pair.access)
    browser.put("refresh", pair.refresh)
    browser.send("/account/logout")
    assert not Session.objects.live().exists()


# --- Under serve ------------------------------------------------------------------------------------------


def test_every_page_with_a_password_has_its_own_threads_under_serve():
    from django import forms

    from accounts.pages.urls import urlpatterns

    views = {"/" + str(u.pattern): getattr(u.callback, "view_class", None) for u in urlpatterns}
    asking = {
        path
        for path, view in views.items()
        if view and any(isinstance(f.widget, forms.PasswordInput) for f in view.form.base_fields.values())
    }
    ours = {path for path in settings.HASHING_PATHS if path.startswith("/account")}
    assert ours == asking | {"/account/verify"}, "and a verification may look at one"


# --- Left out --------------------------------------------------------------------------------------------------------

PAGES_LINE, COOKIES_LINE = "accounts.pages.middleware.PagesMiddleware", "accounts.cookies.CookiesMiddleware"


@pytest.fixture
def without_pages(settings, monkeypatch) -> Any:
    """As if the `include` and the line were not there."""
    from accounts.pages import urls as pages
    from config import urls

    kept = [url for url in urls.urlpatterns if getattr(url, "urlconf_name", None) is not pages]
    assert len(kept) == len(urls.urlpatterns) - 1
    monkeypatch.setattr(urls, "urlpatterns", kept)
    settings.MIDDLEWARE = [line for line in settings.MIDDLEWARE if line != PAGES_LINE]
    clear_url_caches()
    yield
    monkeypatch.undo()
    clear_url_caches()


@pytest.mark.usefixtures("without_pages")
def test_without_the_pages_api_and_panel_work(browser, staff):
    for path in (*OWN, *PUBLIC):
        assert browser.open(path).status_code == 404
    index = text(browser.open("/"))
    assert "/account" not in index
    assert "/admin/" in index
    signed_up(ApiClient())
    assert gets_in(staff.email)
    browser.client.get("/admin/login/")
    assert browser.post("/admin/login/", username=staff.email, password=PASSWORD).status_code == 302
    assert browser.client.get("/admin/").status_code == 200
    assert browser.post("/admin/logout/").status_code == 200
    assert browser.client.get("/admin/").status_code == 302


def test_without_cookie_mode_the_pages_keep_whoever_signs_in_by_a_session_of_their_own(browser, staff, settings):
    settings.MIDDLEWARE = [line for line in settings.MIDDLEWARE if line != COOKIES_LINE]
    browser.sign_in(staff)
    assert browser.has() == {"csrftoken", "session"}
    assert browser.is_in()
    assert browser.client.get("/admin/").status_code == 200
    assert browser.client.get("/api/v1/users/me").status_code == 401
    browser.send("/account/logout")
    assert not browser.is_in()
    assert not Session.objects.live().exists()


def test_the_front_page_links_everything(browser):
    page = text(browser.open("/"))
    for path in ("/account/login", "/account/signup", "/account", "/admin/", "/api/docs", "/api/redoc"):
        assert f'href="{path}"' in page
    assert told(browser.open("/")) == ""
    assert re.search("<h1>Кто может", text(Browser(accept_language="ru").open("/")))
