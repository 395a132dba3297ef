"""Connections that died since the last request are replaced before anybody notices."""

import time

import pytest
from django.db import connection

from core.postgresql import base

pytestmark = [
    pytest.mark.service,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="of PostgreSQL"),
]


def ask(question="SELECT 1"):
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]


@pytest.fixture
def kept(settings):
    """A connection of our own, as between two requests."""
    connection.settings_dict["CONN_MAX_AGE"], before = None, connection.settings_dict["CONN_MAX_AGE"]
    connection.close()
    connection.health_check_enabled = True
    ask()
    yield connection.connection
    connection.settings_dict["CONN_MAX_AGE"] = before
    connection.close()


def begin_request():
    connection.health_check_done = False


def end_from_outside(pid):
    with connection.copy().cursor() as other:
        other.execute("SELECT pg_terminate_backend(%s, 2000)", [pid])


def test_a_fresh_connection_is_looked_at_and_not_asked(kept, monkeypatch):
    monkeypatch.setattr(base.base.DatabaseWrapper, "is_usable", lambda self: pytest.fail("asked"))
    begin_request()
    assert ask() == 1
    assert connection.connection is kept


def test_one_that_the_server_ended_a_moment_ago_is_replaced(kept):
    pid = ask("SELECT pg_backend_pid()")
    end_from_outside(pid)
    kept.answered_at = time.monotonic()
    begin_request()
    assert ask("SELECT pg_backend_pid()") != pid


def test_one_that_was_idle_for_longer_is_asked(kept, monkeypatch):
    asked = []
    monkeypatch.setattr(base.base.DatabaseWrapper, "is_usable", lambda self: asked.append(1) or True)
    kept.answered_at -= base.FRESH_SECONDS
    begin_request()
    assert ask() == 1
    assert asked == [1]
