"""What nobody on this stack gets below: a bare view, a prepared select by key, a hash. Served by granian as WSGI."""

import json
import os
import random
import threading
from collections.abc import Callable, Iterable
from typing import Any

import bcrypt
import psycopg
from argon2.low_level import Type, hash_secret

SELECTS = 100
SOMEBODY = {"id": "0" * 36, "email": "firstname.lastname1@example.org", "username": "person1", "is_active": True}
PASSWORD = b"correct horse battery staple"
mine = threading.local()


def selects() -> str:
    """A hundred by one request, so that HTTP hardly counts."""
    if not hasattr(mine, "connection"):
        mine.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        [mine.count] = mine.connection.execute("SELECT max(id) FROM people").fetchone()
    for _ in range(SELECTS):
        key = (random.randint(1, mine.count),)
        mine.connection.execute("SELECT id, name FROM people WHERE id = %s", key, prepare=True).fetchone()
    return "{}"


def hash_with_argon2id() -> str:
    """With the parameters of `PASSWORD_HASHER=argon2`."""
    hash_secret(PASSWORD, os.urandom(16), time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, type=Type.ID)
    return "{}"


def hash_with_bcrypt() -> str:
    bcrypt.hashpw(PASSWORD, bcrypt.gensalt(12))
    return "{}"


WORK: dict[str, Callable[[], str]] = {
    "/selects": selects,
    "/bcrypt": hash_with_bcrypt,
    "/argon2id": hash_with_argon2id,
}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = WORK.get(environ["PATH_INFO"], lambda: json.dumps(SOMEBODY))().encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
