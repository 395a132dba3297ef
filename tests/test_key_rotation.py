"""Keys are replaced while two servers over one database work: nobody is refused, and a revocation counts on both."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.races.conftest import fresh_postgresql
from tests.serving import ROOT, Server, serving, settings_for

pytestmark = pytest.mark.slow

PEOPLE = 4
ROTATIONS = ("EdDSA", "RS256", "HS256", "EdDSA")
PASSWORD = "Correct-horse-9"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def database_url(request: Any, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'both.sqlite3'}"
    else:
        with fresh_postgresql() as url:
            yield url


@pytest.fixture
def servers(database_url: str, tmp_path: Path) -> Iterator[list[Server]]:
    """Two hosts: they share the database and nothing else."""
    with ExitStack() as stack:
        running = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            shared = {"DATABASE_URL": database_url, "PUBLIC_URL": "http://127.0.0.1:8000", "PASSWORD_HASHER": "argon2"}
            running.append(stack.enter_context(serving(tmp_path / name, "--workers", "1", **shared)))
        yield running


@pytest.fixture
def manage(database_url: str, tmp_path: Path) -> Any:
    def run(*arguments: str, **more: str) -> str:
        environment = {**settings_for(tmp_path), "DATABASE_URL": database_url, **more}
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def ask(server: Server, path: str, token: str = "", body: Any = None) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json", "Host": "127.0.0.1"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{server.url}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def log_in(server: Server, number: int) -> Any:
    status, body = ask(server, "/api/v1/auth/login", body={"email": f"p{number}@example.org", "password": PASSWORD})
    assert status == 200, body
    return body


class Person(threading.Thread):
    """Asks both servers in turn, refreshes at one, repeats at the other, and keeps what it was answered."""

    def __init__(self, servers: list[Server], number: int, stop: threading.Event) -> None:
        super().__init__()
        self.servers, self.number, self.stop = servers, number, stop
        self.answers: Counter[tuple[str, int]] = Counter()
        self.kids: set[str] = set()
        self.unequal = 0

    def run(self) -> None:
        here, there = self.servers
        pair = log_in(here, self.number)
        while not self.stop.is_set():
            here, there = there, here
            older, spent = pair["access"], pair["refresh"]
            status, pair = ask(here, "/api/v1/auth/refresh", body={"refresh": spent})
            self.answers["refresh", status] += 1
            if status != 200:
                return
            self.kids.add(jwt.get_unverified_header(pair["access"])["kid"])
            for server in (there, here):
                for token in (pair["access"], older):
                    self.answers["me", ask(server, "/api/v1/users/me", token)[0]] += 1
            status, again = ask(there, "/api/v1/auth/refresh", body={"refresh": spent})
            self.answers["repeat", status] += 1
            self.unequal += (again.get("access"), again.get("refresh")) != (pair["access"], pair["refresh"])
            self.answers["log-in", 200 if log_in(there, self.number) else 0] += 1


def make_people(manage: Any) -> None:
    for number in range(PEOPLE):
        given = {"DJANGO_SUPERUSER_EMAIL": f"p{number}@example.org", "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        manage("createsuperuser", "--noinput", **given)


def test_rotations_under_load_refuse_nobody_and_a_revocation_everybody_on_both_hosts(
    servers: list[Server], manage: Any
) -> None:
    make_people(manage)
    stop = threading.Event()
    people = [Person(servers, number, stop) for number in range(PEOPLE)]
    for person in people:
        person.start()
    try:
        for algorithm in ROTATIONS:
            time.sleep(1)
            manage("keys", "rotate", TOKEN_ALGORITHM=algorithm)
        time.sleep(1)
    finally:
        stop.set()
        for person in people:
            person.join(60)
    answers = sum((person.answers for person in people), Counter())
    assert {status for _, status in answers} == {200}, answers
    assert {what for what, _ in answers} == {"refresh", "me", "repeat", "log-in"}
    assert sum(person.unequal for person in people) == 0, "the repeat gives the same letters on the other host"
    assert len(set.union(*(person.kids for person in people))) >= len(ROTATIONS), "they did meet the new keys"
    assert_are_verified_by_others(servers)
    assert_are_out_on_both(servers, manage)


def assert_are_verified_by_others(servers: list[Server]) -> None:
    """As another service does it: over HTTP, with PyJWT and no code of ours."""
    token = log_in(servers[0], 0)["access"]
    for server in servers:
        client = jwt.PyJWKClient(f"{server.url}/.well-known/jwks.json", headers={"Host": "127.0.0.1"})
        key = client.get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key, ["EdDSA", "RS256"], audience="muster", issuer="http://127.0.0.1:8000")
        assert claims["token_type"] == "access"


def assert_are_out_on_both(servers: list[Server], manage: Any) -> None:
    pairs = [log_in(server, number) for server in servers for number in range(PEOPLE)]
    kid = jwt.get_unverified_header(pairs[0]["access"])["kid"]
    for pair in pairs:
        assert {ask(server, "/api/v1/users/me", pair["access"])[0] for server in servers} == {200}
    manage("keys", "revoke", kid)
    for pair in pairs:
        for server in servers:
            assert ask(server, "/api/v1/users/me", pair["access"])[0] == 401
            assert ask(server, "/api/v1/auth/refresh", body={"refresh": pair["refresh"]})[0] == 401
    pair = log_in(servers[1], 0)
    assert ask(servers[0], "/api/v1/users/me", pair["access"])[0] == 200


def test_another_secret_signs_everybody_out_and_lets_everybody_in(
    servers: list[Server], manage: Any, database_url: str, tmp_path: Path
) -> None:
    make_people(manage)
    before = log_in(servers[0], 0)
    (tmp_path / "other").mkdir()
    other = {"DATABASE_URL": database_url, "SECRET_KEY": "another-key-" + "0123456789abcdef" * 4}
    with serving(tmp_path / "other", "--workers", "1", **other) as third:
        assert ask(third, "/api/v1/users/me", before["access"])[0] == 401
        assert ask(third, "/api/v1/auth/refresh", body={"refresh": before["refresh"]})[0] == 401
        after = log_in(third, 0)
        assert ask(third, "/api/v1/users/me", after["access"])[0] == 200
        assert ask(servers[0], "/api/v1/users/me", after["access"])[0] == 401
        assert ask(servers[0], "/api/v1/users/me", before["access"])[0] == 200, "who has the old secret goes on"
    assert os.path.getsize(servers[0].log)
