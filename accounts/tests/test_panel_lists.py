"""The lists of the panel: what they find, what a page of them costs, and what may be done to many at once."""

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.contrib.admin import site
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import user_list
from accounts.job_models import Job
from accounts.models import Session, User
from accounts.services import bulk, jobs
from accounts.tests.factories import UserFactory
from accounts.tests.scene import administrator, events, holder, letters, log_in, nothing_changes
from accounts.tests.test_panel import Browser
from audit import admin as audit_panel
from audit.models import Event
from core.actor import Actor
from core.ids import uuid7_at
from mail.models import OutgoingMail
from rbac.models import Role, RoleGrant
from rbac.tests.factories import GrantFactory, RoleFactory

pytestmark = pytest.mark.django_db
USERS = "accounts/user/"


@pytest.fixture
def admin(db):
    return administrator(email="root@example.org", is_staff=True)


@pytest.fixture
def browser(admin):
    return Browser().sign_in(admin)


def addresses(page):
    """The addresses in the list, from top to bottom."""
    assert page.status_code == 200
    return re.findall(r"[\w.+-]+@example\.\w+(?=</a>)", page.content.decode())


def turned(page, rel):
    found = re.search(rf'rel="{rel}" href="([^"]+)"', page.content.decode())
    return found[1].replace("&amp;", "&") if found else None


def act(browser, deed, *users, path=USERS, **rest):
    form = {"action": deed, "index": "0", "_selected_action": [str(user.pk) for user in users], **rest}
    return browser.post(path, form)


# --- Paging ------------------------------------------------------------------------------------------------------


ORDERS = ("", "?o=1", "?o=-1", "?o=6", "?o=-7", "?o=99", "?o=-2", "?o=-0", "?o=x.y")


@pytest.mark.parametrize("order", [*ORDERS, "?joined=7&o=1", "?joined=7&o=-1", "?joined=7&o=7"])
def test_every_row_is_on_one_page_and_back_again(browser, admin, order, monkeypatch):
    monkeypatch.setattr(site._registry[User], "list_per_page", 4)
    UserFactory.create_batch(9, last_login=None)
    UserFactory.create_batch(3, last_login=timezone.now())
    forth, back = people_through(browser, order)
    every = [address for part in forth for address in part]
    assert sorted(every) == sorted(User.objects.values_list("email", flat=True))
    assert back == forth


def people_through(browser, query):
    """The addresses in the list of users, page by page, and those of the way back."""
    page, forth = browser.get(USERS + query), []
    while True:
        forth.append(addresses(page))
        if not (following := turned(page, "next")):
            break
        page = browser.get(USERS + following)
    back = [forth[-1]]
    while previous := turned(page, "prev"):
        page = browser.get(USERS + previous)
        back.insert(0, addresses(page))
    return forth, back


@pytest.mark.parametrize("order", ["", "&o=1", "&o=-1", "&o=7", "&o=-7&is_active=true"])
def test_the_few_whom_a_search_finds_are_sorted_and_not_looked_for_along_the_order(browser, order, monkeypatch):
    monkeypatch.setattr(site._registry[User], "list_per_page", 4)
    is_postgresql = connection.vendor == "postgresql"
    if is_postgresql:  # which would read so small a table through
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    UserFactory.create_batch(5, last_login=None)
    UserFactory.create_batch(4, last_login=timezone.now())
    with CaptureQueriesContext(connection) as asked:
        forth, back = people_through(browser, f"?q=PERSON{order}")
    assert sum(map(len, forth)) == 9
    assert back == forth
    assert any("GREATEST(" in query["sql"] for query in asked) == is_postgresql
    monkeypatch.setattr(user_list, "FEW", -1)
    assert people_through(browser, f"?q=PERSON{order}") == (forth, forth)


@pytest.mark.parametrize(("query", "is_sorted"), [("joined=7&o=1", True), ("joined=7&o=-7", True), ("joined=7", False)])
def test_who_joined_lately_is_sorted_and_not_looked_for_along_another_order(browser, query, is_sorted):
    with CaptureQueriesContext(connection) as asked:
        browser.get(f"{USERS}?{query}")
    assert any("GREATEST(" in one["sql"] for one in asked) == (is_sorted and connection.vendor == "postgresql")


