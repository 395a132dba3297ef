"""Password hashes of other systems, taken over as they are: each is verified as its system did, at the next log-in,
and that log-in replaces it by one of ours.

Known: bcrypt (`$2a$`, `$2b$`, `$2y$`), Argon2 and scrypt in the PHC string format, all of Django, PBKDF2 and scrypt as
Werkzeug writes them, and PBKDF2 credentials of Keycloak. Costs beyond what a log-in may take are refused, since one
such row would stop a worker.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import bcrypt
from django.contrib.auth.hashers import BasePasswordHasher, BCryptPasswordHasher, identify_hasher
from django.utils.crypto import constant_time_compare

MOST_CHARACTERS = 255  # of the column
MOST_ROUNDS = 5_000_000
MOST_BCRYPT_COST = 15
MOST_MEMORY = 128 * 1024 * 1024  # bytes
DIGESTS = ("sha1", "sha224", "sha256", "sha384", "sha512")


class Unknown(ValueError):
    """No hash that we know how to verify; the words say why."""


class BareBCryptHasher(BCryptPasswordHasher):
    """Others let bcrypt look at the first 72 bytes; the library refuses a longer password since its version 5."""

    def encode(self, password: str, salt: Any) -> str:
        short = password.encode()[:72]
        return f"{self.algorithm}${bcrypt.hashpw(short, salt).decode('ascii')}"


class ForeignHasher(BasePasswordHasher):
    """`algorithm$parameter$…$salt$hash`, the last two in base64. Only ever verifies."""

    def verify(self, password: str, encoded: str) -> bool:
        *parameters, salt, wanted = encoded.split("$")[1:]
        expected = base64.b64decode(wanted)
        found = self.derived(password.encode(), base64.b64decode(salt), len(expected), parameters)
        return constant_time_compare(found, expected)

    def derived(self, password: bytes, salt: bytes, length: int, parameters: list[str]) -> bytes:
        raise NotImplementedError

    def safe_summary(self, encoded: str) -> Any:
        return {"algorithm": self.algorithm}

    def must_update(self, encoded: str) -> bool:
        return True

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Its cost is its own; the next log-in replaces it."""

    @classmethod
    def encoded(cls, *parameters: str | int, salt: bytes, found: bytes) -> str:
        if not 8 <= len(found) <= 128 or len(salt) > 128:
            raise Unknown("Its salt or its hash has an unlikely length.")
        parts = [cls.algorithm, *parameters, base64.b64encode(salt).decode(), base64.b64encode(found).decode()]
        return "$".join(map(str, parts))


class ForeignPBKDF2Hasher(ForeignHasher):
    algorithm = "foreign_pbkdf2"

    def derived(self, password: bytes, salt: bytes, length: int, parameters: list[str]) -> bytes:
        digest, rounds = parameters
        return hashlib.pbkdf2_hmac(digest, password, salt, int(rounds), length)


class ForeignScryptHasher(ForeignHasher):
    algorithm = "foreign_scrypt"

    def derived(self, password: bytes, salt: bytes, length: int, parameters: list[str]) -> bytes:
        n, r, p = map(int, parameters)
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=2 * MOST_MEMORY, dklen=length)


def taken_over(hash_of_others: str) -> str:
    """What to store for it. Raises Unknown."""
    stored = _recognised(hash_of_others.strip())
    if len(stored) > MOST_CHARACTERS:
        raise Unknown("It is longer than any that we can keep.")
    return stored


def _recognised(text: str) -> str:
    for form, take in _FORMS:
        if found := re.fullmatch(form, text):
            return take(**found.groupdict())
    return _keycloak(text) if text.startswith("{") else _django(text)


def _bcrypt(text: str, cost: str) -> str:
    if not 4 <= int(cost) <= MOST_BCRYPT_COST:
        raise Unknown(f"Its cost is {int(cost)}; 4 to {MOST_BCRYPT_COST} will do.")
    return f"{BareBCryptHasher.algorithm}${text}"


def _argon2(text: str, memory: str, time: str, lanes: str) -> str:
    if int(memory) * 1024 > MOST_MEMORY or not 1 <= int(time) <= 20 or not 1 <= int(lanes) <= 16:
        raise Unknown("Its Argon2 costs more than a log-in may.")
    return f"argon2{text}"


def _pbkdf2(digest: str, rounds: int, salt: bytes, found: bytes) -> str:
    if digest not in DIGESTS or not 1 <= rounds <= MOST_ROUNDS:
        raise Unknown(f"PBKDF2 with {digest[:20]} and {rounds} rounds; at most {MOST_ROUNDS} will do.")
    return ForeignPBKDF2Hasher.encoded(digest, rounds, salt=salt, found=found)


