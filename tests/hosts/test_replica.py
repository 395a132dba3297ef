"""What a replica may answer, and that nothing ever depends on it."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.hosts.client import Caller
from tests.hosts.installation import OLDEST, PASSWORD, Installation, pages
from tests.sent_mails import eventually

CALLERS = 24


@pytest.fixture(autouse=True)
def at_work(installation: Installation, reader: Caller) -> None:
    installation.until_the_replica_answers(reader)


def new_address() -> str:
    return f"{uuid4().hex}@example.org"


def made_by(writer: Caller) -> str:
    """The address of somebody whom an administrator has just made."""
    email = new_address()
    made = writer.post("/users", {"email": email, "password": PASSWORD, "is_verified": True})
    assert made.status == 201, made.body
    return email


def replica_in_readyz(host: Caller) -> str:
    answer = host.get("/readyz")
    assert answer.status == 200, answer.body
    return str(answer.body["replica"])


def many_lists(installation: Installation, reader: Caller) -> None:
    """From many callers at once; the client asserts that none is a 5xx, and that each comes in time."""
    lists = ["/users", "/users?search=e&count=exact", "/sessions", "/roles", "/permissions", "/audit/events"] * 4
    with ThreadPoolExecutor(CALLERS) as callers:
        for host in installation.hosts:
            assert {answer.status for answer in callers.map(reader.at(host).get, lists)} == {200}


def test_it_answers_the_lists_of_whoever_wrote_nothing(installation, reader):
    for host in installation.hosts:
        assert pages(host, reader) == {"replica"}
        assert replica_in_readyz(host) == "ok"


def test_a_writer_sees_their_own_change_at_every_host_while_the_replica_knows_nothing(installation, admin, reader):
    with installation.replica.paused():
        email = made_by(admin)
        for host in installation.hosts:
            assert email in admin.at(host).emails()
            assert email in admin.at(host).emails(f"&search={email[:12]}")
        assert email not in reader.at(installation.there).emails(), "the replica was not asked: this proves nothing"


def test_nobody_is_told_what_is_older_than_five_seconds(installation, admin, reader):
    with installation.replica.paused():
        email, made = made_by(admin), time.monotonic()
        while time.monotonic() < made + OLDEST + 2:
            is_due = time.monotonic() > made + OLDEST
            told = [email in reader.at(host).emails() for host in installation.hosts]
            assert all(told) or not is_due
        assert [pages(host, reader) for host in installation.hosts] == [{"primary"}, {"primary"}]
        assert [replica_in_readyz(host) for host in installation.hosts] == ["behind", "behind"]
    installation.until_the_replica_answers(reader)


def test_a_replica_that_lost_its_primary_does_not_pass_for_a_fresh_one(installation, admin, reader):
    """It has replayed all that it received, and receives no more."""
    replica = installation.replica
    [conninfo] = replica.ask("SELECT quote_literal(current_setting('primary_conninfo'))")
    replica.ask("ALTER SYSTEM SET primary_conninfo = ''")
    replica.ask("SELECT pg_reload_conf()")
    try:
        eventually(lambda: replica.ask("SELECT count(*) FROM pg_stat_wal_receiver") == (0,))
        email, made = made_by(admin), time.monotonic()
        flushed = 1  # at the latest: the databases of tests commit without waiting for their log
        time.sleep(max(0.0, made + flushed + OLDEST - time.monotonic()))
        assert all(email in reader.at(host).emails() for host in installation.hosts)
    finally:
        replica.ask(f"ALTER SYSTEM SET primary_conninfo = {conninfo}")
        replica.ask("SELECT pg_reload_conf()")
    installation.until_the_replica_answers(reader)


def test_authentication_and_permissions_never_come_from_it(installation, admin, reader):
    person = installation.sign_up(new_address())
    role = {"role": "admin"}
    assert admin.post(f"/users/{person.user_id}/roles", role).status == 201
    elsewhere = person.at(installation.there)
    installation.until_the_replica_answers(reader)
    with installation.replica.paused():
        assert elsewhere.get("/users").status == 200
        withdrawn = admin.get(f"/users/{person.user_id}/roles").body["results"]
        [role_id] = [grant["role"]["id"] for grant in withdrawn if grant["role"]["name"] == "admin"]
        assert admin.delete(f"/users/{person.user_id}/roles/{role_id}").status == 204
        assert elsewhere.get("/users").status == 403
        assert person.post("/auth/logout").status == 204
        assert elsewhere.is_refused()
        again = installation.here.signed_in(person_email(admin, person), PASSWORD)
        assert again.at(installation.there).get("/users/me").status == 200
        assert admin.delete(f"/users/{person.user_id}").status == 204
        assert again.at(installation.there).is_refused()


def person_email(admin: Caller, person: Caller) -> str:
    return str(admin.get(f"/users/{person.user_id}").body["email"])


def test_a_replica_that_is_killed_is_missed_by_nobody_and_used_again_when_it_is_back(installation, reader):
    installation.replica.kill()
    try:
        many_lists(installation, reader)
        assert [pages(host, reader) for host in installation.hosts] == [{"primary"}, {"primary"}]
        for host in installation.hosts:
            eventually(lambda host=host: replica_in_readyz(host) == "away")
    finally:
        installation.replica.start()
    installation.until_the_replica_answers(reader)


def test_a_replica_that_hangs_is_missed_by_nobody_and_used_again_when_it_is_back(installation, reader):
    with installation.replica.hung():
        many_lists(installation, reader)
        eventually(lambda: [pages(host, reader) for host in installation.hosts] == [{"primary"}, {"primary"}])
        for host in installation.hosts:
            eventually(lambda host=host: replica_in_readyz(host) == "away")
        many_lists(installation, reader)
    installation.until_the_replica_answers(reader)


def test_the_doctor_says_whether_it_follows(installation):
    assert "ok   Replica: answers and follows." in installation.manage("doctor").stdout
    alone = {**installation.environment, "DATABASE_REPLICA_URL": installation.primary_url}
    told = installation.manage("doctor", environment=alone)
    assert told.returncode == 1
    assert "BAD  Replica: does not follow" in told.stdout