def test_a_cursor_of_another_order_or_made_up_starts_again(browser, monkeypatch):
    monkeypatch.setattr(site._registry[User], "list_per_page", 2)
    UserFactory.create_batch(5)
    first = addresses(browser.get(USERS))
    cursor = turned(browser.get(f"{USERS}?o=1"), "next")
    assert cursor
    assert addresses(browser.get(USERS + cursor.replace("o=1", "o=99"))) == first
    assert addresses(browser.get(f"{USERS}?cursor=nonsense")) == first


def rows_of_everything(number):
    for _ in range(number):
        user = GrantFactory(user=UserFactory(last_login=timezone.now()), role=RoleFactory()).user
        Event.objects.create(action="user.changed", actor_id=user.pk, target_id=UserFactory().pk)
        now = timezone.now()
        OutgoingMail.objects.create(template="verify", to=user.email, language="en", user_id=user.pk, next_try_at=now)
        later = now + timedelta(days=1)
        Session.objects.create(
            **dict.fromkeys(("created_at", "rotated_at", "last_used_at"), now),
            **dict.fromkeys(("access_expires_at", "refresh_expires_at", "expires_at"), later),
            user=user,
            device="Firefox on Linux",
        )


LISTS = sorted(model._meta.label_lower.replace(".", "/") + "/" for model in site._registry)


@pytest.mark.parametrize("path", LISTS)
def test_a_list_asks_as_many_questions_for_many_rows_as_for_few(browser, path):
    rows_of_everything(2)
    browser.get(path)
    with CaptureQueriesContext(
        connection,
    ) as few:
        browser.get(path)
    rows_of_everything(20)
    with CaptureQueriesContext(connection) as many:
        browser.get(path)
    assert len(many) == len(few)
    assert len(many) < 20


@pytest.mark.parametrize("path", LISTS)
def test_no_list_counts_many_rows_nor_skips_over_any(browser, path, monkeypatch):
    monkeypatch.setattr("core.panel_lists.COUNTED", 0)
    for model in site._registry.values():
        monkeypatch.setattr(model, "list_per_page", 2)
    rows_of_everything(6)
    page = browser.get(path)
    following = turned(page, "next")
    with CaptureQueriesContext(connection) as queries:
        browser.get(path + (following or ""))
    said = [query["sql"].upper() for query in queries]
    assert not [sql for sql in said if " OFFSET " in sql]
    assert not [sql for sql in said if "COUNT(*)" in sql and "LIMIT 1)" not in sql]


# --- Searching and filters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?q=NN@", {"ann@example.org"}),
        ("?q=Юр", {"bob@example.org"}),
        ("?is_active=false", {"bob@example.org"}),
        ("?is_verified=false", {"cid@example.org"}),
        ("?is_staff=true", {"root@example.org"}),
        ("?role=editor", {"ann@example.org"}),
        ("?is_active=true&q=bob", set()),
        ("?joined=older", {"cid@example.org"}),
        ("?seen=older", {"cid@example.org"}),
    ],
)
def test_people_are_found(browser, query, found):
    long_ago = timezone.now() - timedelta(days=40)
    GrantFactory(user=UserFactory(email="ann@example.org"), role=RoleFactory(name="editor"))
    UserFactory(email="bob@example.org", last_name="Юрьев", is_active=False)
    UserFactory(email="cid@example.org", is_verified=False, created_at=long_ago, last_login=long_ago)
    assert set(addresses(browser.get(USERS + query))) == found


@pytest.mark.parametrize("query", ["?is_active=banana", "?role=nobody", "?joined=1000", "?is_active=", "?state=x"])
def test_a_filter_that_is_none_finds_everybody_or_nothing_but_never_fails(browser, query):
    assert browser.get(USERS + query).status_code in (200, 302, 400)


@pytest.mark.parametrize(
    "lookup", ["password__startswith=md5", "password__regex=.", "email_key=x", "grants__role__name=x"]
)
@pytest.mark.parametrize("path", [USERS, "accounts/session/", "rbac/rolegrant/"])
def test_no_column_can_be_guessed_by_asking_for_it(browser, path, lookup):
    """Django lets the address of a list name any column, so a hash could be read letter by letter."""
    prefix = "" if path == USERS else "user__"
    assert browser.get(f"{path}?{prefix}{lookup}").status_code == 400


