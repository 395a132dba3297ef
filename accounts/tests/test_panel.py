"""The staff panel: its door, who sees what, and that it changes nothing around the services."""

import re

import pytest
from django.contrib.admin import site
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts.limits import FAILURES_BEFORE_WAITING
from accounts.models import Challenge, Counter, FailedLogIns, KnownPlace, Session, User
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.scene import (
    access_of,
    administrator,
    code_in,
    events,
    holder,
    letter,
    letters,
    link_in,
    log_in,
    nothing_changes,
    refusal,
)
from audit.models import Event
from mail.models import OutgoingMail

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "Purple-anvil-77"


@pytest.fixture
def admin(db):
    return administrator(email="Root@example.org", username="root", is_staff=True)


class Browser:
    """`Browser().sign_in(user)`; a page is what `get` answers."""

    def __init__(self, ip="192.0.2.1", **options):
        self.client = Client(REMOTE_ADDR=ip, HTTP_HOST="127.0.0.1", **options)

    def get(self, path="", **rest):
        return self.client.get(f"/admin/{path}", **rest)

    def post(self, path="", data=None):
        return self.client.post(f"/admin/{path}", data or {})

    def send(self, name, password=PASSWORD, target="/admin/"):
        return self.post(f"login/?next={target}", {"username": name, "password": password, "next": target})

    def sign_in(self, user):
        response = self.send(user.email)
        assert (response.status_code, response["Location"]) == (302, "/admin/"), response.content
        return self

    @property
    def is_in(self):
        return self.get().status_code == 200


@pytest.fixture
def browser():
    return Browser()


# --- The door ----------------------------------------------------------------------------------------------------


def test_a_stranger_is_led_to_the_log_in(browser, admin):
    for path in ("", "accounts/user/", f"accounts/user/{admin.pk}/change/"):
        response = browser.get(path)
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/?next=/admin/")
    assert browser.get("login/").status_code == 200


@pytest.mark.parametrize("name", ["Root@example.org", "ROOT@EXAMPLE.ORG", "root", "ROOT"])
def test_staff_signs_in_by_address_or_username_in_any_case(browser, admin, name):
    response = browser.send(name)
    assert (response.status_code, response["Location"]) == (302, "/admin/")
    assert browser.is_in


def test_signing_in_is_a_session_row_like_any_other(browser, admin):
    browser.sign_in(admin)
    session = Session.objects.get()
    assert (session.user, session.ip, session.ended_at) == (admin, "192.0.2.1", None)
    assert [event.target_id for event in events("session.started")] == [admin.pk]


def test_the_cookie_is_new_after_signing_in(browser, admin):
    browser.client.cookies["session"] = "fixed-by-somebody-else"
    browser.sign_in(admin)
    cookie = browser.client.cookies["session"]
    assert cookie.value != "fixed-by-somebody-else"
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "javascript:alert(1)", "/\\evil.example"]
)
def test_signing_in_leads_nowhere_else(browser, admin, target):
    response = browser.send("root", target=target)
    assert response.status_code == 302
    assert response["Location"] in ("/admin/", "/accounts/profile/")


@pytest.mark.parametrize(
    ("name", "password"),
    [("root", "wrong"), ("nobody", PASSWORD), ("nobody@example.org", PASSWORD), ("root", f" {PASSWORD}"), ("root", "")],
)
def test_wrong_names_and_passwords_are_refused_alike(browser, admin, name, password):
    with nothing_changes(*(["session.refused"] if password else [])):
        response = browser.send(name, password)
    assert response.status_code == 200
    assert not browser.is_in
    if password:
        assert "No account fits this name and password." in response.content.decode()
    assert PASSWORD not in response.content.decode()


@pytest.mark.parametrize("who", [{"is_active": False}, {"is_verified": False}])
def test_who_may_not_log_in_may_not_here_either(browser, who):
    user = UserFactory(is_staff=True, **who)
    with nothing_changes("session.refused"):
        assert browser.send(user.email).status_code == 200
    assert not browser.is_in


def test_who_is_not_staff_is_refused_and_left_without_a_session(browser):
    user = administrator(is_staff=False)
    response = browser.send(user.email)
    assert response.status_code == 200
    assert not browser.is_in
    assert Session.objects.get().ended_at is not None


