"""The pages: the life of an account by forms, over the same services, with what is wrong said beside the field."""

import re
from typing import Any

import pytest

from accounts.errors import InvalidCode
from accounts.limits import FAILURES_BEFORE_WAITING, MAIL_REQUESTS_PER_CLIENT
from accounts.models import Session, User
from accounts.tests.browser import Browser, leads_to, text, told
from accounts.tests.factories import PASSWORD, UserFactory, session_of, signed_in
from accounts.tests.mailbox import code_in_mail, mail_count, mails_to, token_in_mail, wrong
from accounts.tests.scene import administrator, holder
from accounts.tests.steps import ANN, OTHER_PASSWORD, gets_in, invited, signed_up
from accounts.tests.witness import events, nothing_changes
from tests.client import ApiClient

pytestmark = pytest.mark.django_db
NEW = "new@example.org"


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def ann() -> Any:
    return UserFactory(email=ANN, username="ann")


@pytest.fixture
def inside(browser, ann) -> Browser:
    browser.sign_in(ann)
    return browser


# --- From sign-up to the account ------------------------------------------------------------------------------------


def test_the_whole_life(browser):
    assert leads_to(browser.send("/account/signup", email=ANN, password=PASSWORD)) == "/account/verify"
    page = text(browser.open("/account/verify"))
    assert f"We sent a mail to {ANN}." in page
    assert leads_to(browser.send("/account/verify", code=code_in_mail(ANN))) == "/account/login"
    page = text(browser.open("/account/login"))
    assert "The address is confirmed. You can sign in." in page
    assert f'value="{ANN}"' in page, "typed once is enough"
    assert leads_to(browser.send("/account/login", email=ANN, password=PASSWORD)) == "/account"
    assert f"<strong>{ANN}</strong>" in text(browser.open("/account"))
    assert leads_to(browser.send("/account/close", password=PASSWORD)) == "/account/login"
    assert "Your account is closed." in text(browser.open("/account/login"))
    assert not User.objects.get().is_active
    assert not gets_in()


@pytest.mark.parametrize("typed", ["{}", " {} ", "{:.3} {:.3}", "{:.3}-{:.3}", "{:.3}\u2013{:.3}", "{:.3}\u00a0{:.3}"])
def test_a_code_is_taken_however_it_was_copied(browser, typed):
    browser.send("/account/signup", email=ANN, password=PASSWORD)
    code = code_in_mail(ANN)
    response = browser.send("/account/verify", code=typed.format(code, code[3:]))
    assert leads_to(response) == "/account/login"


def test_a_code_is_taken_in_another_browser_with_the_address(browser):
    signed_up(ApiClient())
    page = text(browser.open("/account/verify"))
    assert '<input type="email" name="email"' in page
    assert leads_to(browser.send("/account/verify", email=ANN, code=code_in_mail(ANN))) == "/account/login"
    assert User.objects.get().is_verified


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "12 34"])
def test_what_is_no_code_is_said_beside_the_field_and_costs_no_try(browser, code):
    browser.send("/account/signup", email=ANN, password=PASSWORD)
    with nothing_changes():
        response = browser.send("/account/verify", code=code)
    assert response.status_code == 400
    assert told(response, "code")
    assert 'aria-invalid="true"' in text(response)
    assert 'aria-describedby="code_helptext code_error"' in text(response)


def test_a_wrong_code_counts_and_is_said_beside_the_field(browser):
    browser.send("/account/signup", email=ANN, password=PASSWORD)
    right = code_in_mail(ANN)
    for _ in range(5):
        response = browser.send("/account/verify", code=wrong(right))
        assert response.status_code == 400
        assert told(response, "code") == InvalidCode.default_detail
        assert ANN in text(response), "the address need not be typed again"
    assert browser.send("/account/verify", code=right).status_code == 400


def test_the_mail_is_sent_again_from_the_page(browser, settings):
    settings.RESEND_SECONDS = 0
    browser.send("/account/signup", email=ANN, password=PASSWORD)
    assert leads_to(browser.send("/account/verify/resend", email=ANN)) == "/account/verify"
    assert mails_to(ANN) == ["verify", "verify"]
    assert f"If {ANN} waits to be confirmed, we sent the mail again." in text(browser.open("/account/verify"))


def test_who_signs_in_unverified_is_led_to_prove_the_address(browser):
    signed_up(ApiClient(), username="ann")
    assert leads_to(browser.send("/account/login", email="ann", password=PASSWORD)) == "/account/verify"
    page = text(browser.open("/account/verify"))
    assert "Confirm your address first." in page
    assert f'name="email" value="{ANN}"' in page, "of a username too, since the password was right"
    assert "Send it again" in page
    assert not browser.is_in()


