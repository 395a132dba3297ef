"""The timeline of a person: each event once, in order, in words, and found by its indexes."""

import ast
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from accounts.person.sentences import ALARMING, OPERATIONS, SENTENCES, sentence
from accounts.person.timeline import LENGTH, timeline_of
from accounts.tests.factories import UserFactory
from audit.models import Event
from audit.tests.factories import EventFactory
from core.errors import InvalidInput
from core.ids import uuid7

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = ("accounts", "rbac", "mail", "audit", "core", "config")
AUDIT, PRUNED = Path("audit/services.py"), "audit.pruned"
INDEXES = {"audit_events_target", "audit_events_actor"}
START = datetime(2026, 5, 1, tzinfo=UTC)


# --- Every action has its sentence -----------------------------------------------------------------------------------


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for app in APPS:
        for file in sorted((ROOT / app).rglob("*.py")):
            if not {"tests", "migrations"} & set(file.relative_to(ROOT).parts):
                yield file, ast.parse(file.read_text())


def called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def constants(node: ast.expr) -> Iterator[str]:
    """What this can be: a text, or one of two."""
    if isinstance(node, ast.IfExp):
        yield from constants(node.body)
        yield from constants(node.orelse)
    else:
        assert isinstance(node, ast.Constant), f"which action is this? {ast.unparse(node)}"
        yield node.value


def recorded() -> set[str]:
    found: set[str] = set()
    for file, tree in sources():
        if file.relative_to(ROOT) == AUDIT:  # passes on what others say; its own stands in PRUNED
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node) in ("record", "record_failure"):
                found |= set(constants(node.args[1]))
    return found | {PRUNED}


def test_every_action_that_the_code_records_has_a_sentence_and_no_other_has() -> None:
    assert recorded() == set(SENTENCES)
    assert set(SENTENCES) >= ALARMING


def guarded() -> set[str]:
    return {
        node.name
        for _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and any(getattr(d, "id", "") == "guarded" for d in node.decorator_list)
    }


def test_every_service_that_a_guard_rail_can_refuse_has_words() -> None:
    assert guarded() == set(OPERATIONS)


@pytest.mark.parametrize("action", SENTENCES)
def test_each_sentence_is_another_one_in_russian_and_survives_missing_details(action: str) -> None:
    event = Event(action=action, details={})
    english = sentence(event)
    with translation.override("ru"):
        russian = sentence(event)
    assert english != russian
    assert "%(" not in english + russian


@pytest.mark.parametrize(
    ("action", "details", "words"),
    [
        ("role.granted", {"role": "editor", "expires_at": None}, "Role editor given, without an end"),
        ("role.granted", {"role": "editor", "expires_at": "2026-11-27T23:59:59+00:00"},
         "Role editor given, until Nov. 27, 2026, 11:59 p.m."),
        ("session.refused", {"why": "credentials", "name": "0123"}, "Log-in refused: wrong password"),
        ("session.ended", {"why": "revoked", "session": "x"}, "Signed out: by staff"),
        ("user.changed", {"fields": ["first_name", "language"]}, "Profile changed: first name, language"),
        ("user.changed", {"fields": ["of_a_newer_release"]}, "Profile changed: of_a_newer_release"),
        ("guard.refused", {"operation": "grant", "code": "privilege_escalation"},
         "Refused: give a role (above their own permissions)"),
        ("mail.sent_again", {"template": "reset"}, "Mail sent again: Password reset"),
        ("of.a_newer_release", {}, "of.a_newer_release"),
        ("session.started", {"device": "%(role)s 100 %"}, "Signed in: %(role)s 100 %"),
    ],
)  # fmt: skip
def test_sentences_say_what_is_known(action: str, details: dict[str, Any], words: str) -> None:
    assert sentence(Event(action=action, details=details)) == words


# --- Order and paging ------------------------------------------------------------------------------------------------


@pytest.fixture
def ann(db: None) -> Any:
    return UserFactory()