def test_it_counts_towards_the_same_limits_as_the_api(api, browser, admin):
    for n in range(FAILURES_BEFORE_WAITING):
        if n % 2:
            browser.send("root", "wrong")
        else:
            api.post("/auth/login", {"email": admin.email, "password": "wrong"})
    with nothing_changes():
        response = browser.send("root")
        login = api.post("/auth/login", {"email": admin.email, "password": PASSWORD})
    assert refusal(login) == (429, "too_many_attempts")
    assert "Too many failed attempts" in response.content.decode()
    assert not browser.is_in
    assert Browser("198.51.100.7").sign_in(admin).is_in


def test_signing_out_ends_the_row(browser, admin):
    browser.sign_in(admin)
    assert browser.post("logout/").status_code == 200
    assert not browser.is_in
    assert Session.objects.get().ended_by == "log_out"


def test_a_get_signs_nobody_out(browser, admin):
    browser.sign_in(admin)
    with nothing_changes():
        assert browser.get("logout/").status_code == 405
    assert browser.is_in


# --- What ends it ------------------------------------------------------------------------------------------------


def test_ending_the_row_ends_the_panel(api, browser, admin):
    other = administrator()
    browser.sign_in(admin)
    assert browser.is_in
    token = access_of(api, other)
    session = Session.objects.get(user=admin)
    assert api.delete(f"/sessions/{session.pk}", token=token).status_code == 204
    assert not browser.is_in


def test_the_panel_is_one_of_my_devices(api, browser, admin):
    browser.sign_in(admin)
    token = access_of(api, admin)
    assert len(api.get("/users/me/sessions", token=token).json()["results"]) == 2
    assert api.post("/auth/logout/all", token=token).status_code == 204
    assert not browser.is_in


def test_a_new_password_ends_the_panel(api, browser, admin):
    browser.sign_in(admin)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert api.put("/users/me/password", body, token=access_of(api, admin)).status_code == 204
    assert not browser.is_in


def test_a_deactivated_person_is_out_of_the_panel(api, browser, admin):
    administrator()
    browser.sign_in(admin)
    User.objects.filter(pk=admin.pk).update(is_active=False)
    assert not browser.is_in


def test_who_is_no_longer_staff_is_out_of_the_panel(browser, admin):
    browser.sign_in(admin)
    User.objects.filter(pk=admin.pk).update(is_staff=False)
    assert not browser.is_in


def test_an_idle_panel_ends(browser, admin):
    browser.sign_in(admin)
    Session.objects.update(refresh_expires_at="2026-01-01T00:00:00Z")
    assert not browser.is_in