def test_who_types_a_wrong_password_learns_no_address(browser):
    signed_up(ApiClient(), username="ann")
    response = browser.send("/account/login", email="ann", password="wrong")
    assert response.status_code == 401
    assert told(response, "password") == "No account fits this name and password."
    assert ANN not in text(browser.open("/account/verify"))


def test_an_address_without_a_password_is_led_to_set_one(browser):
    """Two sign-ups with different passwords: none is kept."""
    signed_up(ApiClient())
    browser.send("/account/signup", email=ANN, password=OTHER_PASSWORD)
    assert leads_to(browser.send("/account/verify", code=code_in_mail(ANN))) == "/account/forgot"
    page = text(browser.open("/account/forgot"))
    assert "It has no password yet" in page
    assert f'value="{ANN}"' in page
    browser.send("/account/forgot", email=ANN)
    response = browser.send("/account/reset", code=code_in_mail(ANN, "reset"), new_password="Third-password-3")
    assert "Password set" in text(response)
    assert gets_in(ANN, "Third-password-3")


def test_the_same_from_the_link_of_the_mail(browser):
    signed_up(ApiClient())
    signed_up(ApiClient(), ANN, OTHER_PASSWORD)
    page = text(browser.send("/account/verify", query=f"?token={token_in_mail(ANN)}"))
    assert '<a href="/account/forgot">' in page
    assert f'value="{ANN}"' in text(browser.open("/account/forgot"))


def test_a_password_is_reset_by_code(browser, ann):
    assert leads_to(browser.send("/account/forgot", email=ANN)) == "/account/reset"
    assert f"If {ANN} has an account, a mail is on its way there." in text(browser.open("/account/reset"))
    code = code_in_mail(ANN, "reset")
    response = browser.send("/account/reset", code=wrong(code), new_password=OTHER_PASSWORD)
    assert (response.status_code, told(response, "code")) == (400, InvalidCode.default_detail)
    assert "Password set" in text(browser.send("/account/reset", code=code, new_password=OTHER_PASSWORD))
    assert gets_in(ANN, OTHER_PASSWORD)
    assert events("password.reset")


def test_an_invitation_is_accepted_and_leads_to_the_account(browser):
    user = invited()
    link = f"?token={token_in_mail(ANN, 'invitation')}"
    assert "Password set" in text(browser.send("/account/reset", query=link, new_password=OTHER_PASSWORD))
    browser.sign_in(user, OTHER_PASSWORD)
    assert browser.is_in()


def test_an_account_is_made_in_the_language_of_the_browser():
    Browser(accept_language="ru,en;q=0.5").send("/account/signup", email=ANN, password=PASSWORD)
    assert User.objects.get().language == "ru"


# --- What strangers see of an address -------------------------------------------------------------------------------

STATES = ("nobody", "verified", "waiting", "invited", "closed")


def somebody(state: str) -> None:
    if state == "invited":
        invited()
    elif state != "nobody":
        UserFactory(email=ANN, is_verified=state != "waiting", is_active=state != "closed")


@pytest.mark.parametrize("state", STATES[1:])
@pytest.mark.parametrize(
    ("path", "fields", "then"),
    [
        ("/account/signup", {"password": OTHER_PASSWORD}, "/account/verify"),
        ("/account/forgot", {}, "/account/reset"),
        ("/account/verify/resend", {}, "/account/verify"),
        ("/account/verify", {"code": "no"}, ""),
        ("/account/login", {"password": "wrong"}, ""),
        ("/account/reset", {"code": "no", "new_password": OTHER_PASSWORD}, ""),
    ],
)
def test_a_page_is_the_same_whether_an_address_is_known_or_not(path, fields, then, state):
    def seen(email: str) -> Any:
        browser = Browser()
        response = browser.send(path, email=email, **fields)
        headers = {name: value for name, value in response.items() if name not in ("X-Request-ID", "Content-Length")}
        pages = [response.content.decode(), text(browser.open(then)) if then else ""]
        shown = [re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page).replace(email, "") for page in pages]
        return response.status_code, headers, shown, sorted(browser.has())

    somebody(state)
    assert seen(ANN) == seen("nobody@example.org")


