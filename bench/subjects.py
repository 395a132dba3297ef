"""Who is measured: how each is filled, started and asked. All have the same users, passwords and processes."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

from bench.load import request
from bench.scripts import (
    ADDRESS,
    PASSWORD,
    LogIn,
    Make,
    deep_page,
    get,
    get_as_admin,
    identity,
    logging_in,
    mixed,
    post,
    post_form,
    refreshing,
    repeat,
    signing_up,
)

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peers"
WORKERS = "2"
PAGE = 50
Ask = Callable[[bytes], Any]


@dataclass(frozen=True)
class Size:
    """How many users there are, and how many sessions and roles each of them has."""

    users: int
    sessions: int = 1
    roles: int = 1

    @property
    def deep(self) -> int:
        """Where the deep page begins: at 90,000 of 100,000, which is page 18,000 of a million."""
        return self.users * 9 // 10


@dataclass(frozen=True)
class Subject:
    """`packages` names a file below bench/peers with what pip installs for it; without, it runs in the environment that
    runs us, which has all that developers need as well."""

    name: str
    fill: str
    migrate: list[str]
    serve: Callable[[int], list[str]]
    operations: dict[str, Make]
    log_in: LogIn | None = None
    packages: str = ""
    is_ours: bool = False
    folder: Path = PEERS
    environment: dict[str, str] = field(default_factory=dict)
    find_deep_page: Callable[[Ask, str, Any, Size], str] | None = None

    def python(self, venvs: Path) -> str:
        return str(venvs / Path(self.packages).stem / "bin" / "python") if self.packages else sys.executable

    def install(self, venvs: Path) -> None:
        if not self.packages:
            return
        venv, wanted = venvs / Path(self.packages).stem, (PEERS / self.packages).read_text()
        stamp = venv / "installed"
        if stamp.exists() and stamp.read_text() == wanted:
            return
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [self.python(venvs), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(PEERS / self.packages)], check=True)
        stamp.write_text(wanted)

    def versions(self) -> str:
        if self.is_ours or not self.packages:
            return ""
        names = [line.partition("==") for line in (PEERS / self.packages).read_text().split()]
        return ", ".join(f"{name.partition('[')[0]} {version}" for name, _, version in names)

    def sql(self, size: Size) -> str:
        """`fill` for this size."""
        django, bare = hashes()
        values = {"hash": f"'{django}'", "bare": f"'{bare}'", **vars(size)}
        sql = self.fill
        for name, value in values.items():
            sql = sql.replace(f"{{{name}}}", str(value))
        return sql


def hashes() -> tuple[str, str]:
    """Of the password of all: as Django keeps bcrypt over SHA-256, and bare, both of cost 12."""
    import bcrypt

    digest = hashlib.sha256(PASSWORD.encode()).hexdigest().encode()
    salt = bcrypt.gensalt(12)
    return "bcrypt_sha256$" + bcrypt.hashpw(digest, salt).decode(), bcrypt.hashpw(PASSWORD.encode(), salt).decode()


def check(host: str, pair: Any, admin: Any) -> Any:
    return repeat(post("/api/v1/permissions/check", host, {"checks": ["order:refund"]}, identity(pair)))


def by_username(path: str) -> LogIn:
    return lambda host, number: post(path, host, {"username": f"person{number}", "password": PASSWORD})


def by_cursor(ask: Ask, host: str, admin: Any, size: Size) -> str:
    """Users were made a second apart. A cursor says where to go on, whatever was asked for when it was given."""
    first = ask(request("GET", "/api/v1/users?page_size=1", host, identity(admin)))["results"][0]
    since = datetime.fromisoformat(first["created_at"]) + timedelta(seconds=size.deep)
    path = f"/api/v1/users?page_size=1&created_after={quote_plus(since.isoformat())}"
    following = ask(request("GET", path, host, identity(admin)))["next"]
    return f"/api/v1/users?page_size={PAGE}&cursor={parse_qs(urlsplit(following).query)['cursor'][0]}"


LOG_IN_HERE = by_username("/api/v1/auth/login")
LOG_IN_DJOSER = by_username("/auth/jwt/create/")
LOG_IN_ALLAUTH = by_username("/_allauth/app/v1/auth/login")


def log_in_fastapi(host: str, number: int) -> bytes:
    return post_form("/auth/jwt/login", host, username=ADDRESS.format(number), password=PASSWORD)


def gunicorn(site: str) -> Callable[[int], list[str]]:
    return lambda port: [
        *("-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-w", WORKERS, "-k", "gthread", "--threads", "4"),
        *("--log-level", "warning", f"{site}:application"),
    ]


def migrated(site: str) -> list[str]:
    return ["-c", f"import {site}; from django.core.management import call_command as c; c('migrate', verbosity=0)"]


MUSTER = Subject(
    name="muster",
    packages="../../requirements.txt",
    is_ours=True,
    folder=ROOT,
    migrate=["manage.py", "migrate", "-v", "0"],
    serve=lambda port: ["manage.py", "serve", "--port", str(port), "--workers", WORKERS],
    environment={"RATE_LIMITS": "off", "LOG_FORMAT": "json", "EMAIL_URL": "dummymail://", "DEBUG": "false"},
    log_in=LOG_IN_HERE,
    find_deep_page=by_cursor,
    operations={
        "me": get("/api/v1/users/me"),
        "permission check": check,
        "refresh": refreshing("/api/v1/auth/refresh"),
        "list": get_as_admin(f"/api/v1/users?page_size={PAGE}"),
        "list, deep": deep_page,
        "search, few": get_as_admin(f"/api/v1/users?page_size={PAGE}&search=lastname4321"),
        "search, many": get_as_admin(f"/api/v1/users?page_size={PAGE}&search=lastname43"),
        "mixed": mixed("/api/v1/users/me", "/api/v1/auth/refresh", f"/api/v1/users?page_size={PAGE}"),
        "log-in": logging_in(LOG_IN_HERE),
        "sign-up": signing_up("/api/v1/auth/signup"),
    },
    fill="""
        INSERT INTO users (id, password, email, email_key, username, first_name, middle_name, last_name, language,
            is_active, is_verified, is_staff, joined_by, password_contested, search_text, last_login, created_at)
        SELECT gen_random_uuid(), {hash}, a, a, 'person' || n, 'Firstname', '', 'Lastname' || n % 5000, 'en', true,
            true, false, 'import', false, concat_ws(E'\\n', a, 'person' || n, 'firstname', '', 'lastname' || n % 5000),
            now(), now() - n * '1 s'::interval
        FROM (SELECT n, 'firstname.lastname' || n || '@example.org' AS a FROM generate_series(1, {users}) n) made;
        INSERT INTO permissions (id, resource, action, description, built_in)
        SELECT gen_random_uuid(), 'thing' || n, 'read', '', false FROM generate_series(1, {roles}) n;
        INSERT INTO roles (id, name, description, created_at, updated_at)
        SELECT gen_random_uuid(), 'reader' || n, '', now(), now() FROM generate_series(2, {roles}) n;
        INSERT INTO role_permissions (role_id, permission_id)
        SELECT r.id, p.id FROM roles r JOIN permissions p ON r.name = replace(p.resource, 'thing', 'reader');
        INSERT INTO user_roles (id, user_id, role_id, granted_at)
        SELECT gen_random_uuid(), u.id, r.id, now() FROM users u
        JOIN roles r ON r.name = 'user' OR r.name LIKE 'reader%' OR (r.name = 'admin' AND u.username = 'person1');
        INSERT INTO sessions (id, user_id, gen, created_at, rotated_at, access_expires_at, refresh_expires_at,
            expires_at, last_used_at, device, ended_by)
        SELECT gen_random_uuid(), u.id, 1, now(), now(), now() + '5 min', now() + '14 d', now() + '30 d', now(),
            'Firefox on Linux', ''
        FROM users u, generate_series(1, {sessions});""",
)

MUSTER_ARGON2 = replace(
    MUSTER,
    name="muster, argon2id",
    environment={**MUSTER.environment, "PASSWORD_HASHER": "argon2"},
    operations={name: MUSTER.operations[name] for name in ("log-in", "sign-up")},
)

DJOSER = Subject(
    name="djoser",
    packages="djoser.txt",
    migrate=migrated("djoser_site"),
    serve=gunicorn("djoser_site"),
    log_in=LOG_IN_DJOSER,
    find_deep_page=lambda ask, host, admin, size: f"/auth/users/?page={size.deep // PAGE + 1}",
    operations={
        "me": get("/auth/users/me/"),
        "refresh": refreshing("/auth/jwt/refresh/"),
        "list": get_as_admin("/auth/users/"),
        "list, deep": deep_page,
        "search, few": get_as_admin("/auth/users/?search=lastname4321"),
        "search, many": get_as_admin("/auth/users/?search=lastname43"),
        "mixed": mixed("/auth/users/me/", "/auth/jwt/refresh/", "/auth/users/"),
        "log-in": logging_in(LOG_IN_DJOSER),
        "sign-up": signing_up("/auth/users/"),
    },
    fill="""
        INSERT INTO auth_user (id, password, is_superuser, username, first_name, last_name, email, is_staff, is_active,
            date_joined)
        SELECT n, {hash}, n = 1, 'person' || n, 'Firstname', 'Lastname' || n % 5000,
            'firstname.lastname' || n || '@example.org', n = 1, true, now() - n * '1 s'::interval
        FROM generate_series(1, {users}) n;
        SELECT setval(pg_get_serial_sequence('auth_user', 'id'), {users});""",
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
        "sign-up": signing_up("/auth/register", with_username=False),
    },
    fill="""
        INSERT INTO fastapi_users (id, email, hashed_password, is_active, is_superuser, is_verified)
        SELECT gen_random_uuid(), 'firstname.lastname' || n || '@example.org', {bare}, true, n = 1, true
        FROM generate_series(1, {users}) n;""",
)

ALLAUTH = Subject(
    name="allauth headless",
    packages="allauth.txt",
    migrate=migrated("allauth_site"),
    serve=gunicorn("allauth_site"),
    log_in=LOG_IN_ALLAUTH,
    operations={
        "me": get("/_allauth/app/v1/auth/session"),
        "log-in": logging_in(LOG_IN_ALLAUTH),
        "sign-up": signing_up("/_allauth/app/v1/auth/signup"),
    },
    fill=DJOSER.fill
    + """
        INSERT INTO account_emailaddress (email, verified, "primary", user_id)
        SELECT email, true, true, id FROM auth_user;""",
)


def ask_limit(name: str) -> Make:
    return lambda host, pair, admin: repeat(request("GET", f"/{name.replace(' ', '-')}", host, {}))


LIMITS = Subject(
    name="limit",
    folder=ROOT,
    migrate=["-c", ""],
    serve=lambda port: [
        *("-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", WORKERS),
        *("--blocking-threads", "4", "--log-level", "warning", "bench.limits_site:application"),
    ],
    operations={name: ask_limit(name) for name in ("bare view", "selects", "bcrypt", "argon2id")},
    fill="CREATE TABLE people (id integer PRIMARY KEY, name text);"
    "INSERT INTO people SELECT n, 'Firstname Lastname' || n FROM generate_series(1, {users}) n;",
)

HASHING = ("log-in", "sign-up", "bcrypt", "argon2id")
PEERS_AND_LIMITS = (MUSTER, DJOSER, FASTAPI, ALLAUTH, MUSTER_ARGON2, LIMITS)
OPERATIONS = tuple(MUSTER.operations)


def parsed(body: bytes) -> dict[str, Any]:
    return dict(json.loads(body))