def _scrypt(n: int, r: int, p: int, salt: bytes, found: bytes) -> str:
    is_power = n > 1 and n & (n - 1) == 0
    if not is_power or not 1 <= p <= 16 or not 1 <= r <= 64 or 128 * n * r > MOST_MEMORY:
        raise Unknown("Its scrypt costs more than a log-in may.")
    return ForeignScryptHasher.encoded(n, r, p, salt=salt, found=found)


def _phc_scrypt(ln: str, r: str, p: str, salt: str, found: str) -> str:
    return _scrypt(2 ** min(int(ln), 40), int(r), int(p), _unpadded(salt), _unpadded(found))


def _werkzeug_scrypt(n: str, r: str, p: str, salt: str, found: str) -> str:
    return _scrypt(int(n), int(r), int(p), salt.encode(), bytes.fromhex(found))


def _werkzeug_pbkdf2(digest: str, rounds: str, salt: str, found: str) -> str:
    return _pbkdf2(digest, int(rounds), salt.encode(), bytes.fromhex(found))


def _our_pbkdf2(digest: str, rounds: str, salt: str, found: str) -> str:
    return _pbkdf2(digest, int(rounds), _unpadded(salt.rstrip("=")), _unpadded(found.rstrip("=")))


def _our_scrypt(n: str, r: str, p: str, salt: str, found: str) -> str:
    return _scrypt(int(n), int(r), int(p), _unpadded(salt.rstrip("=")), _unpadded(found.rstrip("=")))


def _keycloak(text: str) -> str:
    """A credential of a realm export: `secretData` and `credentialData`, which are JSON in JSON there."""
    try:
        credential = json.loads(text)
        secret, how = (_object(credential[name]) for name in ("secretData", "credentialData"))
        digest = str(how["algorithm"]).removeprefix("pbkdf2").removeprefix("-") or "sha1"
        salt, found = (base64.b64decode(secret[name], validate=True) for name in ("salt", "value"))
        return _pbkdf2(digest, int(how["hashIterations"]), salt, found)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, Unknown):
            raise
        raise Unknown("It is no PBKDF2 credential of Keycloak.") from error


def _object(data: Any) -> Any:
    return json.loads(data) if isinstance(data, str) else data


def _django(text: str) -> str:
    """Already ours. Its hasher must know it, and find in it what it looks for."""
    known = ("pbkdf2_sha256", "pbkdf2_sha1", "bcrypt_sha256", "argon2", "scrypt", "bcrypt")
    try:
        parts = identify_hasher(text).decode(text) if text.partition("$")[0] in known else {}
    except (ValueError, AssertionError, KeyError, IndexError) as error:
        raise Unknown("It looks like one of Django's, and is broken.") from error
    if not parts:
        raise Unknown("Known are bcrypt, Argon2, scrypt and PBKDF2, as Django, Keycloak, Werkzeug and PHC write them.")
    if parts.get("iterations", 0) > MOST_ROUNDS or parts.get("memory_cost", 0) * 1024 > MOST_MEMORY:
        raise Unknown("It costs more than a log-in may.")
    return text


def _unpadded(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace(".", "+") + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise Unknown("Its salt or its hash is no base64.") from error


_HEX = r"(?:[0-9a-f]{2})+"
_B64 = r"[A-Za-z0-9+/.]+"
_FORMS: tuple[tuple[str, Callable[..., str]], ...] = (
    (r"(?P<text>\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53})", _bcrypt),
    (
        r"(?P<text>\$argon2(?:id|i|d)\$v=19\$m=(?P<memory>\d{1,9}),t=(?P<time>\d{1,3}),p=(?P<lanes>\d{1,3})"
        r"\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+)",
        _argon2,
    ),
    (rf"\$scrypt\$ln=(?P<ln>\d\d?),r=(?P<r>\d\d?),p=(?P<p>\d\d?)\$(?P<salt>{_B64})\$(?P<found>{_B64})", _phc_scrypt),
    (
        r"scrypt:(?P<n>\d{1,9}):(?P<r>\d\d?):(?P<p>\d\d?)\$(?P<salt>[^$]+)\$(?P<found>(?:[0-9a-f]{2})+)",
        _werkzeug_scrypt,
    ),
    # What an export of ours has of those whom it took over before.
    (
        rf"foreign_pbkdf2\$(?P<digest>\w{{1,10}})\$(?P<rounds>\d{{1,9}})\$(?P<salt>{_B64}=*)\$(?P<found>{_B64}=*)",
        _our_pbkdf2,
    ),
    (
        rf"foreign_scrypt\$(?P<n>\d{{1,9}})\$(?P<r>\d\d?)\$(?P<p>\d\d?)\$(?P<salt>{_B64}=*)\$(?P<found>{_B64}=*)",
        _our_scrypt,
    ),
    (rf"pbkdf2:(?P<digest>\w{{1,10}}):(?P<rounds>\d{{1,9}})\$(?P<salt>[^$]+)\$(?P<found>{_HEX})", _werkzeug_pbkdf2),
)
