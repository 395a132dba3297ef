"""A person's page in the panel: what it shows to whom, and what its buttons do, or refuse to do."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver

from accounts.challenges import Purpose, ask
from accounts.limits import FAILURES_BEFORE_WAITING, MAILS_PER_ADDRESS
from accounts.models import Session, User
from accounts.person.actions import ACTIONS
from accounts.tests.browser import Browser, text
from accounts.tests.clock import time_passes
from accounts.tests.factories import PASSWORD, UserFactory, signed_in
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
from audit.tests.factories import EventFactory
from core.ids import uuid7
from mail.models import OutgoingMail
from mail.tests.factories import OutgoingMailFactory
from rbac.builtin import PERMISSIONS
from rbac.models import Role, RoleGrant
from rbac.tests.factories import GrantFactory, RoleFactory

pytestmark = pytest.mark.django_db

SHOWN = ("user:read", "session:read", "role:read", "audit:read")
EVERYTHING = ("user:read", "user:write", "user:delete", "session:read", "session:revoke", "role:read", "role:assign",
              "audit:read")  # fmt: skip


class Desk:
    """Somebody of the staff, before a person's page."""

    def __init__(self, staff: Any, **headers: str) -> None:
        self.staff, self.browser = staff, Browser(**headers)
        self.browser.sign_in(staff)

    def open(self, person: Any, **query: str) -> Any:
        return self.browser.open(f"/admin/accounts/user/{person.pk}/change/", **query)

    def page(self, person: Any, **query: str) -> str:
        response = self.open(person, **query)
        assert response.status_code == 200, response.content
        return text(response)

    def press(self, person: Any, action: str, **fields: str) -> Any:
        return self.browser.post(address(person, action), **fields)

    def does(self, person: Any, action: str, **fields: str) -> str:
        """What the page says afterwards."""
        response = self.press(person, action, **fields)
        assert response.status_code == 302, response.content.decode()
        assert response["Location"] == f"/admin/accounts/user/{person.pk}/change/"
        return self.page(person)


def address(person: Any, action: str) -> str:
    return f"/admin/accounts/user/{person.pk}/{action}/"


def staff(*permissions: str, **user: Any) -> Desk:
    return Desk(holder(*permissions, is_staff=True, **user))


def refused(response: Any, code: str, status: int, beside: str) -> str:
    """The words of a refusal that stands where `beside` does, on the page itself."""
    assert response.status_code == status, response.content.decode()
    page = text(response)
    alerts = re.findall(r'<p role="alert"[^>]*>(.*?)</p>', page, re.DOTALL)
    assert len(alerts) == 1, alerts
    around = page[: page.index('<p role="alert"')][-900:] + page[page.index('<p role="alert"') :][:900]
    assert beside in around, around
    assert response.wsgi_request.problem_code == code
    return unescape(alerts[0])


@pytest.fixture
def ann() -> Any:
    return UserFactory(email="Ann@example.org", username="ann", first_name="Ann", middle_name="B.", last_name="Lee")


@pytest.fixture
def admin() -> Any:
    return administrator(email="root@example.org", first_name="Root", last_name="", is_staff=True)


@pytest.fixture
def desk(admin: Any) -> Desk:
    return Desk(admin)


# --- What it shows ---------------------------------------------------------------------------------------------------


def test_it_shows_who_somebody_is_and_what_hangs_on_them(api: Any, desk: Desk, ann: Any) -> None:
    GrantFactory(user=ann, role=RoleFactory(name="editor"), granted_by=desk.staff, expires_at="2099-12-31T12:00:00Z")
    api.post("/auth/login", {"email": ann.email, "password": PASSWORD}, user_agent="Mozilla Firefox/140.0 (X11; Linux)")
    api.post("/auth/password/forgot", {"email": ann.email})
    page = desk.page(ann)
    assert "Ann B. Lee" in page
    for words in ("Ann@example.org", "ann", "English", "Active", "Verified", "editor", "Dec. 31, 2099", "Root"):
        assert words in page, words
    assert "Signed in: Firefox" in page
    assert "Password reset" in page
    assert "Asked for a password reset" in page