def test_sessions_and_mails_and_grants_are_found_by_whose_they_are(browser, admin):
    rows_of_everything(1)
    owner = Session.objects.exclude(user=admin).get().user
    for path in ("accounts/session/", "mail/outgoingmail/", "rbac/rolegrant/"):
        assert owner.email in browser.get(f"{path}?q={owner.email[:9]}").content.decode()
        assert f">{owner.email}<" not in browser.get(f"{path}?q=nobody-at-all").content.decode()


def test_sessions_are_found_by_address(browser):
    assert "192.0.2.1" in browser.get("accounts/session/?q=192.0.2.1").content.decode().split("result_list")[-1]
    assert "result_list" not in browser.get("accounts/session/?q=192.0.2.9").content.decode()


@pytest.mark.parametrize(("used", "found"), [("1", {"new"}), ("30", {"new", "kept"}), ("older", {"old"})])
def test_sessions_are_found_by_their_last_use(browser, admin, used, found):
    for device, begun, last in (("new", 0, 0), ("kept", 40, 5), ("old", 45, 35)):
        at, last_at = (timezone.now() - timedelta(days=days, hours=1) for days in (begun, last))
        Session.objects.create(
            **dict.fromkeys(("access_expires_at", "refresh_expires_at", "expires_at"), timezone.now()),
            id=uuid7_at(at),
            user=admin,
            created_at=at,
            rotated_at=last_at,
            last_used_at=last_at,
            device=f"the {device} one",
        )
    listing = browser.get(f"accounts/session/?used={used}").content.decode().split("result_list")[-1]
    assert set(re.findall(r"the (\w+) one", listing)) == found


def test_events_are_found_by_whom_they_concern_by_action_and_by_request(browser):
    ann = UserFactory(email="ann@example.org", username="ann")
    Event.objects.create(action="user.changed", target_id=ann.pk, request_id="abc-1")
    Event.objects.create(action="user.restored", target_id=uuid4(), request_id="abc-2")
    for text in ("ann@example.org", "ANN@example.org", "ann", str(ann.pk), "user.changed", "abc-1"):
        listing = browser.get(f"audit/event/?q={text}").content.decode().split("result_list")[-1]
        assert "abc-1" in listing, text
        assert "abc-2" not in listing, text


def turned_through(browser, path):
    """The request ids of all events, page by page, and those of the way back."""
    page, forth = browser.get(path), []
    while True:
        forth.append(re.findall(r"req-\d+", page.content.decode()))
        if not (following := turned(page, "next")):
            break
        page = browser.get("audit/event/" + following)
    back = [forth[-1]]
    while previous := turned(page, "prev"):
        page = browser.get("audit/event/" + previous)
        back.insert(0, re.findall(r"req-\d+", page.content.decode()))
    return forth, back


