"""After a full life of accounts, neither the database nor the log holds anything that opens a door."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client

from accounts import tokens
from accounts.models import Challenge, User
from accounts.tests.factories import UserFactory, signed_in
from core.logs import formatter
from core.secrets import code_for, link_token, read_link_token
from mail.delivery import sweep
from mail.models import OutgoingMail
from rbac.models import Role
from rbac.tests.factories import GrantFactory
from tests.snapshot import rows
from tests.world import send

V1 = "/api/v1"
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?")
PURPOSES = [purpose.value for purpose in Challenge.Purpose]


class Life:
    """What people do, and all the secrets that they used or were given on the way."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.codes: set[str] = set()
        self.answers: list[tuple[str, Any]] = []

    def secret(self, text: str) -> str:
        self.secrets.add(text)
        return text

    def call(self, method: str, path: str, body: Any = None, token: str | None = None, **more: Any) -> Any:
        response = send(method, f"{V1}{path}", body, token, **more)
        self.answers.append((f"{method} {path}", response))
        if response.content:
            for name, value in response.json().items():
                if name in ("access", "refresh", "access_token", "refresh_token"):
                    self.secret(value)
        return response

    def challenge(self, email: str, purpose: str) -> tuple[str, str]:
        """Code and link token of the latest mail."""
        found = Challenge.objects.filter(email=email, purpose=purpose).latest("id")
        code, link = code_for(found.pk, purpose), self.secret(link_token(found.pk, purpose))
        if purpose != "invitation":
            self.codes.add(code)
        return code, link

    def log_in(self, email: str, password: str) -> Any:
        return self.call("POST", "/auth/login", {"email": email, "password": self.secret(password)}).json()


def live() -> Life:
    """Everything once, refusals too."""
    life = Life()
    a, b, c = (life.secret(f"Secret-horse-number-{n}") for n in "ABC")
    life.call("POST", "/auth/signup", {"email": "ann@example.org", "password": a, "username": "ann"})
    life.call("POST", "/auth/signup", {"email": "ann@example.org", "password": b})
    code, _ = life.challenge("ann@example.org", "verify")
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    life.call("POST", "/auth/verify", {"email": "ann@example.org", "code": wrong})
    life.call("POST", "/auth/verify", {"email": "ann@example.org", "code": code, "password": b})
    life.log_in("ann@example.org", "Wrong-secret-horse-X")
    life.log_in("Typed-secret-as-a-name-1", "Wrong-secret-horse-Y")
    life.secret("Typed-secret-as-a-name-1")
    here = life.log_in("ann@example.org", b)
    there = life.log_in("ann@example.org", b)
    again = life.call("POST", "/auth/refresh", {"refresh": here["refresh"]}).json()
    third = life.call("POST", "/auth/refresh", {"refresh": again["refresh"]}).json()
    life.call("POST", "/auth/refresh", {"refresh": here["refresh"]})  # reuse: the session ends
    life.call("GET", "/users/me", token=third["access"])
    life.call("GET", "/users/me", token=life.secret("Broken-secret-token.x.y"))
    life.call("PATCH", "/users/me", {"first_name": "Ann"}, there["access"])
    change = {"current_password": b, "new_password": c}
    life.call(
        "PUT",
        "/users/me/password",
        {**change, "current_password": life.secret("Not-my-secret-pass-1")},
        there["access"],
    )
    life.call("PUT", "/users/me/password", change, there["access"])
    life.call("POST", "/users/me/email", {"new_email": "new@example.org", "password": c}, there["access"])
    code, _ = life.challenge("new@example.org", "email_change")
    life.call("POST", "/users/me/email/confirm", {"code": code}, there["access"])
    life.call("POST", "/auth/password/forgot", {"email": "new@example.org"})
    code, link = life.challenge("new@example.org", "reset")
    d = life.secret("Secret-horse-number-D")
    page = Client(HTTP_HOST="127.0.0.1").get(f"/account/reset?token={link}")
    life.answers.append(("GET /account/reset", page))
    life.call("POST", "/auth/password/reset", {"token": link[:-1] + "x", "new_password": d})
    life.call("POST", "/auth/password/reset", {"email": "new@example.org", "code": code, "new_password": d})
    form = {"grant_type": "password", "username": "ann", "password": d}
    life.call("POST", "/auth/token", form, form=True)
    as_admin(life)
    life.call("POST", "/auth/password/forgot", {"email": "new@example.org"})  # one that stays open
    life.challenge("new@example.org", "reset")
    sweep()
    return life


