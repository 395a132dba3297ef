"""The front page of the panel: the numbers, for whom, and what they cost."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import panel_overview
from accounts.models import Counter, FailedLogIns
from accounts.tests.factories import UserFactory
from accounts.tests.scene import administrator, holder
from accounts.tests.test_panel import Browser
from audit.models import Event
from mail.models import OutgoingMail

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """However slow the machine is, all days are counted at the first look."""
    monkeypatch.setattr(panel_overview, "SECONDS", 60)


@pytest.fixture
def browser(db):
    return Browser().sign_in(administrator(email="root@example.org", is_staff=True))


def happened(action, days_ago, times=1, target=None):
    at = timezone.now() - timedelta(days=days_ago)
    for _ in range(times):
        Event.objects.create(action=action, at=at, target_id=target)


def charts(browser):
    return {chart.words: chart for chart in browser.get().context["charts"]}


def test_each_day_has_its_numbers(browser):
    ann = UserFactory()
    happened("user.signed_up", 0, 2)
    happened("user.signed_up", 29, 3)
    happened("user.signed_up", 31, 5)
    happened("session.started", 3, 4, ann.pk)
    happened("session.started", 3, 1, UserFactory().pk)
    happened("session.refused", 3, 2)
    happened("user.locked", 3, 1)
    found = charts(browser)
    sign_ups = found["Sign-ups"].bars
    assert len(sign_ups) == 30
    assert (sign_ups[0].numbers, sign_ups[-1].numbers) == ([3], [2])
    assert found["Log-ins"].bars[-4].numbers == [5, 2, 1]
    assert found["People who signed in"].bars[-4].numbers == [2]
    assert found["Sign-ups"].sums == [5]


def test_people_who_signed_in_today_are_told_by_their_last_log_in(browser):
    before = charts(browser)["People who signed in"].bars[-1].numbers
    UserFactory(last_login=timezone.now())
    UserFactory(last_login=timezone.now() - timedelta(days=1))
    assert charts(browser)["People who signed in"].bars[-1].numbers == [before[0] + 1]


def test_a_day_that_is_over_is_counted_once(browser):
    browser.get()
    with CaptureQueriesContext(connection) as queries:
        browser.get()
    assert len([query for query in queries if "COUNT(" in query["sql"].upper() and "audit_events" in query["sql"]]) == 4


def test_counting_stops_when_a_page_has_taken_long_enough_and_goes_on_with_the_next(browser, monkeypatch):
    monkeypatch.setattr(panel_overview, "SECONDS", -1)
    page = browser.get()
    assert b"still being counted" in page.content
    assert not Counter.objects.filter(key__startswith="day:").exists()
    monkeypatch.setattr(panel_overview, "SECONDS", 60)
    assert b"still being counted" not in browser.get().content
    assert Counter.objects.filter(key__startswith="day:").count() == 29 * 5


def test_what_waits_failed_and_is_locked_is_counted_and_leads_to_its_list(browser):
    now = timezone.now()
    for state in ("waiting", "sending", "failed"):
        OutgoingMail.objects.create(template="verify", to="x@example.org", language="en", state=state, next_try_at=now)
    FailedLogIns.objects.create(
        account="x", network="192.0.2.0/24", wait_until=now + timedelta(minutes=1), updated_at=now
    )
    page = browser.get()
    tiles = {tile.words: tile for tile in page.context["tiles"]}
    assert (tiles["Mails waiting"].number, tiles["Mails failed"].number, tiles["Locked now"].number) == ("2", "1", "1")
    assert tiles["Users"].number == "1"
    links = {tile.link for tile in tiles.values()} | {chart.link for chart in page.context["charts"]}
    assert all(browser.client.get(link).status_code == 200 for link in links)


def test_the_newest_refusals_are_named(browser):
    ann = UserFactory(email="ann@example.org")
    happened("guard.refused", 1, target=ann.pk)
    happened("session.started", 0, target=ann.pk)
    shown = browser.get().context["events"]
    assert [(row["event"].action, row["target"]) for row in shown] == [("guard.refused", "ann@example.org")]
    assert shown[0]["words"].startswith("Refused: ")


@pytest.mark.parametrize(
    ("permission", "seen"),
    [
        ("user:read", {"Users", "Mails waiting", "Mails failed"}),
        ("session:read", {"Live sessions", "Locked now"}),
        ("audit:read", {"Sign-ups", "Log-ins", "People who signed in"}),
        ("role:read", set()),
    ],
)
def test_everybody_sees_what_their_roles_let_them(permission, seen):
    page = Browser().sign_in(holder(permission, is_staff=True)).get()
    found = {tile.words for tile in page.context["tiles"]} | {chart.words for chart in page.context["charts"]}
    assert found == seen
    assert (b"Newest security events" in page.content) is (permission == "audit:read")


def test_it_asks_few_questions_however_much_happened(browser):
    browser.get()
    with CaptureQueriesContext(connection) as few:
        browser.get()
    for day in range(5):
        happened("guard.refused", day, 5, UserFactory().pk)
    with CaptureQueriesContext(connection) as many:
        browser.get()
    assert len(many) <= len(few) + 1  # the names
    assert len(many) < 40