@pytest.mark.parametrize(
    ("who", "marks"),
    [
        ({}, ["Active", "Verified"]),
        ({"is_active": False}, ["Deactivated", "Verified"]),
        ({"is_verified": False}, ["Active", "Not verified"]),
        ({"password": None, "is_verified": False}, ["Active", "Not verified", "No password yet"]),
        ({"is_staff": True}, ["Active", "Verified", "Staff"]),
    ],
)
def test_the_state_is_said_in_words(desk: Desk, who: dict[str, Any], marks: list[str]) -> None:
    assert shown_marks(desk.page(UserFactory(**who))) == marks


def shown_marks(page: str) -> list[str]:
    return re.findall(r"<li[^>]*>([^<]+)</li>", page.partition('class="marks"')[2].partition("</ul>")[0])


def test_it_says_until_when_somebody_is_locked_out(api: Any, desk: Desk, ann: Any) -> None:
    for _ in range(FAILURES_BEFORE_WAITING):
        assert shown_marks(desk.page(ann))[:2] == ["Active", "Verified"]
        api.post("/auth/login", {"email": ann.email, "password": "wrong"})
    marks = shown_marks(desk.page(ann))
    assert marks[2].startswith("Locked until ")
    assert marks[3] == f"Failed log-ins in a row: {FAILURES_BEFORE_WAITING}"
    time_passes(minutes=16)
    assert marks[3:] == shown_marks(desk.page(ann))[2:]


def test_what_has_expired_or_ended_is_not_there(desk: Desk, ann: Any) -> None:
    GrantFactory(user=ann, role=RoleFactory(name="former"), expires_at="2020-01-01T00:00:00Z")
    signed_in(ann, device="Old telephone")
    Session.objects.filter(user=ann).update(ended_at="2026-01-01T00:00:00Z")
    page = desk.page(ann)
    assert 'id="role-' not in page
    assert "Old telephone" not in page.partition('id="devices"')[2].partition("</section>")[0]


def test_names_are_text_and_nothing_else(desk: Desk) -> None:
    mean = UserFactory(first_name='"><script>alert(1)</script>', middle_name="{{7*7}}", last_name="=1+1")
    signed_in(mean, device='<img src=x onerror="alert(2)">')
    GrantFactory(user=mean, role=RoleFactory(name="editor"), granted_by=mean)
    EventFactory(target_id=desk.staff.pk, actor_id=mean.pk, action="<b>odd</b>.%s%(x)s", details={"by": "<i>"})
    for page in (desk.page(mean), desk.page(desk.staff)):
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "<b>odd" not in page
        assert "{{7*7}}" in page
        assert "=1+1" in page


def test_it_holds_no_hash_no_token_no_code_and_no_field_for_a_password(api: Any, desk: Desk, ann: Any) -> None:
    pair = log_in(api, ann)
    api.post("/auth/password/forgot", {"email": ann.email})
    mail = letter("reset", ann.email)
    secrets = [
        ann.password,
        ann.password.rpartition("$")[2],
        pair["access"],
        pair["refresh"],
        code_in(mail),
        link_in(mail),
    ]
    secrets += [str(mail.challenge_id)]
    pages = [desk.page(ann), text(desk.press(ann, "grant", role="nobody-knows"))]
    for page in pages:
        assert not [secret for secret in secrets if secret in page]
        assert "password" not in re.findall(r'type="(\w+)"', page)
        assert not re.findall(r'name="[^"]*password[^"]*"', page)


def test_it_is_kept_nowhere(desk: Desk, ann: Any) -> None:
    assert "no-store" in desk.open(ann)["Cache-Control"]
    assert "no-store" in desk.press(ann, "grant", role="nobody-knows")["Cache-Control"]


