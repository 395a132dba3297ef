"""Who may be answered by a replica. What a real one does, and does not, is shown in tests/hosts."""

import ast
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import InterfaceError, OperationalError, ProgrammingError, connection, connections, router
from django.utils import timezone

from accounts.models import JUST, Session, User
from accounts.tests.factories import UserFactory, session_of
from audit.models import Event
from core import replica
from rbac.models import Role
from tests.operations import PUBLIC, Operation, operations
from tests.snapshot import contents
from tests.world import build, holder, send

ROOT = Path(settings.BASE_DIR)
LISTS = {"GET /users", "GET /sessions", "GET /roles", "GET /permissions", "GET /audit/events"}
SIGNED_IN = [operation for operation in operations() if operation.expected.needs != PUBLIC]


def called(operation: Operation) -> tuple[User, Any]:
    """Somebody who may do it does it."""
    world, permission = build(), operation.expected.needs
    user, token = holder(world, permission if ":" in permission else None)
    url, body = operation.url(world, user), operation.expected.body(world, user)
    before = contents(), Event.objects.filter(actor_id=user.pk).count()
    response = send(operation.method, url, body, token, form=operation.expected.form)
    assert response.status_code == operation.expected.ok, response.content
    return user, before


@pytest.mark.django_db
@pytest.mark.parametrize("operation", operations(), ids=lambda o: o.name)
def test_only_lists_may_ask_it(operation, monkeypatch):
    asked = []
    read = replica.read
    monkeypatch.setattr(replica, "read", lambda request, question: asked.append(1) or read(request, question))
    called(operation)
    assert bool(asked) == (operation.name in LISTS)


def test_only_lists_and_exports_name_another_database():
    """So nothing else can come to ask it, authentication least of all."""
    apps = ("accounts", "audit", "config", "core", "mail", "rbac")
    files = [f for app in apps for f in (ROOT / app).rglob("*.py") if not {"tests", "migrations"} & set(f.parts)]
    calls = [
        (file.relative_to(ROOT).as_posix(), ast.unparse(node.func))
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
    ]
    naming = {file for file, name in calls if name.endswith((".using", ".db_manager", "replica.read"))}
    in_migrations = {"rbac/services/permissions.py"}  # `migrate` says to which database
    assert naming - in_migrations == {"core/pagination.py", "accounts/services/exports.py"}


def test_what_hangs_on_its_rows_comes_from_the_primary():
    row = User()
    row._state.db = replica.REPLICA
    assert router.db_for_read(Role, instance=row) == "default"
    assert router.db_for_write(User, instance=row) == "default"
    assert not router.allow_migrate(replica.REPLICA, "accounts")


@pytest.mark.django_db
@pytest.mark.parametrize("operation", SIGNED_IN, ids=lambda o: o.name)
def test_whatever_changes_something_leaves_an_event_by_which_its_writer_is_known(operation):
    user, (before, events) = called(operation)
    if contents() != before:
        assert Event.objects.filter(actor_id=user.pk).count() > events


@pytest.fixture
def session(db) -> Session:
    """Of somebody who signed in a while ago."""
    row = session_of(UserFactory())
    Session.objects.filter(pk=row.pk).update(rotated_at=timezone.now() - 2 * JUST)
    found = Session.objects.with_clock().get(pk=row.pk)
    found.now += 2 * JUST  # the log-in is an event, and events cannot be moved
    Session.objects.filter(pk=row.pk).update(rotated_at=found.now - 2 * JUST)
    found.rotated_at = found.now - 2 * JUST
    return found


def test_who_did_nothing_for_a_while_has_not_just_written(session):
    assert not session.has_just_written()


def test_who_did_something_has_just_written_until_no_replica_may_miss_it(session):
    Event.objects.create(action="x.y", actor_id=session.user_id, at=session.now - JUST - timedelta(seconds=1))
    assert not session.has_just_written()
    Event.objects.create(action="x.y", actor_id=session.user_id, at=session.now - timedelta(seconds=1))
    assert session.has_just_written()


def test_who_has_just_refreshed_has_just_written(session):
    session.rotated_at = session.now
    assert session.has_just_written()


class Request:
    def __init__(self, auth: Any) -> None:
        self.auth = auth


@pytest.fixture
def beside(db, monkeypatch):
    """A replica that is fresh, as far as we know."""
    monkeypatch.setitem(connections.settings, replica.REPLICA, connection.settings_dict)
    watch = replica.Watch()
    watch.has_begun, watch.is_away, watch.complete_until = True, False, float("inf")
    monkeypatch.setattr(replica, "watch", watch)
    yield watch
    connections[replica.REPLICA].close()
    del connections[replica.REPLICA]


def server_for(auth: Any) -> str:
    return replica.read(Request(auth), lambda database: database)


def test_it_answers_whoever_has_not_just_written(beside, session):
    assert server_for(session) == "replica"


def test_the_primary_answers_writers_and_whoever_cannot_tell(beside, session):
    session.rotated_at = session.now
    assert server_for(session) == "default"
    assert server_for(None) == "default"


def test_without_one_the_primary_answers(session):
    assert server_for(session) == "default"


@pytest.mark.parametrize("failure", [OperationalError, InterfaceError, ProgrammingError])
def test_whatever_it_fails_with_the_primary_answers_instead_and_it_is_left_alone(beside, session, failure):
    """A column that it does not have yet, say, while the release that asks for it is already there."""

    def question(database: str) -> str:
        if database == replica.REPLICA:
            raise failure("no such column")
        return database

    assert replica.read(Request(session), question) == "default"
    assert beside.state() == "behind"
    assert server_for(session) == "default"