# --- Errors beside the field, and what was typed stays ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"email": "no address", "password": PASSWORD}, "email", "Not an e-mail address."),
        ({"email": "", "password": PASSWORD}, "email", "This field may not be blank."),
        ({"email": ANN, "password": ""}, "password", "This field may not be blank."),
        ({"email": ANN, "password": "short-7"}, "password", "too short"),
        ({"email": ANN, "password": "password1"}, "password", "too common"),
        ({"email": ANN, "password": "ann@example.org"}, "password", "Not made of your name"),
        ({"email": ANN, "password": "nul\x00nul-nul"}, "password", "Null characters are not allowed."),
        ({"email": "x" * 300 + "@example.org", "password": PASSWORD}, "email", "Not an e-mail address."),
    ],
)
def test_a_sign_up_says_what_is_wrong_beside_the_field(browser, fields, field, words):
    with nothing_changes():
        response = browser.send("/account/signup", **fields)
    assert response.status_code == 400
    assert words in told(response, field)
    page = text(response)
    assert not fields["email"] or f'value="{fields["email"]}"' in page
    assert f'value="{fields["password"]}"' not in page.replace(f'value="{fields["email"]}"', "", 1)
    assert mail_count() == 0


def test_what_was_typed_is_escaped(browser):
    response = browser.send("/account/login", email='"><script>alert(1)</script>', password="x")
    assert "<script>alert" not in text(response)
    assert "&quot;&gt;&lt;script&gt;" in text(response)


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"username": "a b"}, "username", "3 to 30 letters"),
        ({"username": "taken"}, "username", "Somebody else has this one."),
        ({"first_name": "a\u202eb"}, "first_name", "Names hold no control characters."),
        ({"last_name": "x" * 151}, "last_name", "no more than 150"),
        ({"language": "tlh"}, "language", "not one of the available choices"),
    ],
)
def test_a_profile_says_what_is_wrong_beside_the_field(inside, fields, field, words):
    UserFactory(username="TAKEN")
    good = {"username": "ann", "first_name": "Anna", "language": "en"}
    with nothing_changes():
        response = inside.send("/account", **{**good, **fields})
    assert response.status_code == 400
    assert words in told(response, field)
    assert 'value="Anna"' in text(response) or field == "first_name"


def test_a_profile_is_changed(inside, ann):
    fields = {"username": "", "first_name": " Анна ", "middle_name": "", "last_name": "O'Lee", "language": "ru"}
    assert leads_to(inside.send("/account", **fields)) == "/account"
    ann.refresh_from_db()
    assert (ann.username, ann.first_name, ann.last_name, ann.language) == (None, "Анна", "O'Lee", "ru")
    assert "Сохранено." in text(inside.open("/account")), "in the language that was chosen just now"
    assert events("user.changed")


@pytest.mark.parametrize("field", ["email", "is_staff", "is_verified", "is_active", "password", "roles"])
def test_a_profile_form_sets_nothing_else(inside, ann, field):
    before = User.objects.values().get(pk=ann.pk)
    inside.send("/account", username="ann", first_name="Ann", last_name="Lee", language="en", **{field: "1"})
    after = User.objects.values().get(pk=ann.pk)
    assert {**after, "updated_at": None} == {**before, "updated_at": None}


# --- The signed-in ---------------------------------------------------------------------------------------------------


def test_a_password_is_changed_and_the_other_devices_are_out(inside, ann):
    other = signed_in(ann).pair.access
    response = inside.send("/account/password", current_password=PASSWORD, new_password=OTHER_PASSWORD)
    assert leads_to(response) == "/account"
    assert "all other devices are signed out" in text(inside.open("/account"))
    assert gets_in(ANN, OTHER_PASSWORD)
    assert ApiClient().get("/users/me", token=other).status_code == 401


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        (("wrong", OTHER_PASSWORD), "current_password", "not your present password"),
        ((PASSWORD, "short"), "new_password", "too short"),
        (("", OTHER_PASSWORD), "current_password", "may not be blank"),
    ],
)
def test_a_password_that_may_not_be_changed_stays(inside, fields, field, words):
    with nothing_changes():
        response = inside.send("/account/password", current_password=fields[0], new_password=fields[1])
    assert words in told(response, field)
    assert OTHER_PASSWORD not in text(response)


def test_an_address_is_changed_by_the_code(inside, ann):
    assert leads_to(inside.send("/account/email", new_email=NEW, password=PASSWORD)) == "/account/email/confirm"
    assert f"We sent a mail to <strong>{NEW}</strong>." in text(inside.open("/account/email/confirm"))
    code = code_in_mail(NEW, "email_change")
    response = inside.send("/account/email/confirm", code=wrong(code))
    assert told(response, "code") == InvalidCode.default_detail
    assert leads_to(inside.send("/account/email/confirm", code=code)) == "/account"
    assert f"Your address is {NEW} now." in text(inside.open("/account"))
    assert User.objects.get().email == NEW
    assert mails_to(ANN) == ["email_change_notice", "email_changed"]