def test_it_speaks_russian(ann: Any) -> None:
    page = staff(*EVERYTHING, language="ru").page(ann)
    for words in ("Активна", "Адрес подтверждён", "Роли", "Устройства", "Письма", "Лента событий", "Отключить"):
        assert words in page, words


def test_whoever_is_gone_leads_back_to_the_list(desk: Desk) -> None:
    for missing in (uuid7(), "x", "%00"):
        response = desk.browser.open(f"/admin/accounts/user/{missing}/change/")
        assert (response.status_code, response["Location"]) == (302, "/admin/accounts/user/")


# --- Who sees and may do what ----------------------------------------------------------------------------------------

SECTIONS = {"session:read": 'id="devices"', "audit:read": 'id="timeline"'}


@pytest.mark.parametrize("permission", [None, *SECTIONS])
def test_each_part_is_for_whoever_may_see_it_elsewhere(ann: Any, permission: str | None) -> None:
    signed_in(ann, device="Kitchen tablet")
    page = staff("user:read", *filter(None, [permission])).page(ann)
    for needed, part in SECTIONS.items():
        assert (part in page) is (needed == permission)
    assert ("Kitchen tablet" in page) is (permission is not None)


def test_who_gave_a_role_and_until_when_is_for_readers_of_roles(ann: Any, admin: Any) -> None:
    GrantFactory(user=ann, role=RoleFactory(name="editor"), granted_by=admin, expires_at="2099-12-31T12:00:00Z")
    told = staff("user:read", "role:read").page(ann)
    kept = staff("user:read").page(ann)
    assert "editor" in told
    assert "editor" in kept
    assert "2099" in told
    assert "2099" not in kept
    assert "Root" not in kept


def buttons_in(page: str) -> set[str]:
    return {path.split("/")[-2] for path in re.findall(r'action="(/admin/accounts/user/[^"]+/)"', page)}


BUTTONS = {
    "user:write": {"verification", "reset", "profile", "send-again"},
    "user:delete": {"deactivate"},
    "session:revoke": {"end-session", "end-sessions"},
    "role:assign": {"grant", "withdraw"},
}


@pytest.fixture
def busy() -> Any:
    """Somebody about whom everything can be done, but restoring."""
    user = UserFactory(email="busy@example.org")
    signed_in(user)
    ask(user, Purpose.VERIFY)
    OutgoingMail.objects.update(state="sent")
    GrantFactory(user=user, role=RoleFactory(name="given"))
    User.objects.filter(pk=user.pk).update(is_verified=False)
    return user


@pytest.mark.parametrize("permission", [None, *BUTTONS])
def test_a_button_is_there_for_whoever_may_press_it(busy: Any, permission: str | None) -> None:
    page = staff(*SHOWN, *filter(None, [permission])).page(busy)
    assert buttons_in(page) == BUTTONS.get(permission or "", set())


def test_the_deactivated_can_be_restored_and_not_much_else(desk: Desk) -> None:
    assert buttons_in(desk.page(UserFactory(is_active=False))) == {"restore", "profile", "grant"}


def fields_for(action: str, busy: Any) -> dict[str, str]:
    rows = {
        "end-session": Session.objects.get(user=busy).pk,
        "send-again": OutgoingMail.objects.get(user_id=busy.pk).pk,
        "withdraw": Role.objects.get(name="given").pk,
    }
    filled = {"grant": {"role": "given"}, "profile": {"first_name": "Mallory", "language": "en", "email": "m@x.org"}}
    return {"row": str(rows[action])} if action in rows else filled.get(action, {})


@pytest.mark.parametrize("action", ACTIONS)
def test_a_forged_post_without_the_permission_is_403_and_changes_nothing(busy: Any, action: str) -> None:
    needed = ACTIONS[action].needs
    desk = staff(*(set(PERMISSIONS) - {needed}))
    if action == "restore":
        User.objects.filter(pk=busy.pk).update(is_active=False)
    fields = fields_for(action, busy)
    with nothing_changes():
        response = desk.press(busy, action, **fields)
    assert refusal(response) == (403, "permission_denied")
    assert response.json()["required"] == needed