def as_admin(life: Life) -> None:
    admin = GrantFactory(
        user=UserFactory(password=life.secret("Admins-secret-horse-1")), role=Role.objects.get(name="admin")
    ).user
    token = life.log_in(admin.email, "Admins-secret-horse-1")["access"]
    life.call("POST", "/users", {"email": "eve@example.org"}, token)
    made = {"email": "max@example.org", "password": life.secret("Made-secret-horse-1"), "is_verified": True}
    max_id = life.call("POST", "/users", made, token).json()["id"]
    _, link = life.challenge("eve@example.org", "invitation")
    Client(HTTP_HOST="127.0.0.1").post(
        "/account/reset", {"token": link, "new_password": life.secret("Eves-secret-horse-1")}
    )
    life.call("GET", "/users", token=token)
    life.call("GET", "/sessions", token=token)
    life.call("GET", "/audit/events", token=token)
    life.call("DELETE", f"/users/{max_id}", token=token)
    life.call("POST", f"/users/{max_id}/restore", token=token)
    panel = Client(HTTP_HOST="127.0.0.1")
    admin.is_staff = True
    admin.save(update_fields=["is_staff"])
    panel.post("/admin/login/", {"username": admin.email, "password": "Admins-secret-horse-1"})
    life.answers.append(("GET /admin/accounts/user/", panel.get("/admin/accounts/user/")))
    life.call("POST", "/auth/logout", token=token)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What production would write at its most talkative."""
    found: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(self.format(record))

    root, handler = logging.getLogger(), Keep()
    handler.setFormatter(formatter("json"))
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield found
    root.removeHandler(handler)
    root.setLevel(level)


def cells() -> set[str]:
    """Every value of every column of every table, as text; what stands inside JSON too."""
    found: set[str] = set()
    for table in connection.introspection.table_names():
        for row in rows(table):
            for value in row:
                found.update(texts(value))
    return found


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)
        return
    text = bytes(value).decode("utf-8", "replace") if isinstance(value, bytes | memoryview) else str(value)
    yield text
    if text[:1] in ("{", "["):
        with suppress(ValueError):
            yield from texts(json.loads(text))


@pytest.mark.django_db
def test_the_life_was_a_full_one() -> None:
    """Else the searches below would find nothing in nothing."""
    life = live()
    assert len(life.secrets) > 25
    assert len(life.codes) >= 3
    assert set(Challenge.objects.values_list("purpose", flat=True)) == set(PURPOSES)
    assert OutgoingMail.objects.filter(state="sent").count() > 8
    statuses = [response.status_code for _, response in life.answers]
    assert {200, 201, 202, 204, 400, 401} <= set(statuses)
    assert max(statuses) < 500
    assert User.objects.get(email="eve@example.org").is_verified


@pytest.mark.django_db
def test_a_dump_of_the_database_holds_no_secret() -> None:
    life = live()
    found = cells()
    text = "\n".join(found)
    assert [secret for secret in life.secrets if secret in text] == []
    signatures = {secret.rpartition(".")[2] for secret in life.secrets if secret.count(".") == 2 and len(secret) > 100}
    assert [signature for signature in signatures if signature in text] == []
    without_times = {MOMENT.sub("", cell) for cell in found}
    codes = [
        code for code in life.codes if any(re.search(rf"(?<![\w.-]){code}(?![\w-])", cell) for cell in without_times)
    ]
    assert codes == []


@pytest.mark.django_db
def test_nothing_in_a_dump_can_be_used_as_token_code_or_link() -> None:
    live()
    open_codes = {code_for(challenge.pk, challenge.purpose) for challenge in Challenge.objects.all()}
    for cell in cells():
        assert tokens.read(cell, "access") is None
        assert tokens.read(cell, "refresh") is None
        assert not any(read_link_token(cell, purpose) for purpose in PURPOSES)
        assert cell not in open_codes
        assert django_settings.SECRET_KEY not in cell


@pytest.mark.django_db
def test_no_line_of_the_log_holds_a_secret(lines: list[str]) -> None:
    life = live()
    assert len(lines) > 30
    text = "\n".join(lines)
    assert [secret for secret in life.secrets if secret in text] == []
    codes = [code for code in life.codes if re.search(rf"(?<![\w.-]){code}(?![\w-])", MOMENT.sub("", text))]
    assert codes == []
    assert django_settings.SECRET_KEY not in text


@pytest.mark.django_db
def test_every_request_is_one_line_with_its_id_and_outcome(lines: list[str]) -> None:
    life = live()
    told = [json.loads(line) for line in lines]
    requests = {line["request_id"]: line for line in told if line["event"] == "request"}
    for name, response in life.answers:
        line = requests[response["X-Request-ID"]]
        assert line["status"] == response.status_code, name
        assert line["outcome"] == ("success" if response.status_code < 400 else "refusal")
        assert line["at"].endswith("Z")


@pytest.mark.django_db
def test_no_line_holds_what_a_stranger_typed_as_it_stands(lines: list[str]) -> None:
    """CVE-2025-48432: one event, one line, whatever the header or the path says."""
    evil = "x\r\nlevel=error\x1b[31m\u2028y"
    send("GET", "/api/v1/%0d%0aFAKE%1b[31m", headers={"X-Request-ID": evil, "User-Agent": evil, "Referer": evil})
    send("POST", "/api/v1/auth/login", {"email": evil, "password": evil}, headers={"X-Forwarded-For": evil})
    assert lines
    for line in lines:
        assert line.isprintable(), line
        json.loads(line)


@pytest.mark.django_db
def test_no_answer_with_tokens_or_people_may_be_kept() -> None:
    for name, response in live().answers:
        allowed = {part.strip() for part in response["Cache-Control"].split(",")}
        if name.startswith("GET /admin"):  # Django says it five times
            assert "no-store" in allowed
        else:
            assert allowed == {"no-store"}, name


@pytest.mark.django_db
def test_neither_do_refusals_and_pages_that_name_somebody() -> None:
    user = UserFactory()
    token = signed_in(user).pair.access
    for method, path in (("GET", "/users"), ("GET", "/users/me"), ("PUT", "/users/me"), ("GET", "/nothing")):
        assert send(method, f"{V1}{path}", token=token)["Cache-Control"] == "no-store"
    for path in ("/account/verify?token=x", "/account/reset?token=x"):
        page = Client(HTTP_HOST="127.0.0.1").get(path)
        assert page["Cache-Control"] == "no-store"
        assert page["Referrer-Policy"] == "no-referrer"


@pytest.mark.django_db
def test_a_password_is_stored_as_a_hash_and_nothing_else() -> None:
    """With the hashers of production."""
    from django.contrib.auth.hashers import make_password
    from django.test import override_settings

    with override_settings(PASSWORD_HASHERS=[h for h in django_settings.PASSWORD_HASHERS if "MD5" not in h]):
        assert make_password("x" * 100).startswith(("bcrypt_sha256$$2b$12$", "argon2$argon2id$"))