def test_what_somebody_did_and_what_was_done_to_them_is_one_list_in_order(browser, monkeypatch):
    monkeypatch.setattr(site._registry[Event], "list_per_page", 4)
    ann, now = UserFactory(email="ann@example.org"), timezone.now()
    sides = [{"actor_id": ann.pk}, {"target_id": ann.pk}, {"actor_id": ann.pk, "target_id": ann.pk}, {}]
    for number in range(24):
        at = now - timedelta(minutes=number // 3)  # several at one moment
        Event.objects.create(action="user.changed", at=at, request_id=f"req-{number}", **sides[number % 4])
    forth, back = turned_through(browser, "audit/event/?q=ann@example.org")
    found = [request_id for page in forth for request_id in page]
    assert sorted(found) == sorted(f"req-{number}" for number in range(24) if number % 4 != 3)
    assert [int(request_id[4:]) // 3 for request_id in found] == sorted(int(r[4:]) // 3 for r in found)
    assert back == forth


def test_an_event_is_found_by_the_request_id_that_we_made_however_old_it_is(browser, monkeypatch):
    monkeypatch.setattr(audit_panel, "NEWEST", 1)
    id_ = uuid7_at(timezone.now() - timedelta(days=300)).int | 7 << 76 | 2 << 62 | 4711
    request_id = UUID(int=id_).hex
    assert UUID(request_id).version == 7
    at = timezone.now() - timedelta(days=300)
    target = uuid4()
    Event.objects.create(action="user.changed", at=at, request_id=request_id, target_id=target)
    Event.objects.create(action="user.changed", at=at, request_id="abc", target_id=target)
    for path, number in ((request_id, 1), (request_id[:-1] + "0", 0), ("f" * 12 + "7" + "8" * 19, 0), ("abc", 0)):
        page = browser.get(f"audit/event/?q={path}")
        assert page.status_code == 200
        assert page.content.decode().count(str(target)) == number


def test_events_name_people_by_their_addresses(browser, admin):
    ann = UserFactory(email="ann@example.org")
    Event.objects.create(action="user.changed", actor_id=admin.pk, target_id=ann.pk)
    listing = browser.get("audit/event/").content.decode()
    assert "ann@example.org</a>" in listing


# --- Many at once ------------------------------------------------------------------------------------------------

DEEDS = {
    "deactivate": "user:delete",
    "restore": "user:delete",
    "end_sessions": "session:revoke",
    "invite": "user:write",
    "grant": "role:assign",
}


@pytest.mark.parametrize("deed", DEEDS)
def test_only_the_holder_of_the_permission_has_the_action(deed):
    ann = UserFactory()
    without = Browser().sign_in(holder("user:read", *(set(DEEDS.values()) - {DEEDS[deed]}), is_staff=True))
    assert f'value="{deed}"' not in without.get(USERS).content.decode()
    with nothing_changes():
        assert act(without, deed, ann, confirmed="yes").status_code == 403
        assert act(without, deed, confirmed="yes", select_across="1").status_code == 403
    allowed = Browser().sign_in(holder("user:read", DEEDS[deed], is_staff=True))
    assert f'value="{deed}"' in allowed.get(USERS).content.decode()


def test_whoever_may_do_but_not_see_does_nothing_in_the_list_either():
    blind = Browser().sign_in(holder("user:delete", is_staff=True))
    ann = UserFactory()
    with nothing_changes():
        assert act(blind, "deactivate", ann, confirmed="yes").status_code == 403


def test_what_will_be_done_and_to_whom_is_said_before(browser):
    people = UserFactory.create_batch(12)
    with nothing_changes():
        page = act(browser, "deactivate", *people)
    text = page.content.decode()
    assert page.status_code == 200
    assert "12 people" in text
    assert people[0].email in text
    assert "and 2 more" in text


def test_each_is_deactivated_and_audited_by_itself(browser, admin):
    people, other = UserFactory.create_batch(3), UserFactory()
    response = act(browser, "deactivate", *people, confirmed="yes")
    assert response.status_code == 302
    assert {user.pk for user in people} == {event.target_id for event in events("user.deactivated")}
    assert {event.actor_id for event in events("user.deactivated")} == {admin.pk}
    assert User.objects.filter(is_active=False).count() == 3
    other.refresh_from_db()
    assert other.is_active


def test_the_guard_rails_hold_for_each_and_are_told():
    chief, editor = administrator(), UserFactory()
    support = holder("user:read", "user:delete", is_staff=True)
    browser = Browser().sign_in(support)
    response = act(browser, "deactivate", chief, support, editor, confirmed="yes")
    job = Job.objects.get()
    assert response["Location"] == f"/admin/jobs/{job.pk}/"
    assert (job.done, job.failed) == (3, 2)
    assert job.outcome["refused"] == {"privilege_escalation": 1, "own_account": 1}
    assert not User.objects.get(pk=editor.pk).is_active
    assert User.objects.filter(pk__in=[chief.pk, support.pk], is_active=True).count() == 2
    assert len(events("guard.refused")) == 2
    text = browser.client.get(response["Location"]).content.decode()
    assert chief.email in text
    assert "Beyond your own permissions" in text


def test_everybody_that_fits_means_the_filters_and_the_search(browser):
    UserFactory.create_batch(3, last_name="Gone")
    UserFactory.create_batch(2, last_name="Gone", is_verified=False)
    stays = UserFactory(last_name="Stays")
    path = f"{USERS}?q=gone&is_verified=true"
    page = act(browser, "deactivate", path=path, select_across="1", _selected_action=["all"])
    assert "3 people" in page.content.decode()
    act(browser, "deactivate", path=path, select_across="1", _selected_action=["all"], confirmed="yes")
    assert User.objects.filter(is_active=False).count() == 3
    stays.refresh_from_db()
    assert stays.is_active


def test_many_go_to_the_background_and_a_page_shows_how_far(browser, admin, monkeypatch):
    monkeypatch.setattr(bulk, "AT_ONCE", 5)
    people = UserFactory.create_batch(25)
    response = act(browser, "deactivate", *people, confirmed="yes")
    job = Job.objects.get()
    assert response["Location"] == f"/admin/jobs/{job.pk}/"
    assert not events("user.deactivated")
    assert b"waiting for its turn" in browser.client.get(response["Location"]).content
    jobs.run(job.pk, seconds=0)
    page = browser.client.get(response["Location"]).content.decode()
    assert 'value="40"' in page
    while Job.objects.get().is_open:
        jobs.run(job.pk)
    assert len(events("user.deactivated")) == 25
    assert b"25 of 25" in browser.client.get(response["Location"]).content


def test_whoever_joins_after_it_was_asked_for_is_not_touched(browser, monkeypatch):
    monkeypatch.setattr(bulk, "AT_ONCE", 1)
    UserFactory.create_batch(3, last_name="Gone")
    act(browser, "deactivate", path=f"{USERS}?q=gone", select_across="1", _selected_action=["all"], confirmed="yes")
    late = UserFactory(last_name="Gone", created_at=timezone.now() + timedelta(seconds=5))
    jobs.run(Job.objects.get().pk)
    late.refresh_from_db()
    assert late.is_active
    assert User.objects.filter(is_active=False).count() == 3


def test_a_job_stops_when_the_role_is_withdrawn(monkeypatch):
    monkeypatch.setattr(bulk, "AT_ONCE", 1)
    support = holder("user:read", "user:delete", is_staff=True)
    people = UserFactory.create_batch(3)
    act(Browser().sign_in(support), "deactivate", *people, confirmed="yes")
    RoleGrant.objects.filter(user=support).delete()
    jobs.run(Job.objects.get().pk)
    assert Job.objects.get().state == "failed"
    assert not events("user.deactivated")


def test_a_job_of_somebody_else_is_not_there_and_cannot_be_cancelled(browser, monkeypatch):
    monkeypatch.setattr(bulk, "AT_ONCE", 1)
    act(browser, "deactivate", *UserFactory.create_batch(3), confirmed="yes")
    job = Job.objects.get()
    other = Browser().sign_in(administrator(is_staff=True))
    assert other.get(f"jobs/{job.pk}/").status_code == 404
    assert other.post(f"jobs/{job.pk}/").status_code == 404
    assert Job.objects.get().is_open
    assert browser.post(f"jobs/{job.pk}/").status_code == 302
    assert Job.objects.get().state == "cancelled"
    assert browser.post(f"jobs/{job.pk}/").status_code == 302  # again: told, not failed


def test_restoring_ending_and_inviting_many(api, browser):
    gone = UserFactory.create_batch(2, is_active=False)
    act(browser, "restore", *gone, confirmed="yes")
    assert {event.target_id for event in events("user.restored")} == {user.pk for user in gone}
    ann = UserFactory()
    log_in(api, ann)
    act(browser, "end_sessions", ann, confirmed="yes")
    assert Session.objects.get(user=ann).ended_by == "revoked"
    invited = UserFactory()
    invited.set_unusable_password()
    invited.save()
    act(browser, "invite", invited, confirmed="yes")
    assert letters(invited.email) == ["invitation"]


def test_a_role_is_granted_to_many_until_a_day(browser, admin):
    role, people = RoleFactory(name="editor"), UserFactory.create_batch(3)
    page = act(browser, "grant", *people).content.decode()
    assert "editor" in page
    until = (timezone.now() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M")
    act(browser, "grant", *people, confirmed="yes", role=str(role.pk), expires_at=until)
    grants = RoleGrant.objects.filter(role=role)
    assert {grant.user_id for grant in grants} == {user.pk for user in people}
    assert all(grant.expires_at and grant.granted_by_id == admin.pk for grant in grants)


@pytest.mark.parametrize("expires_at", ["2001-01-01T00:00", "soon"])
def test_no_role_is_granted_until_yesterday(browser, expires_at):
    role, ann = RoleFactory(), UserFactory()
    with nothing_changes():
        page = act(browser, "grant", ann, confirmed="yes", role=str(role.pk), expires_at=expires_at)
    assert page.status_code == 200


def test_a_role_that_one_does_not_hold_is_neither_offered_nor_granted():
    support, ann = holder("user:read", "role:assign", is_staff=True), UserFactory()
    browser, admin_role = Browser().sign_in(support), Role.objects.get(name="admin")
    assert f'value="{admin_role.pk}"' not in act(browser, "grant", ann).content.decode()
    with nothing_changes():
        act(browser, "grant", ann, confirmed="yes", role=str(admin_role.pk))
    job = bulk.start(Actor(user=support), "grant", {"ids": [str(ann.pk)]}, {"role": str(admin_role.pk)})
    assert job.outcome["refused"] == {"privilege_escalation": 1}
    assert not RoleGrant.objects.filter(user=ann, role=admin_role).exists()


@pytest.mark.parametrize("path", [USERS, "accounts/session/"])
@pytest.mark.parametrize("ticked", ["x", "", "1", "'; --", "\x00"])
def test_what_is_no_id_is_no_accident(browser, path, ticked):
    deed = "end" if "session" in path else "deactivate"
    form = {"action": deed, "index": "0", "_selected_action": ticked, "confirmed": "yes"}
    with nothing_changes():
        assert browser.post(path, form).status_code in (302, 400)


def test_a_forged_form_does_nothing(admin):
    browser = Browser(enforce_csrf_checks=True)
    browser.client.cookies.update(Browser().sign_in(admin).client.cookies)
    ann = UserFactory()
    with nothing_changes():
        assert act(browser, "deactivate", ann, confirmed="yes").status_code == 403
        assert browser.post("accounts/session/end-others/", {"confirmed": "yes"}).status_code == 403


# --- Sessions ----------------------------------------------------------------------------------------------------


def test_sessions_ticked_are_ended_after_it_was_said_whose(api, browser, admin):
    ann, bob = UserFactory(), UserFactory()
    log_in(api, ann)
    log_in(api, bob)
    of_ann = Session.objects.get(user=ann)
    page = act(browser, "end", of_ann, path="accounts/session/")
    assert ann.email in page.content.decode()
    assert Session.objects.live().count() == 3
    act(browser, "end", of_ann, path="accounts/session/", confirmed="yes")
    assert set(Session.objects.live().values_list("user", flat=True)) == {bob.pk, admin.pk}


def test_all_sessions_but_mine_are_ended(api, browser, admin):
    for _ in range(2):
        log_in(api, UserFactory())
    assert b"2 sessions" in browser.get("accounts/session/end-others/").content
    assert Session.objects.live().count() == 3
    assert browser.post("accounts/session/end-others/").status_code == 302
    assert Session.objects.live().get().user == admin
    assert browser.is_in


def test_a_session_of_somebody_above_stays(api):
    chief = administrator()
    log_in(api, chief)
    support = holder("session:read", "session:revoke", is_staff=True)
    browser = Browser().sign_in(support)
    with nothing_changes("guard.refused"):
        act(browser, "end", Session.objects.get(user=chief), path="accounts/session/", confirmed="yes")
    with nothing_changes("guard.refused"):
        browser.post("accounts/session/end-others/")


def test_whoever_may_not_end_sessions_has_no_button_for_it(api):
    ann = UserFactory()
    log_in(api, ann)
    browser = Browser().sign_in(holder("session:read", is_staff=True))
    assert b"end-others" not in browser.get("accounts/session/").content
    with nothing_changes():
        assert browser.get("accounts/session/end-others/").status_code == 403
        assert browser.post("accounts/session/end-others/").status_code == 403
        ended = act(browser, "end", Session.objects.get(user=ann), path="accounts/session/", confirmed="yes")
        assert ended.status_code == 403