def test_an_address_is_not_changed_without_the_password(inside):
    with nothing_changes():
        response = inside.send("/account/email", new_email=NEW, password="wrong")
    assert told(response, "password") == "This is not your present password."
    assert f'value="{NEW}"' in text(response)


def test_a_taken_address_is_answered_like_a_free_one(inside):
    UserFactory(email=NEW)
    assert leads_to(inside.send("/account/email", new_email=NEW, password=PASSWORD)) == "/account/email/confirm"
    assert mails_to(NEW) == ["email_taken"]


def test_devices_are_listed_and_ended_one_by_one(inside, ann):
    other = signed_in(ann, device="Firefox on Linux")
    page = text(inside.open("/account/devices"))
    assert page.count("This device") == 1
    assert "Firefox on Linux" in page
    assert leads_to(inside.post("/account/devices", session=str(other.session.pk))) == "/account/devices"
    assert ApiClient().get("/users/me", token=other.pair.access).status_code == 401
    page = text(inside.open("/account/devices"))
    assert "The device is signed out." in page
    assert "Firefox on Linux" not in page
    inside.post("/account/devices", session=str(Session.objects.live().get().pk))
    assert not inside.is_in()


def test_all_other_devices_are_ended_at_once(inside, ann):
    for _ in range(3):
        session_of(ann)
    inside.post("/account/devices", others="1")
    assert Session.objects.live().count() == 1
    assert inside.is_in()


def test_nobody_ends_the_device_of_another(inside):
    theirs = session_of(UserFactory())
    with nothing_changes():
        inside.post("/account/devices", session=str(theirs.pk))
        assert inside.post("/account/devices", session="x").status_code == 404
        assert inside.post("/account/devices").status_code == 404
    assert Session.objects.live().filter(pk=theirs.pk).exists()


def test_an_account_is_not_closed_without_the_password(inside):
    with nothing_changes():
        response = inside.send("/account/close", password="wrong")
    assert told(response, "password") == "This is not your present password."
    assert inside.is_in()


def test_the_last_administrator_stays(browser):
    browser.sign_in(administrator())
    with nothing_changes():
        response = browser.send("/account/close", password=PASSWORD)
    assert response.status_code == 409
    assert "Nobody would be left" in told(response)
    assert browser.is_in()


def test_staff_sees_the_way_to_the_panel_and_others_do_not(browser, inside):
    assert "/admin/" not in text(inside.open("/account"))
    staff = Browser()
    staff.sign_in(holder("user:read", is_staff=True))
    assert '<a href="/admin/">Staff panel</a>' in text(staff.open("/account"))


# --- Limits, in words ------------------------------------------------------------------------------------------------


def test_a_waiting_time_is_said_in_words(browser, ann):
    for _ in range(FAILURES_BEFORE_WAITING):
        browser.send("/account/login", email=ANN, password="wrong")
    with nothing_changes():
        response = browser.send("/account/login", email=ANN, password=PASSWORD)
    assert response.status_code == 429
    assert re.fullmatch(r"Too many failed attempts\. Try again in \d+ seconds, or set a new password\.", told(response))
    assert 0 < int(response["Retry-After"]) <= 60
    assert ANN in text(response)


def test_the_same_in_russian_and_rounded_up(ann, monkeypatch):
    monkeypatch.setattr("accounts.limits.WAITS", accounts_waits(minutes=4))
    browser = Browser(accept_language="ru")
    for _ in range(FAILURES_BEFORE_WAITING):
        browser.send("/account/login", email=ANN, password="wrong")
    assert "через 4 минуты" in told(browser.send("/account/login", email=ANN, password=PASSWORD))


def accounts_waits(**duration: float) -> tuple[Any, ...]:
    from datetime import timedelta

    return (timedelta(**duration),) * 5


def test_the_pages_share_the_limits_of_the_api(browser, ann):
    api = ApiClient("192.0.2.9")
    for n in range(FAILURES_BEFORE_WAITING):
        if n % 2:
            browser.send("/account/login", email=ANN, password="wrong")
        else:
            api.post("/auth/login", {"email": ANN, "password": "wrong"})
    assert api.post("/auth/login", {"email": ANN, "password": PASSWORD}).status_code == 429
    assert browser.send("/account/login", email=ANN, password=PASSWORD).status_code == 429


