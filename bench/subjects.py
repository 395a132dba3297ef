"""Who is measured: how each is filled, started and asked. All have the same users, passwords and processes."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.load import Refused, Script, request

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peers"
PASSWORD = "correct horse battery staple"
WORKERS = "2"
ADDRESS = "firstname.lastname{}@example.org"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


def repeat(data: bytes, *also: int) -> Script:
    while True:
        status, body = yield data
        if status != 200 and status not in also:
            raise Refused(f"{status} {body[:300]!r}")


def refreshing(path: str, host: str, pair: Any) -> Script:
    """Each refresh with the token that the one before gave."""
    while True:
        status, body = yield request("POST", path, host, JSON, json.dumps({"refresh": pair["refresh"]}).encode())
        if status != 200:
            raise Refused(f"{status} {body[:300]!r}")
        pair.update(json.loads(body))


def bearer(pair: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {pair.get('access') or pair['access_token']}"}


@dataclass
class Subject:
    """`operations`: by name, a function of (host, pair of tokens, that of the administrator) that gives a script."""

    name: str
    packages: str
    fill: str
    migrate: list[str]
    serve: Callable[[int], list[str]]
    log_in: Callable[[str, int], bytes]
    operations: dict[str, Callable[[str, Any, Any], Script]]
    folder: Path = PEERS
    environment: dict[str, str] = field(default_factory=dict)

    def python(self, venvs: Path) -> str:
        return str(venvs / self.name / "bin" / "python") if self.packages else sys.executable

    def install(self, venvs: Path) -> None:
        stamp = venvs / self.name / "installed"
        wanted = (PEERS / self.packages).read_text() if self.packages else ""
        if not wanted or (stamp.exists() and stamp.read_text() == wanted):
            return
        subprocess.run([sys.executable, "-m", "venv", str(venvs / self.name)], check=True)
        pip = [self.python(venvs), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(PEERS / self.packages)], check=True)
        stamp.write_text(wanted)

    def versions(self) -> str:
        names = [line.partition("==") for line in (PEERS / self.packages).read_text().split()] if self.packages else []
        return ", ".join(f"{name.partition('[')[0]} {version}" for name, _, version in names)


def hash_of_all() -> tuple[str, str]:
    """As Django keeps bcrypt over SHA-256, and bare, both of cost 12."""
    import bcrypt

    digest = hashlib.sha256(PASSWORD.encode()).hexdigest().encode()
    salt = bcrypt.gensalt(12)
    return "bcrypt_sha256$" + bcrypt.hashpw(digest, salt).decode(), bcrypt.hashpw(PASSWORD.encode(), salt).decode()


def get(path: str, of_admin: bool = False) -> Callable[[str, Any, Any], Script]:
    return lambda host, pair, admin: repeat(request("GET", path, host, bearer(admin if of_admin else pair)))


def check(host: str, pair: Any, admin: Any) -> Script:
    body = json.dumps({"checks": ["order:refund"]}).encode()
    return repeat(request("POST", "/api/v1/permissions/check", host, {**bearer(pair), **JSON}, body))


def log_in_here(host: str, number: int) -> bytes:
    body = {"username": f"person{number}", "password": PASSWORD}
    return request("POST", "/api/v1/auth/login", host, JSON, json.dumps(body).encode())


def log_in_djoser(host: str, number: int) -> bytes:
    body = {"username": f"person{number}", "password": PASSWORD}
    return request("POST", "/auth/jwt/create/", host, JSON, json.dumps(body).encode())


def log_in_fastapi(host: str, number: int) -> bytes:
    form = f"username={ADDRESS.format(number)}&password={PASSWORD.replace(' ', '+')}"
    return request("POST", "/auth/jwt/login", host, FORM, form.encode())


def logging_in(log_in: Callable[[str, int], bytes]) -> Callable[[str, Any, Any], Script]:
    """What is turned away because too many wait is part of it."""
    return lambda host, pair, admin: repeat(log_in(host, pair["number"]), 503)


MUSTER = Subject(
    name="muster",
    packages="",
    folder=ROOT,
    migrate=["manage.py", "migrate", "-v", "0"],
    serve=lambda port: ["manage.py", "serve", "--port", str(port), "--workers", WORKERS],
    environment={"RATE_LIMITS": "off", "LOG_FORMAT": "json", "EMAIL_URL": "dummymail://", "DEBUG": "false"},
    log_in=log_in_here,
    operations={
        "me": get("/api/v1/users/me"),
        "permission check": check,
        "refresh": lambda host, pair, admin: refreshing("/api/v1/auth/refresh", host, pair),
        "list": get("/api/v1/users?page_size=50", of_admin=True),
        "search": get("/api/v1/users?page_size=50&search=lastname4321", of_admin=True),
        "log-in": logging_in(log_in_here),
    },
    fill="""
        INSERT INTO users (id, password, email, email_key, username, first_name, middle_name, last_name, language,
            is_active, is_verified, is_staff, joined_by, password_contested, search_text, last_login, created_at)
        SELECT gen_random_uuid(), {hash}, a, a, 'person' || n, 'Firstname', '', 'Lastname' || n % 5000, 'en', true,
            true, false, 'import', false, concat_ws(E'\\n', a, 'person' || n, 'firstname', '', 'lastname' || n % 5000),
            now(), now() - n * '1 s'::interval
        FROM (SELECT n, 'firstname.lastname' || n || '@example.org' AS a FROM generate_series(1, {users}) n) made;
        INSERT INTO user_roles (id, user_id, role_id, granted_at)
        SELECT gen_random_uuid(), u.id, r.id, now() FROM users u
        JOIN roles r ON r.name = 'user' OR (r.name = 'admin' AND u.username = 'person1');""",
)

DJOSER = Subject(
    name="djoser",
    packages="djoser.txt",
    migrate=[
        "-c",
        "import djoser_site; from django.core.management import call_command as c; c('migrate', verbosity=0)",
    ],
    serve=lambda port: [
        *("-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-w", WORKERS, "-k", "gthread", "--threads", "4"),
        *("--log-level", "warning", "djoser_site:application"),
    ],
    log_in=log_in_djoser,
    operations={
        "me": get("/auth/users/me/"),
        "refresh": lambda host, pair, admin: refreshing("/auth/jwt/refresh/", host, pair),
        "list": get("/auth/users/", of_admin=True),
        "search": get("/auth/users/?search=lastname4321", of_admin=True),
        "log-in": logging_in(log_in_djoser),
    },
    fill="""
        INSERT INTO auth_user (id, password, is_superuser, username, first_name, last_name, email, is_staff, is_active,
            date_joined)
        SELECT n, {hash}, n = 1, 'person' || n, 'Firstname', 'Lastname' || n % 5000,
            'firstname.lastname' || n || '@example.org', n = 1, true, now() - n * '1 s'::interval
        FROM generate_series(1, {users}) n;""",
)

FASTAPI = Subject(
    name="fastapi-users",
    packages="fastapi.txt",
    migrate=[
        "-c",
        "import asyncio, fastapi_site as s\n"
        "async def make():\n async with s.engine.begin() as c: await c.run_sync(s.Base.metadata.create_all)\n"
        "asyncio.run(make())",
    ],
    serve=lambda port: [
        *("-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port), "--workers", WORKERS),
        *("--log-level", "warning", "--no-access-log", "fastapi_site:app"),
    ],
    log_in=log_in_fastapi,
    operations={
        "me": get("/users/me"),
        "log-in": logging_in(log_in_fastapi),
    },
    fill="""
        INSERT INTO fastapi_users (id, email, hashed_password, is_active, is_superuser, is_verified)
        SELECT gen_random_uuid(), 'firstname.lastname' || n || '@example.org', {bare}, true, n = 1, true
        FROM generate_series(1, {users}) n;""",
)

ALL = {subject.name: subject for subject in (MUSTER, DJOSER, FASTAPI)}