@pytest.mark.parametrize("action", ACTIONS)
def test_who_may_not_see_people_may_do_nothing_about_them_here(busy: Any, action: str) -> None:
    desk = staff(*(set(PERMISSIONS) - {"user:read"}))
    fields = fields_for(action, busy)
    with nothing_changes():
        for person in (busy, UserFactory.build()):
            response = desk.press(person, action, **fields)
            assert refusal(response) == (403, "permission_denied")
            assert response.json()["required"] == "user:read"


@pytest.mark.parametrize("action", ACTIONS)
def test_a_post_without_its_csrf_token_changes_nothing(desk: Desk, busy: Any, action: str) -> None:
    fields = fields_for(action, busy)
    with nothing_changes():
        response = desk.press(busy, action, csrfmiddlewaretoken="x" * 32, **fields)
    assert refusal(response) == (403, "csrf_failed")


@pytest.mark.parametrize("action", ACTIONS)
def test_strangers_and_people_who_are_no_staff_are_led_to_the_log_in(busy: Any, action: str) -> None:
    outsider = Browser()
    outsider.sign_in(administrator(is_staff=False))
    stranger = Browser()
    stranger.open("/account/login")
    fields = fields_for(action, busy)
    with nothing_changes():
        for browser in (outsider, stranger):
            response = browser.post(address(busy, action), **fields)
            assert response.status_code == 302
            assert response["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("action", ACTIONS)
def test_a_get_does_nothing_and_leads_to_the_page(desk: Desk, busy: Any, action: str) -> None:
    with nothing_changes():
        response = desk.browser.open(address(busy, action))
    assert response["Location"] == f"/admin/accounts/user/{busy.pk}/change/"


def test_nothing_can_be_posted_to_the_page_itself(desk: Desk, busy: Any) -> None:
    with nothing_changes():
        assert refusal(desk.press(busy, "change", first_name="Mallory")) == (403, "permission_denied")


def test_every_action_is_tried_here() -> None:
    names = {name for name in get_resolver().namespace_dict["admin"][1].reverse_dict if isinstance(name, str)}
    assert {name for name in names if name.startswith("person-")} == {f"person-{action}" for action in ACTIONS}


# --- What the buttons do ---------------------------------------------------------------------------------------------


def test_ending_a_device_signs_it_out_and_no_other(api: Any, desk: Desk, ann: Any) -> None:
    kept, ended = log_in(api, ann), log_in(api, ann)
    row = Session.objects.filter(user=ann).latest("id")
    assert "The device is signed out." in desk.does(ann, "end-session", row=str(row.pk))
    assert refusal(api.get("/users/me", token=ended["access"])) == (401, "invalid_token")
    assert api.get("/users/me", token=kept["access"]).status_code == 200
    assert [(event.actor_id, event.target_id) for event in events("session.ended")] == [(desk.staff.pk, ann.pk)]


def test_a_device_of_another_is_not_ended_on_this_page(desk: Desk, ann: Any) -> None:
    other = signed_in(UserFactory()).session
    with nothing_changes():
        response = desk.press(ann, "end-session", row=str(other.pk))
    assert refused(response, "conflict", 409, 'class="person"') == "That device was signed out already."


@pytest.mark.parametrize("row", ["", "x", "\x00", "%s" * 50])
@pytest.mark.parametrize("action", ["end-session", "send-again", "withdraw"])
def test_an_odd_row_is_no_accident(desk: Desk, ann: Any, action: str, row: str) -> None:
    with nothing_changes():
        assert desk.press(ann, action, row=row).status_code == 404


def test_signing_out_everywhere_ends_all(api: Any, desk: Desk, ann: Any) -> None:
    tokens = [log_in(api, ann)["access"] for _ in range(3)]
    assert "All devices are signed out." in desk.does(ann, "end-sessions")
    assert {api.get("/users/me", token=token).status_code for token in tokens} == {401}


def test_somebody_is_deactivated_and_restored(api: Any, desk: Desk, ann: Any) -> None:
    token = access_of(api, ann)
    assert "Deactivated" in shown_marks(desk.does(ann, "deactivate"))
    assert api.get("/users/me", token=token).status_code == 401
    assert "Active" in shown_marks(desk.does(ann, "restore"))
    assert log_in(api, ann)
    assert [event.target_id for event in (*events("user.deactivated"), *events("user.restored"))] == [ann.pk] * 2


def test_a_role_is_given_until_the_end_of_a_day_and_withdrawn(desk: Desk, ann: Any) -> None:
    role = RoleFactory(name="editor")
    friday = (datetime.now(UTC) + timedelta(days=5)).date()
    page = desk.does(ann, "grant", role="editor", expires_at=friday.isoformat())
    assert "The role editor is given." in page
    given = RoleGrant.objects.get(user=ann)
    assert (given.role, given.granted_by) == (role, desk.staff)
    assert given.expires_at == datetime(friday.year, friday.month, friday.day, 23, 59, 59, 999999, UTC)
    assert "The role editor is withdrawn." in desk.does(ann, "withdraw", row=str(role.pk))
    assert not RoleGrant.objects.filter(user=ann).exists()


def test_a_role_without_a_day_is_given_for_good(desk: Desk, ann: Any) -> None:
    RoleFactory(name="editor")
    desk.does(ann, "grant", role="editor", expires_at="")
    assert RoleGrant.objects.get(user=ann).expires_at is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"role": ""}, "blank"),
        ({"role": "no-such-role"}, "There is no such role."),
        ({"role": "editor", "expires_at": "2020-01-01"}, "This must lie in the future."),
        ({"role": "editor", "expires_at": "yesterday"}, "Enter a valid date."),
    ],
)
def test_a_grant_that_cannot_be_is_refused_beside_its_form(
    desk: Desk, ann: Any, fields: dict[str, str], words: str
) -> None:
    RoleFactory(name="editor")
    with nothing_changes():
        response = desk.press(ann, "grant", **fields)
    assert response.status_code == 400
    assert words in unescape(text(response).partition('id="roles"')[2].partition("</section>")[0])


