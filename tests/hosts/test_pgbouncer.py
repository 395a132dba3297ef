"""Everything goes through PgBouncer in transaction mode, where no connection is ours for longer than a transaction."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from tests.hosts.client import Caller
from tests.hosts.installation import PASSWORD, Installation

THREADS = 8
LIVES = 24
NEW_PASSWORD = "Another-horse-9"

# Fetches a part, lets somebody else have the server's connection, and goes on.
ITERATE = """
import psycopg
from django.db import connection
from audit.models import Event
rows = iter(Event.objects.order_by("id").iterator(chunk_size=2))
first = [next(rows), next(rows)]
with psycopg.connect({url!r}) as other:
    other.execute("SELECT 1")
    assert len(first + list(rows)) == Event.objects.count()
"""
SLEEP = "from django.db import connection\nconnection.cursor().execute('SELECT pg_sleep(60)')"


def test_it_is_in_transaction_mode_and_refuses_what_needs_a_session(installation):
    url = installation.environment["DATABASE_URL"]
    with pytest.raises(psycopg.OperationalError, match="unsupported startup parameter: options"):
        psycopg.connect(url, options="-c statement_timeout=1s")
    with psycopg.connect(url, prepare_threshold=None) as one, psycopg.connect(url, prepare_threshold=None) as other:
        one.execute("SELECT 1")
        one.commit()
        first = other.execute("SELECT pg_backend_pid()").fetchone()
        assert one.execute("SELECT pg_backend_pid()").fetchone() != first
        one.commit()
        other.commit()
    assert 0 < backends(installation) <= 20


def backends(installation: Installation) -> int:
    [(number,)] = installation.on_primary(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    return int(number)


def test_many_people_live_their_lives_through_it_at_once(installation, admin):
    """Each step at the other host; the client asserts that no answer is a 5xx."""
    with ThreadPoolExecutor(THREADS) as threads:
        lives = [threads.submit(life, installation, admin, number) for number in range(LIVES)]
        for one in lives:
            one.result()
    assert backends(installation) <= 20


def life(installation: Installation, admin: Caller, number: int) -> None:
    here, there = (installation.hosts * 2)[number % 2 :][:2]
    email, name = f"{uuid4().hex}@example.org", f"role-{uuid4().hex}"
    person = installation.sign_up(email, here)
    signed_up = datetime.fromisoformat(person.at(there).get("/users/me").body["created_at"])
    assert abs(datetime.now(UTC) - signed_up) < timedelta(hours=1), "the time zone was lost"
    pair = person.at(there).post("/auth/refresh", {"refresh": person.refresh}).body
    person = Caller(here.address, here.port, pair["access"], pair["refresh"], person.user_id)
    assert person.call("PATCH", "/users/me", {"first_name": name}).body["first_name"] == name
    assert person.get("/users").status == 403
    assert admin.post("/roles", {"name": name, "permissions": ["user:read", "audit:read"]}).status == 201
    assert admin.post(f"/users/{person.user_id}/roles", {"role": name}).status == 201
    assert email in person.at(there).emails(f"&search={name}&count=exact")
    assert person.get(f"/audit/events?actor={person.user_id}").body["results"]
    check = {"checks": ["user:read", "user:write"]}
    checked = person.at(there).post("/permissions/check", check).body["results"]
    assert [result["allowed"] for result in checked] == [True, False]
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    phone = there.signed_in(email, PASSWORD)
    assert person.call("PUT", "/users/me/password", change).status == 204
    assert phone.at(here).is_refused()
    phone = there.signed_in(email, NEW_PASSWORD)
    assert admin.delete(f"/sessions/{session_of(phone)}").status == 204
    assert phone.is_refused()
    assert admin.delete(f"/users/{person.user_id}").status == 204
    assert person.at(there).is_refused()


def session_of(person: Caller) -> str:
    [mine] = [device for device in person.get("/users/me/sessions").body["results"] if device["current"]]
    return str(mine["id"])


def test_long_readings_need_no_cursor_of_the_server(installation):
    done = installation.manage("shell", "-c", ITERATE.format(url=installation.environment["DATABASE_URL"]))
    assert done.returncode == 0, done.stderr


def test_timeouts_come_with_the_role(installation):
    told = installation.manage("shell", "-c", SLEEP)
    assert "canceling statement due to statement timeout" in told.stderr


def test_the_doctor_says_when_they_do_not(installation):
    direct = {**installation.environment, "DATABASE_URL": installation.primary_url}
    assert "ok   Timeouts" in installation.manage("doctor", environment=direct).stdout
    installation.on_primary("ALTER ROLE muster RESET lock_timeout")
    try:
        told = installation.manage("doctor", environment=direct)
    finally:
        installation.on_primary("ALTER ROLE muster SET lock_timeout = '4s'")
    assert told.returncode == 1
    assert "BAD  Timeouts: the database's role has no lock_timeout" in told.stdout
