"""Django's bcrypt and Argon2, computed by the process that gives way, where there is one: see `core.aside`.

Argon2id has the parameters that OWASP's cheat sheet names; Django's default takes five times the memory.
"""

from types import SimpleNamespace
from typing import Any

from django.contrib.auth.hashers import (
    Argon2PasswordHasher,
    BasePasswordHasher,
    BCryptSHA256PasswordHasher,
    get_hasher,
    identify_hasher,
    is_password_usable,
    make_password,
)
from django.utils.crypto import constant_time_compare

from core.aside import computed


class BcryptPasswordHasher(BCryptSHA256PasswordHasher):
    def _load_library(self) -> Any:
        bcrypt = super()._load_library()  # type: ignore[misc]
        return SimpleNamespace(gensalt=bcrypt.gensalt, hashpw=_hashpw)


def _hashpw(password: bytes, salt: bytes) -> bytes:
    return computed("bcrypt", password.decode(), salt.decode()).encode()


class Argon2idPasswordHasher(Argon2PasswordHasher):
    time_cost = 2
    memory_cost = 19 * 1024  # KiB
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        return f"{self.algorithm}{_argon2(password, salt, self.params())}"

    def verify(self, password: str, encoded: str) -> bool:
        decoded = self.decode(encoded)
        found = _argon2(password, decoded["salt"], decoded["params"])
        return constant_time_compare(found.rpartition("$")[2], decoded["hash"])


def _argon2(password: str, salt: str, by: Any) -> str:
    version = 16 if by.version == 18 else by.version  # the library takes hashes without one for 18, and means 16
    costs = (by.time_cost, by.memory_cost, by.parallelism, by.hash_len, by.type.value, version)
    return computed("argon2", password, salt, *costs)


def hash_beside(password: str, encoded: str) -> str:
    """A hash of `password` that equals `encoded` if the passwords are equal, for the price of one.

    Sign-up needs to know whether the password is the one of an earlier, unverified sign-up, and must not take
    longer for that than for a new address.
    """
    if not is_password_usable(encoded):
        return make_password(password)
    preferred = get_hasher("default")
    hasher = identify_hasher(encoded)
    if type(hasher) is not type(preferred) or hasher.must_update(encoded):
        return make_password(password)
    return hasher.encode(password, _salt(hasher, encoded))


def _salt(hasher: BasePasswordHasher, encoded: str) -> Any:
    if hasher.algorithm == "bcrypt_sha256":  # takes a whole hash for its salt, as its own verify() does
        return encoded.partition("$")[2].encode("ascii")
    return hasher.decode(encoded)["salt"]