def form_in(page: str) -> dict[str, str]:
    """The profile form, as it was shown."""
    part = page.partition('class="profile"')[2].partition("</form>")[0]
    fields = dict(re.findall(r'<input type="\w+" name="(\w+)"(?: value="([^"]*)")?', part))
    chosen = re.search(r'<option value="(\w+)" selected', part)
    assert chosen
    return {name: unescape(value) for name, value in {**fields, "language": chosen[1]}.items()}


def test_the_profile_is_changed(desk: Desk, ann: Any) -> None:
    form = form_in(desk.page(ann))
    assert form["email"] == ann.email
    page = desk.does(ann, "profile", **{**form, "first_name": "Анна", "username": "", "language": "ru"})
    ann.refresh_from_db()
    assert (ann.first_name, ann.username, ann.language, ann.last_name) == ("Анна", None, "ru", "Lee")
    assert "Saved." in page
    assert "Profile changed: first name, language, username" in page


def test_another_address_is_unverified_and_gets_a_mail(api: Any, desk: Desk, ann: Any) -> None:
    token = access_of(api, ann)
    page = desk.does(ann, "profile", **{**form_in(desk.page(ann)), "email": "anna@example.net"})
    assert "Not verified" in shown_marks(page)
    assert api.get("/users/me", token=token).status_code == 401
    assert letters("anna@example.net") == ["verify"]


