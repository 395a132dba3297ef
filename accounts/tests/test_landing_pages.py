"""The pages behind the links of mails: opening one spends nothing, its button posts, and nothing leaks from it."""

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from accounts.tests.factories import PASSWORD, UserFactory, signed_in
from accounts.tests.mailbox import mails_to, token_in_mail
from accounts.tests.steps import ANN, OTHER_PASSWORD, gets_in, invited, log_in, sign_up, signed_up
from accounts.tests.witness import events, nothing_changes, problem
from tests.client import ApiClient

pytestmark = pytest.mark.django_db

VERIFY, RESET = "/account/verify", "/account/reset"
NEW = "new@example.org"


class Browser:
    """Keeps cookies and insists on the CSRF token, as browsers make us do."""

    def __init__(self) -> None:
        self.client = Client(enforce_csrf_checks=True, HTTP_HOST="127.0.0.1", REMOTE_ADDR="192.0.2.9")

    def open(self, path: str, token: str = "") -> Any:
        return self.client.get(path, {"token": token})

    def press(self, path: str, token: str, origin: str | None = None, **fields: str) -> Any:
        """Open the page and send its form, with all hidden fields that stand in it."""
        page = self.open(path, token).content.decode()
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
        assert hidden["token"] == token
        assert 'method="post"' in page
        headers = {"Origin": origin} if origin else {}
        return self.client.post(path, {**hidden, **fields}, headers=headers)


@pytest.fixture
def browser(db: None) -> Browser:
    return Browser()


def asked_for_reset(**user: Any) -> str:
    UserFactory(email=ANN, **user)
    ApiClient().post("/auth/password/forgot", {"email": ANN})
    return token_in_mail(ANN, "reset")


def asked_for_change() -> str:
    token = signed_in(UserFactory(email=ANN)).pair.access
    ApiClient().post("/users/me/email", {"new_email": NEW, "password": PASSWORD}, token=token)
    return token_in_mail(NEW, "email_change")


def signed_up_link() -> str:
    signed_up(ApiClient())
    return token_in_mail(ANN)


def invitation_link() -> str:
    invited()
    return token_in_mail(ANN, "invitation")


LINKS = [(VERIFY, signed_up_link), (VERIFY, asked_for_change), (RESET, asked_for_reset), (RESET, invitation_link)]


OUR_SCRIPT = re.compile(r'<script src="/static/muster/page\.js" defer data-[^<>]*></script>')


def text(response: Any) -> str:
    """The page without the one script that it may have, a file of ours."""
    assert response["Content-Type"] == "text/html; charset=utf-8"
    return OUR_SCRIPT.sub("", response.content.decode())


# Opening


@pytest.mark.parametrize(("path", "link"), LINKS)
def test_opening_a_link_spends_nothing_however_often(browser, path, link):
    token = link()
    with nothing_changes():
        for _ in range(3):
            assert browser.open(path, token).status_code == 200
            assert browser.client.head(path, {"token": token}).status_code == 200
    assert browser.press(path, token, new_password=OTHER_PASSWORD).status_code == 200


@pytest.mark.parametrize("path", [VERIFY, RESET])
@pytest.mark.parametrize("token", ["", "nonsense", "b" * 80])
def test_opening_tells_nothing_about_the_link(browser, path, token):
    """The same page for good and bad ones: who only looks, learns nothing."""
    good = signed_up_link() if path == VERIFY else asked_for_reset()

    def anonymous(page: str, token: str) -> str:
        page = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)
        return page.replace(f'value="{token}"', 'value=""')

    pages = [anonymous(text(browser.open(path, each)), each) for each in (good, token)]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("path", [VERIFY, RESET])
