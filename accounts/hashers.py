"""Argon2id with the parameters that OWASP's cheat sheet names; Django's default takes five times the memory."""

from typing import Any

from django.contrib.auth.hashers import (
    Argon2PasswordHasher,
    BasePasswordHasher,
    get_hasher,
    identify_hasher,
    is_password_usable,
    make_password,
)


class Argon2idPasswordHasher(Argon2PasswordHasher):
    time_cost = 2
    memory_cost = 19 * 1024  # KiB
    parallelism = 1


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