def test_a_form_left_as_it_is_changes_nothing(desk: Desk, ann: Any) -> None:
    form = form_in(desk.page(ann))
    with nothing_changes():
        assert desk.press(ann, "profile", **form).status_code == 302


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("username", "other", "Somebody else has this one."),
        ("email", "other@example.org", "Somebody else has this one."),
        ("email", "no address", "Not an e-mail address."),
        ("first_name", "a\x07b", "Names hold no control characters."),
        ("username", "a b", "3 to 30 letters"),
    ],
)
def test_what_cannot_be_saved_is_told_beside_its_field(
    desk: Desk, ann: Any, field: str, value: str, words: str
) -> None:
    UserFactory(email="other@example.org", username="other")
    form = {**form_in(desk.page(ann)), field: value, "last_name": "Typed"}
    with nothing_changes():
        response = desk.press(ann, "profile", **form)
    assert response.status_code == 400
    page = text(response)
    told = re.search(rf'id="{field}_error">(.*?)</strong>', page)
    assert told
    assert words in unescape(told[1])
    assert 'value="Typed"' in page, "what was typed is still there"
    assert re.search(r'<details class="profile"[^>]* open', page)


def test_a_change_over_a_change_made_meanwhile_is_refused(desk: Desk, ann: Any) -> None:
    form = form_in(desk.page(ann))
    User.objects.filter(pk=ann.pk).update(last_name="Changed")
    with nothing_changes():
        response = desk.press(ann, "profile", **{**form, "first_name": "Late"})
    assert refused(response, "precondition_failed", 412, 'class="profile"').startswith("Somebody has changed")


def test_ones_own_address_is_not_changed_here(desk: Desk) -> None:
    form = form_in(desk.page(desk.staff))
    assert "email" not in form
    desk.does(desk.staff, "profile", **{**form, "email": "thief@example.org", "first_name": "Me"})
    desk.staff.refresh_from_db()
    assert (desk.staff.email, desk.staff.first_name) == ("root@example.org", "Me")


# --- What the guard rails refuse, on the same page -------------------------------------------------------------------

ESCALATION = "Nobody gives, takes or touches what is above their own permissions."


def test_nobody_gives_what_they_do_not_hold(ann: Any) -> None:
    RoleFactory(name="auditor", permissions=["audit:read", "session:revoke"])
    desk = staff("user:read", "role:read", "role:assign")
    with nothing_changes("guard.refused"):
        response = desk.press(ann, "grant", role="auditor")
    assert refused(response, "privilege_escalation", 403, 'id="roles"') == ESCALATION
    assert '<option value="auditor" selected' in text(response), "what was chosen still is"


@pytest.mark.parametrize("action", [name for name in ACTIONS if name != "restore"])
def test_nobody_touches_whoever_is_above_them(busy: Any, action: str) -> None:
    GrantFactory(user=busy, role=RoleFactory(name="boss", permissions=["order:refund"]))
    desk = staff(*EVERYTHING)
    fields = fields_for(action, busy)
    with nothing_changes("guard.refused"):
        response = desk.press(busy, action, **fields)
    assert (
        refused(response, "privilege_escalation", 403, f'/{action}/"' if "row" not in fields else "row") == ESCALATION
    )


def test_nobody_restores_whoever_is_above_them() -> None:
    boss = holder("order:refund", is_active=False)
    desk = staff(*EVERYTHING)
    with nothing_changes("guard.refused"):
        response = desk.press(boss, "restore")
    assert refused(response, "privilege_escalation", 403, "/restore/") == ESCALATION


def test_the_last_administrator_stays_one(desk: Desk) -> None:
    row = Role.objects.get(name="admin").pk
    with nothing_changes("guard.refused"):
        response = desk.press(desk.staff, "withdraw", row=str(row))
    assert refused(response, "last_administrator", 409, f"role-{row}").startswith("Nobody would be left")


def test_nobody_deactivates_themselves(desk: Desk) -> None:
    administrator()
    with nothing_changes("guard.refused"):
        response = desk.press(desk.staff, "deactivate")
    assert refused(response, "own_account", 409, "/deactivate/").startswith("Administrators do not")


# --- Mails -----------------------------------------------------------------------------------------------------------