def test_a_page_sends_no_referrer_is_kept_nowhere_and_loads_nothing_from_elsewhere(browser, path):
    for response in (browser.open(path, "abc"), browser.press(path, "abc", new_password=OTHER_PASSWORD)):
        page = text(response)
        assert response["Referrer-Policy"] == "no-referrer"
        assert '<meta name="referrer" content="no-referrer">' in page
        assert response["Cache-Control"] == "no-store"
        assert response["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in response["Content-Security-Policy"]
        assert "form-action 'self'" in response["Content-Security-Policy"]
        assert not re.findall(r'(?:href|src|action)="(?!/static/|/account/)[^"]*"', page)
        assert "<script" not in page


def test_the_form_asks_for_a_password_as_password_managers_expect(browser):
    page = text(browser.open(RESET, "abc"))
    assert re.search(r'<input type="password" [^>]*autocomplete="new-password"', page)
    assert '<label for="new_password">' in page


@pytest.mark.parametrize("path", [VERIFY, RESET])
@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ('"><script>alert(1)</script>', "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("'><img src=x onerror=alert(1)>", "&#x27;&gt;&lt;img src=x onerror=alert(1)&gt;"),
        ("{{7*7}}{% debug %}", "{{7*7}}{% debug %}"),
    ],
)
def test_what_stands_in_the_address_is_escaped(browser, path, hostile, shown):
    first = browser.open(path, hostile)
    refused = browser.client.post(
        path, {"token": hostile, "csrfmiddlewaretoken": browser.client.cookies["csrftoken"].value}
    )
    for response in (first, refused):
        page = text(response)
        assert f'value="{shown}"' in page
        assert "<script" not in page
        assert "<img" not in page


@pytest.mark.parametrize("path", [VERIFY, RESET])
@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_refused(browser, path, method):
    with nothing_changes():
        response = getattr(browser.client, method)(path)
    assert response.status_code in (403, 405)


@pytest.mark.parametrize("query", ["token=a&token=b", "token=%00", "token=%ff%fe", "token[]=a", "token=" + "a" * 8000])
@pytest.mark.parametrize("path", [VERIFY, RESET])
def test_strange_addresses_are_harmless(browser, path, query):
    assert browser.client.get(f"{path}?{query}").status_code == 200


# Pressing


def test_the_button_confirms_a_sign_up(browser):
    response = browser.press(VERIFY, signed_up_link())
    page = text(response)
    assert response.status_code == 200
    assert ANN in page
    assert "You can sign in." in page
    assert gets_in()
    assert events("user.verified") == ["user.verified"]


def test_the_button_says_when_no_password_was_kept(browser):
    signed_up_link()
    sign_up(ApiClient(), ANN, OTHER_PASSWORD)
    page = text(browser.press(VERIFY, token_in_mail(ANN)))
    assert "no password was kept" in page
    assert not gets_in(ANN, PASSWORD)
    assert not gets_in(ANN, OTHER_PASSWORD)


def test_the_button_confirms_a_new_address_without_a_session(browser):
    page = text(browser.press(VERIFY, asked_for_change()))
    assert NEW in page
    assert User.objects.get().email == NEW
    assert mails_to(ANN)[-1] == "email_changed"


def test_a_new_address_that_was_taken_meanwhile_is_refused(browser):
    token = asked_for_change()
    UserFactory(email=NEW)
    with nothing_changes():
        response = browser.press(VERIFY, token)
    assert response.status_code == 409
    assert "Somebody else" in text(response)


@pytest.mark.parametrize("link", [asked_for_reset, invitation_link])
def test_the_form_sets_a_password(browser, link):
    response = browser.press(RESET, link(), new_password=OTHER_PASSWORD)
    assert response.status_code == 200
    assert "Password set" in text(response)
    assert gets_in(ANN, OTHER_PASSWORD)
    assert User.objects.get().is_verified


def test_the_form_ends_all_sessions(browser):
    token = asked_for_reset()
    access = signed_in(User.objects.get()).pair.access
    browser.press(RESET, token, new_password=OTHER_PASSWORD)
    assert ApiClient().get("/users/me", token=access).status_code == 401


def test_the_form_takes_a_password_as_it_is(browser):
    browser.press(RESET, asked_for_reset(), new_password="  blanks & <signs> + 🦊  ")
    assert gets_in(ANN, "  blanks & <signs> + 🦊  ")
    assert not gets_in(ANN, "blanks & <signs> + 🦊")


def test_the_form_refuses_what_no_log_in_would_take(browser):
    token = asked_for_reset()
    with nothing_changes():
        assert browser.press(RESET, token, new_password="nul\x00nul-nul-nul").status_code == 400


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("", "too short"),
        ("short-7", "too short"),
        ("password1", "too common"),
        ("ann@example.org", "Not made of your name"),
        ("a1" * 513, "At most 1024 characters"),
    ],
)
def test_the_form_says_what_is_wrong_with_a_password_and_keeps_the_link(browser, password, words):
    token = asked_for_reset()
    with nothing_changes():
        response = browser.press(RESET, token, new_password=password)
    page = text(response)
    assert response.status_code == 400
    assert words in page
    assert 'role="alert"' in page
    assert f'value="{token}"' in page, "the form can be sent again"
    assert not password or password not in page.replace(ANN, "")
    assert browser.press(RESET, token, new_password=OTHER_PASSWORD).status_code == 200