def test_mails_are_limited_for_each_client_over_all_pages(browser):
    api = ApiClient("192.0.2.9")
    for n in range(MAIL_REQUESTS_PER_CLIENT):
        api.post("/auth/password/forgot", {"email": f"nobody{n}@example.org"})
    for path in ("/account/forgot", "/account/verify/resend"):
        with nothing_changes():
            response = browser.send(path, email=ANN)
        assert response.status_code == 429
        assert "Too many requests. Try again in" in told(response)


# --- What password managers and browsers are told --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/account/signup", {"email": "email", "password": "new-password"}),
        ("/account/login", {"email": "username", "password": "current-password"}),
        ("/account/verify", {"email": "email", "code": "one-time-code"}),
        ("/account/forgot", {"email": "email"}),
        ("/account/reset", {"email": "email", "code": "one-time-code", "new_password": "new-password"}),
        (
            "/account/password",
            {"username": "username", "current_password": "current-password", "new_password": "new-password"},
        ),
        ("/account/email", {"new_email": "email", "password": "current-password"}),
        ("/account/close", {"username": "username", "password": "current-password"}),
    ],
)
def test_fields_are_marked_for_password_managers(ann, path, expected):
    browser = Browser()
    if path in ("/account/password", "/account/email", "/account/close"):
        browser.sign_in(ann)
    page = text(browser.open(path))
    fields = [f for f in re.findall(r"<input[^>]*>", page) if 'type="hidden"' not in f]
    found = {re.search(r'name="(\w+)"', f)[1]: re.search(r'autocomplete="([\w-]+)"', f)[1] for f in fields}  # type: ignore[index]
    assert found == expected
    for name in set(expected) - {"username"}:
        assert f'<label for="{name}">' in page


PAGES = "signup verify verify/resend login logout forgot reset".split()
OWN = ["", "/password", "/email", "/email/confirm", "/devices", "/close"]


@pytest.mark.parametrize("path", [f"/account/{name}" for name in PAGES] + [f"/account{name}" for name in OWN])
def test_no_page_is_kept_framed_or_fed_from_elsewhere(ann, path):
    browser = Browser()
    if path.removeprefix("/account") in OWN:
        browser.sign_in(ann)
    response = browser.open(path)
    page = text(response)
    assert response["Cache-Control"] == "no-store"
    assert response["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in response["Content-Security-Policy"]
    assert "unsafe" not in response["Content-Security-Policy"]
    assert "style=" not in page
    assert "onclick" not in page
    assert not re.findall(r"<script(?! src=\"/static/)", page)
    assert not re.findall(r'(?:href|src|action)="(?!/)', page)
    assert re.search(r"<title>[^<]+ – Muster</title>", page)
    assert page.count("<h1>") == 1


@pytest.mark.parametrize("path", [f"/account{name}" for name in OWN])
def test_every_page_speaks_the_language_of_the_account(path):
    browser = Browser(accept_language="en")
    browser.sign_in(UserFactory(language="ru"))
    page = text(browser.open(path))
    assert '<html lang="ru">' in page
    assert re.search(r"<h1>[А-Я]", page)


@pytest.mark.parametrize("path", [f"/account/{name}" for name in PAGES])
@pytest.mark.parametrize(("header", "language"), [("ru", "ru"), ("de,ru;q=0.8", "ru"), ("de", "en"), ("", "en")])
def test_a_stranger_is_spoken_to_as_the_browser_asks(path, header, language):
    assert f'<html lang="{language}">' in text(Browser(accept_language=header).open(path))


# --- Refusals in words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "status"), [("/account/nothing", 404), ("/account/login", 403)])
def test_a_browser_is_refused_on_a_page_and_a_program_by_problem_details(path, status):
    browser, program = Browser(accept="text/html,*/*"), Browser()
    call = "post" if status == 403 else "open"
    response = getattr(browser, call)(path)
    page = text(response)
    assert response.status_code == status
    assert response["X-Request-ID"] in page
    assert response["Cache-Control"] == "no-store"
    assert "unsafe" not in response["Content-Security-Policy"]
    assert getattr(program, call)(path)["Content-Type"] == "application/problem+json"


def test_a_refused_form_is_found_again_where_it_works(settings):
    response = Browser(accept="text/html").post("/account/login", email="x")
    assert f'href="{settings.PUBLIC_URL}/account/login"' in text(response)