def test_a_verification_is_sent(api: Any, desk: Desk) -> None:
    new = UserFactory(email="new@example.org", is_verified=False)
    assert "The mail is on its way." in desk.does(new, "verification")
    assert letters(new.email) == ["verify"]
    assert [event.actor_id for event in events("user.verification_sent")] == [desk.staff.pk]
    code = code_in(letter("verify", new.email))
    assert api.post("/auth/verify", {"email": new.email, "code": code}).status_code == 200


def test_who_has_no_password_yet_is_invited_instead(desk: Desk) -> None:
    new = UserFactory(email="new@example.org", is_verified=False, password=None)
    assert "Send invitation" in desk.page(new)
    desk.does(new, "verification")
    assert letters(new.email) == ["invitation"]
    assert len(events("user.invited")) == 1


def test_a_reset_is_sent_and_works(api: Any, desk: Desk, ann: Any) -> None:
    desk.does(ann, "reset")
    body = {"email": ann.email, "code": code_in(letter("reset", ann.email)), "new_password": "Purple-anvil-77"}
    assert api.post("/auth/password/reset", body).status_code == 204
    assert [event.actor_id for event in events("password.reset_sent")] == [desk.staff.pk]


def test_a_mail_is_sent_again_with_the_same_code(api: Any, desk: Desk, ann: Any) -> None:
    api.post("/auth/password/forgot", {"email": ann.email})
    first = letter("reset", ann.email)
    OutgoingMail.objects.update(state="failed", last_error="SMTPDataError 550 5.7.1")
    assert "SMTPDataError 550" in desk.page(ann)
    assert "The mail is on its way." in desk.does(ann, "send-again", row=str(first.pk))
    second = letter("reset", ann.email)
    assert second.pk != first.pk
    assert (code_in(second), link_in(second)) == (code_in(first), link_in(first))
    assert second.state == "waiting"
    (event,) = events("mail.sent_again")
    assert (event.actor_id, event.target_id) == (desk.staff.pk, ann.pk)
    assert event.details == {"mail": str(first.pk), "template": "reset"}
    assert "Mail sent again: Password reset" in desk.page(ann)


def test_a_link_that_outlives_its_code_goes_out_without_the_code(desk: Desk, ann: Any) -> None:
    ask(ann, Purpose.RESET)
    OutgoingMail.objects.update(state="sent")
    time_passes(minutes=16)
    desk.does(ann, "send-again", row=str(letter("reset", ann.email).pk))
    assert letter("reset", ann.email).with_code is False


def dead(user: Any, how: str) -> OutgoingMail:
    challenge = ask(user, Purpose.RESET)
    OutgoingMail.objects.update(state="sent")
    if how == "ended":
        time_passes(hours=25)
    else:
        challenge.used_at = challenge.voided_at = None
        setattr(challenge, how, challenge.created_at)
        challenge.save()
    return letter("reset", user.email)


@pytest.mark.parametrize("how", ["used_at", "voided_at", "ended"])
def test_a_mail_of_a_dead_challenge_is_not_sent_again_and_it_says_why(desk: Desk, ann: Any, how: str) -> None:
    mail = dead(ann, how)
    assert "send-again" not in buttons_in(desk.page(ann))
    with nothing_changes():
        response = desk.press(ann, "send-again", row=str(mail.pk))
    assert "Send a new mail instead." in refused(response, "conflict", 409, f"mail-{mail.pk}")


@pytest.mark.parametrize("state", ["waiting", "sending"])
def test_a_mail_on_its_way_is_not_sent_twice(desk: Desk, ann: Any, state: str) -> None:
    ask(ann, Purpose.RESET)
    OutgoingMail.objects.update(state=state)
    with nothing_changes():
        response = desk.press(ann, "send-again", row=str(letter("reset", ann.email).pk))
    assert refused(response, "conflict", 409, "mail-") == "This mail is still on its way."