def test_the_form_wants_a_password_field(browser):
    token = asked_for_reset()
    with nothing_changes():
        assert browser.press(RESET, token).status_code == 400


@pytest.mark.parametrize(("path", "link"), LINKS)
def test_a_used_link_is_refused_in_words(browser, path, link):
    token = link()
    assert browser.press(path, token, new_password=OTHER_PASSWORD).status_code == 200
    with nothing_changes():
        response = browser.press(path, token, new_password="Third-password-3")
    assert response.status_code == 400
    assert "The link is wrong, used or expired" in text(response)


@pytest.mark.parametrize("path", [VERIFY, RESET])
@pytest.mark.parametrize(
    "token",
    [
        pytest.param(""),
        "nonsense",
        "b" * 80,
    ],
)
def test_a_link_that_never_was_is_refused_in_words(browser, path, token):
    with nothing_changes():
        response = browser.press(path, token, new_password=OTHER_PASSWORD)
    assert response.status_code == 400
    assert "The link is wrong, used or expired" in text(response)


@pytest.mark.parametrize("path", [VERIFY, RESET])
def test_the_form_of_a_link_takes_no_code(browser, path):
    """Who has a link has no code to type: nobody guesses six digits here."""
    signed_up_link()
    with nothing_changes():
        assert browser.press(path, "", email=ANN, code="123456", new_password=OTHER_PASSWORD).status_code == 400


def test_an_address_with_signs_of_html_is_escaped(browser):
    email = "o'brien&co@example.org"
    sign_up(ApiClient(), email)
    page = text(browser.press(VERIFY, token_in_mail(email)))
    assert "o&#x27;brien&amp;co@example.org" in page
    assert email not in page


def test_a_closed_account_stays_closed(browser):
    token = signed_up_link()
    User.objects.update(is_active=False)
    with nothing_changes():
        assert browser.press(VERIFY, token).status_code == 400


def test_pressing_signs_nobody_in(browser):
    browser.press(VERIFY, signed_up_link())
    assert "session" not in browser.client.cookies
    assert log_in(ApiClient()).status_code == 200


# Cross-site requests


@pytest.mark.parametrize(("path", "link"), LINKS)
def test_a_post_needs_the_csrf_token(path, link):
    token = link()
    form = {"token": token, "new_password": OTHER_PASSWORD}
    client = Client(enforce_csrf_checks=True, HTTP_HOST="127.0.0.1")
    with nothing_changes():
        bare = client.post(path, form)
        client.get(path, {"token": token})
        guessed = client.post(path, {**form, "csrfmiddlewaretoken": "a" * 64})
    for response in (bare, guessed):
        assert response.status_code == 403
        assert problem(response)["code"] == "csrf_failed"


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1.evil.example", "http://127.0.0.1:1"])
@pytest.mark.parametrize("path", [VERIFY, RESET])
def test_a_post_from_another_site_is_refused(browser, path, origin):
    token = signed_up_link()
    with nothing_changes():
        response = browser.press(path, token, origin, new_password=OTHER_PASSWORD)
    assert response.status_code == 403


@pytest.mark.parametrize("path", [VERIFY, RESET])
def test_a_post_of_our_own_page_is_taken(browser, settings, path):
    token = signed_up_link() if path == VERIFY else asked_for_reset()
    assert browser.press(path, token, settings.PUBLIC_URL, new_password=OTHER_PASSWORD).status_code == 200


@pytest.mark.parametrize(("path", "link"), LINKS)
def test_the_button_works_in_browsers_which_hide_the_origin_of_such_a_page(browser, path, link):
    assert browser.press(path, link(), "null", new_password=OTHER_PASSWORD).status_code == 200


@pytest.mark.parametrize(("path", "link"), LINKS)
def test_a_hidden_origin_is_no_substitute_for_the_csrf_token(path, link):
    client = Client(enforce_csrf_checks=True, HTTP_HOST="127.0.0.1")
    form = {"token": link(), "new_password": OTHER_PASSWORD}
    with nothing_changes():
        assert client.post(path, form, headers={"Origin": "null"}).status_code == 403


def test_the_panels_forms_may_tell_their_origin(browser):
    assert browser.client.get("/admin/login/")["Referrer-Policy"] == "same-origin"