def whole(user: Any) -> list[Any]:
    """Every entry, page by page."""
    page = timeline_of(user, None)
    found = list(page.entries)
    while page.older:
        assert len(page.entries) == LENGTH
        page = timeline_of(user, page.older)
        found += page.entries
    return found


def test_done_and_suffered_come_once_each_and_the_newest_first(ann: Any) -> None:
    other = UserFactory(first_name="Bob", last_name="")
    number = random.Random(7)
    for n in range(3 * LENGTH + 4):
        sides = [(ann.pk, ann.pk), (ann.pk, other.pk), (other.pk, ann.pk), (None, ann.pk), (other.pk, other.pk)][n % 5]
        at = START + timedelta(seconds=number.randrange(10))  # many at the same moment
        EventFactory(actor_id=sides[0], target_id=sides[1], at=at, action=f"odd.number_{n}")
    expected = Event.objects.exclude(actor_id=other.pk, target_id=other.pk).order_by("-at", "-id")
    assert [entry.words for entry in whole(ann)] == [event.action for event in expected]


def test_it_names_the_others_who_are_still_known(ann: Any) -> None:
    bob = UserFactory()
    EventFactory(at=START, target_id=ann.pk, actor_id=bob.pk, action="a.a")
    EventFactory(at=START + timedelta(1), actor_id=ann.pk, target_id=bob.pk, action="b.b")
    EventFactory(at=START + timedelta(2), target_id=ann.pk, actor_id=uuid7(), action="c.c")
    EventFactory(at=START + timedelta(3), target_id=ann.pk, actor_id=None, details={"by": "clean-up"}, action="d.d")
    EventFactory(at=START + timedelta(4), target_id=ann.pk, actor_id=ann.pk, details={"by": "x"}, action="e.e")
    seen = [(entry.by, entry.by_system, entry.about) for entry in timeline_of(ann, None).entries]
    assert seen == [(None, "", None), (None, "clean-up", None), (None, "", None), (None, "", bob), (bob, "", None)]


@pytest.mark.parametrize("cursor", ["x", "x.y", "\x00"])
def test_a_cursor_of_ones_own_making_is_refused(ann: Any, cursor: str) -> None:
    with pytest.raises(InvalidInput):
        timeline_of(ann, cursor)


def test_the_cursor_of_one_person_shows_nothing_of_another(ann: Any) -> None:
    for _ in range(LENGTH + 1):
        EventFactory(target_id=ann.pk)
    older = timeline_of(ann, None).older
    with pytest.raises(InvalidInput):
        timeline_of(UserFactory(), older)


# --- The plan --------------------------------------------------------------------------------------------------------


@pytest.mark.service
@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's plans")
def test_no_page_of_it_reads_the_whole_trail(ann: Any) -> None:
    busy = UserFactory()  # half of all there was once, as somebody does who imports a file
    strangers = [uuid7() for _ in range(2000)]
    events = [
        Event(
            at=START + timedelta(seconds=n),
            action="user.changed",
            target_id=ann.pk if n % 500 == 0 else strangers[n % 2000],
            actor_id=busy.pk if n < 30_000 and n % 2 else strangers[n % 1999],
        )
        for n in range(40_000)
    ]
    Event.objects.bulk_create(events, batch_size=5000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE audit_events")
    for user in (ann, busy):
        older = timeline_of(user, None).older
        assert older
        for cursor_text in (None, older):
            assert_by_index(user, cursor_text)


def assert_by_index(user: Any, cursor_text: str | None) -> None:
    with CaptureQueriesContext(connection) as asked:
        timeline_of(user, cursor_text)
    scans = [query["sql"] for query in asked.captured_queries if '"audit_events"' in query["sql"]]
    assert len(scans) == 2
    for question in scans:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {question}")
            found = list(nodes(cursor.fetchone()[0][0]["Plan"]))
        assert {node["Index Name"] for node in found if "Index Name" in node} & INDEXES, found
        assert not [node for node in found if node["Node Type"] == "Seq Scan"], found
        read = max(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in found)
        assert read <= 4 * LENGTH, found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)