def test_a_notice_sent_again_speaks_of_the_first_time(desk: Desk, ann: Any) -> None:
    at = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
    context = {"device": "Firefox on Linux", "ip": "203.0.113.9"}
    there = {"to": ann.email, "user_id": ann.pk, "challenge_id": None, "state": "sent", "created_at": at}
    mail = OutgoingMailFactory(template="password_changed", context=context, **there)
    desk.does(ann, "send-again", row=str(mail.pk))
    again = letter("password_changed", ann.email)
    assert again.context == {**mail.context, "at": at.isoformat()}
    OutgoingMail.objects.update(state="sent")
    desk.does(ann, "send-again", row=str(again.pk))
    assert letter("password_changed", ann.email).context == again.context


@pytest.mark.parametrize(
    ("template", "to", "words"),
    [
        ("password_changed", "former@example.org", "The account has another address now."),
        ("account_closed", "Ann@example.org", "What this mail says is no longer true."),
        ("no_such_letter", "Ann@example.org", "This mail is no longer kept."),
    ],
)
def test_what_is_no_longer_true_is_not_told_again(desk: Desk, ann: Any, template: str, to: str, words: str) -> None:
    mail = OutgoingMailFactory(template=template, to=to, user_id=ann.pk, challenge_id=None, state="sent")
    with nothing_changes():
        response = desk.press(ann, "send-again", row=str(mail.pk))
    assert refused(response, "conflict", 409, f"mail-{mail.pk}") == words


def test_a_mail_to_another_is_not_sent_again_from_this_page(desk: Desk, ann: Any) -> None:
    other = UserFactory()
    ask(other, Purpose.RESET)
    OutgoingMail.objects.update(state="sent")
    with nothing_changes():
        response = desk.press(ann, "send-again", row=str(letter("reset", other.email).pk))
    assert refused(response, "conflict", 409, 'class="person"') == "This mail is no longer kept."


@pytest.mark.parametrize("action", ["reset", "verification", "send-again"])
def test_an_address_gets_no_more_mails_than_the_limit_says(desk: Desk, busy: Any, action: str) -> None:
    fields = fields_for(action, busy)
    for _ in range(MAILS_PER_ADDRESS):
        desk.does(busy, action, **fields)
    with nothing_changes():
        response = desk.press(busy, action, **fields)
    assert "This address has had its mails for this hour." in refused(response, "too_many_requests", 429, "form")
    assert response["Retry-After"]


@pytest.mark.parametrize(("action", "who"), [("verification", {}), ("verification", {"is_active": False}),
                                             ("reset", {"is_active": False})])  # fmt: skip
def test_a_mail_that_would_be_of_no_use_is_refused(desk: Desk, action: str, who: dict[str, bool]) -> None:
    user = UserFactory(**who)
    with nothing_changes():
        response = desk.press(user, action)
    told = refused(response, "conflict", 409, 'class="person"')
    assert told in ("This account is deactivated.", "This address is verified already.")


# --- What it costs ---------------------------------------------------------------------------------------------------


def questions(desk: Desk, person: Any) -> list[str]:
    from django.db import connection

    desk.page(person)
    with CaptureQueriesContext(connection) as asked:
        desk.page(person)
    return [query["sql"] for query in asked.captured_queries]


def test_the_page_costs_the_same_however_much_hangs_on_somebody(desk: Desk, ann: Any) -> None:
    few = questions(desk, ann)
    for number in range(8):
        GrantFactory(user=ann, role=RoleFactory(permissions=[f"thing{number}:use"]), granted_by=UserFactory())
        signed_in(ann, ip=f"198.51.100.{number}")
        ask(ann, Purpose.RESET)
        EventFactory(target_id=ann.pk, actor_id=UserFactory().pk, action="user.changed")
        EventFactory(target_id=UserFactory().pk, actor_id=ann.pk, action="user.changed")
    many = questions(desk, ann)
    assert len(many) == len(few) + 1, "the names of others"
    assert len(many) <= 12, "\n".join(many)