def test_a_bearer_token_opens_no_panel(api, admin):
    token = access_of(api, admin)
    response = Client(HTTP_HOST="127.0.0.1").get("/admin/", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 302


def test_the_cookie_of_the_panel_opens_no_api(browser, admin):
    browser.sign_in(admin)
    assert browser.client.get("/api/v1/users/me").status_code == 401


# --- Forged requests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["login/", "logout/", "accounts/user/", "password_change/"])
def test_a_forged_post_is_refused(admin, path):
    browser = Browser(enforce_csrf_checks=True)
    browser.client.cookies.update(Browser().sign_in(admin).client.cookies)
    assert browser.is_in
    with nothing_changes():
        response = browser.post(path, {"username": "root", "password": PASSWORD})
    assert refusal(response) == (403, "csrf_failed")
    assert browser.is_in


def test_a_form_with_its_token_from_another_site_is_refused(admin):
    browser = Browser(enforce_csrf_checks=True)
    page = browser.get("login/").content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    form = {"username": "root", "password": PASSWORD, "csrfmiddlewaretoken": token[1], "next": "/admin/"}
    with nothing_changes():
        evil = browser.client.post("/admin/login/", form, headers={"Origin": "https://evil.example"})
    assert refusal(evil) == (403, "csrf_failed")
    assert browser.client.post("/admin/login/", form).status_code == 302


# --- Who sees what -----------------------------------------------------------------------------------------------

SEEN_BY = {
    "accounts/user/": "user:read",
    "accounts/session/": "session:read",
    "accounts/challenge/": "user:read",
    "rbac/role/": "role:read",
    "rbac/permission/": "permission:read",
    "rbac/rolegrant/": "role:read",
    "audit/event/": "audit:read",
    "mail/outgoingmail/": "user:read",
}


@pytest.mark.parametrize("permission", sorted(set(SEEN_BY.values())))
def test_permissions_of_roles_decide_what_staff_sees(browser, permission):
    browser.sign_in(holder(permission, is_staff=True))
    index = browser.get().content.decode()
    for path, needed in SEEN_BY.items():
        assert browser.get(path).status_code == (200 if needed == permission else 403), path
        assert (f'href="/admin/{path}"' in index) is (needed == permission)


def test_staff_without_a_role_sees_an_empty_panel(browser):
    browser.sign_in(UserFactory(is_staff=True))
    assert browser.is_in
    assert all(browser.get(path).status_code == 403 for path in SEEN_BY)


def test_a_withdrawn_role_counts_on_the_next_page(browser):
    user = holder("user:read", is_staff=True)
    browser.sign_in(user)
    assert browser.get("accounts/user/").status_code == 200
    user.grants.all().delete()
    assert browser.get("accounts/user/").status_code == 403


def test_who_may_only_write_users_does_not_see_them_all_here_either(api, browser):
    user = holder("user:write", is_staff=True)
    assert refusal(api.get("/users", token=access_of(api, user))) == (403, "permission_denied")
    browser.sign_in(user)
    assert browser.get("accounts/user/").status_code == 403


# --- Pages -------------------------------------------------------------------------------------------------------

HIDDEN: set[str] = set()
PAGES = sorted(model._meta.label_lower for model in site._registry)


@pytest.fixture
def rows(api, admin):
    """One row of each kind at least."""
    api.post("/auth/login", {"email": admin.email, "password": "wrong"})
    pair = log_in(api, admin)
    api.post("/auth/logout", {"refresh": pair["refresh"]})
    api.post("/auth/password/forgot", {"email": admin.email})
    Counter.objects.get_or_create(key="x", defaults={"count": 1, "expires_at": "2030-01-01T00:00:00Z"})
    FailedLogIns.objects.get_or_create(account="x" * 64, network="", defaults={"updated_at": "2026-01-01T00:00:00Z"})
    return pair


@pytest.mark.parametrize("label", PAGES)
def test_every_list_and_every_row_of_the_panel_renders(browser, admin, rows, label):
    model = next(m for m in site._registry if m._meta.label_lower == label)
    browser.sign_in(admin)
    path = label.replace(".", "/")
    listing = browser.get(f"{path}/")
    if label in HIDDEN:
        assert listing.status_code == 403
        return
    assert listing.status_code == 200
    row = model._default_manager.order_by("pk").last()
    assert row is not None
    detail = browser.client.get(reverse(f"admin:{label.replace('.', '_')}_change", args=[row.pk]))
    assert detail.status_code == 200
    assert str(row) in detail.content.decode() or label.startswith("token_blacklist")
    assert browser.get(f"{path}/{row.pk}/history/").status_code == 200


MADE_BY_SERVICES = {"rbac.role", "rbac.permission"}  # see test_panel_roles


@pytest.mark.parametrize("label", [label for label in PAGES if label not in HIDDEN | MADE_BY_SERVICES])
def test_nothing_is_added_changed_or_deleted_through_the_panel(browser, admin, rows, label):
    model = next(m for m in site._registry if m._meta.label_lower == label)
    row = model._default_manager.order_by("pk").last()
    browser.sign_in(admin)
    path = label.replace(".", "/")
    with nothing_changes():
        assert browser.get(f"{path}/add/").status_code == 403
        assert browser.post(f"{path}/add/", {"email": "x@example.org"}).status_code == 403
        assert browser.post(f"{path}/{row.pk}/change/", {"email": "x@example.org"}).status_code == 403
        assert browser.get(f"{path}/{row.pk}/delete/").status_code == 403
        assert browser.post(f"{path}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
        action = {"action": "delete_selected", "_selected_action": str(row.pk), "post": "yes"}
        assert browser.post(f"{path}/", action).status_code == 403
    assert model._default_manager.filter(pk=row.pk).exists()


def test_there_is_no_form_that_sets_the_password_of_another(browser, admin):
    browser.sign_in(admin)
    with pytest.raises(NoReverseMatch):
        reverse("admin:auth_user_password_change", args=[admin.pk])
    with nothing_changes():
        assert browser.post(f"accounts/user/{admin.pk}/password/", {"password1": "x"}).status_code in (302, 404)


def change_password(browser, old=PASSWORD, new=NEW_PASSWORD):
    form = {"old_password": old, "new_password1": new, "new_password2": new}
    return browser.post("password_change/", form)


def test_a_password_changed_in_the_panel_ends_the_other_sessions_and_is_told(api, browser, admin):
    pair = log_in(api, admin)
    browser.sign_in(admin)
    assert change_password(browser).status_code == 302
    assert log_in(api, admin, NEW_PASSWORD)
    assert refusal(api.get("/users/me", token=pair["access"])) == (401, "invalid_token")
    assert browser.is_in
    assert letters(admin.email) == ["password_changed"]
    assert len(events("password.changed")) == 1


@pytest.mark.parametrize("weak", ["short", "password1", "Root@example.org"])
def test_a_weak_password_is_refused_in_the_panel_too(browser, admin, weak):
    browser.sign_in(admin)
    with nothing_changes():
        assert change_password(browser, new=weak).status_code == 200


def test_the_old_password_cannot_be_guessed_in_the_panel_without_limit(browser, admin):
    browser.sign_in(admin)
    for _ in range(FAILURES_BEFORE_WAITING):
        assert change_password(browser, old="wrong").status_code == 200
    with nothing_changes():
        response = change_password(browser)
    assert "Too many failed attempts" in response.content.decode()
    admin.refresh_from_db()
    assert admin.check_password(PASSWORD)


def test_no_page_shows_a_hash_a_token_or_a_code(api, browser, admin, rows):
    user = UserFactory(email="zed@example.org")
    pair = log_in(api, user)
    api.post("/auth/password/forgot", {"email": user.email})
    browser.sign_in(admin)
    mail = letter("reset", user.email)
    secrets = {user.password, admin.password, code_in(mail), link_in(mail), *pair_tokens(pair), *pair_tokens(rows)}
    secrets |= {secret.rpartition("$")[2] for secret in (user.password, admin.password)}
    for model in (User, Session, Challenge, KnownPlace, OutgoingMail, Event):
        label = model._meta.label_lower.replace(".", "/")
        pages = [browser.get(f"{label}/")]
        pages += [browser.get(f"{label}/{row.pk}/change/") for row in model._default_manager.all()]
        for page in pages:
            assert page.status_code == 200
            text = page.content.decode()
            assert not [secret for secret in secrets if secret in text]


def pair_tokens(pair):
    return {pair["access"], pair["refresh"]}


def test_names_are_escaped(browser, admin):
    user = UserFactory(first_name='"><script>alert(1)</script>', last_name="{{7*7}}")
    browser.sign_in(admin)
    for path in ("accounts/user/", f"accounts/user/{user.pk}/change/"):
        text = browser.get(path).content.decode()
        assert "<script>alert" not in text
        assert "{{7*7}}" in text


def test_people_are_found_in_the_panel(browser, admin):
    user = UserFactory(email="zed@example.org")
    browser.sign_in(admin)
    text = browser.get("accounts/user/?q=ZED").content.decode()
    assert user.email in text
    assert admin.email not in text.split("result_list")[-1]


def test_people_are_found_in_the_panel_by_a_capital_of_any_script(browser, admin):
    """SQLite folds ASCII alone."""
    user = UserFactory(last_name="Юрьев")
    browser.sign_in(admin)
    assert user.email in browser.get("accounts/user/?q=Юр").content.decode()


def test_the_panel_is_found_without_its_slash(browser):
    response = browser.client.get("/admin")
    assert (response.status_code, response["Location"]) == (302, "/admin/")


@pytest.mark.parametrize(
    "query", ["?q=%00", "?is_active__exact=banana", "?o=99", "?p=99999", "?_to_field=password", "?e=1"]
)
@pytest.mark.parametrize("path", ["accounts/user/", "audit/event/"])
def test_an_odd_query_is_no_accident(browser, admin, path, query):
    browser.sign_in(admin)
    assert browser.get(path + query).status_code < 500


@pytest.mark.parametrize(
    "path", ["accounts/user/x/change/", "accounts/user/%00/change/", "nonsense/", "accounts/user/1/"]
)
def test_what_is_not_there_is_no_accident(browser, admin, path):
    browser.sign_in(admin)
    assert browser.get(path).status_code in (302, 404)


def test_no_page_may_be_kept_or_framed(browser, admin):
    browser.sign_in(admin)
    for path in ("", "accounts/user/"):
        response = browser.get(path)
        assert "no-store" in response["Cache-Control"]
        assert response["X-Frame-Options"] == "DENY"
        assert "default-src 'none'" in response["Content-Security-Policy"]
