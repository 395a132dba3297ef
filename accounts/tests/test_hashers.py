"""Hashes are Django's own, letter by letter, wherever they are computed."""

import json
from typing import Any

import argon2
import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, BCryptSHA256PasswordHasher

from accounts.hashers import Argon2idPasswordHasher, BcryptPasswordHasher
from core import aside

PASSWORDS = ["x", 'Zoë\u2028" \\\x00', "ъ" * 1024]


@pytest.fixture(params=["aside", "here"])
def asked(request: Any, monkeypatch: Any) -> list[Any]:
    """What the other process is asked for."""
    asked: list[Any] = []

    def ask(hash_name: str, *given: Any) -> Any:
        asked.append(hash_name)
        if request.param == "here":
            raise ConnectionError
        return json.loads(json.dumps(aside.HASHES[hash_name](*json.loads(json.dumps(given)))))

    monkeypatch.setattr(aside, "ask", ask)
    return asked


@pytest.mark.parametrize("password", PASSWORDS)
def test_bcrypt_is_as_django_makes_it(asked: list[Any], password: str) -> None:
    ours, theirs = BcryptPasswordHasher(), BCryptSHA256PasswordHasher()
    ours.rounds = theirs.rounds = 4
    encoded = ours.encode(password, ours.salt())
    assert theirs.verify(password, encoded)
    assert not theirs.verify(password + "x", encoded)
    assert asked == ["bcrypt"]
    encoded = theirs.encode(password, theirs.salt())
    assert ours.verify(password, encoded)
    assert not ours.verify(password + "x", encoded)
    assert asked == ["bcrypt"] * 3


@pytest.mark.parametrize("password", PASSWORDS)
def test_argon2_is_as_django_makes_it(asked: list[Any], password: str) -> None:
    ours, theirs = Argon2idPasswordHasher(), Argon2PasswordHasher()
    theirs.memory_cost, theirs.parallelism = 64, 2
    encoded = ours.encode(password, ours.salt())
    assert ",t=2,p=1$" in encoded
    assert theirs.verify(password, encoded)
    assert not theirs.verify(password + "x", encoded)
    encoded = theirs.encode(password, theirs.salt())
    assert ours.verify(password, encoded)
    assert not ours.verify(password + "x", encoded)
    assert asked == ["argon2"] * 3


@pytest.mark.parametrize("kind", list(argon2.Type))
@pytest.mark.parametrize("version", [None, 16, 19])
def test_argon2_of_other_kinds_and_with_salts_of_any_bytes_is_verified(
    asked: list[Any], kind: Any, version: int | None
) -> None:
    salt = bytes(range(240, 256))
    made = argon2.low_level.hash_secret(b"x", salt, 1, 64, 1, 24, kind, version or 16).decode()
    if version is None:
        made = made.replace("$v=16", "")  # as it was written before there were versions
    assert Argon2idPasswordHasher().verify("x", f"argon2{made}")
    assert not Argon2idPasswordHasher().verify("y", f"argon2{made}")
