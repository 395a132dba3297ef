"""The keys that sign and verify tokens: rows that all hosts share, opened once by each process.

A kid is authenticated under SECRET_KEY. So one that somebody made up costs the database nothing, and one that
another host made a moment ago is looked up at once.
"""

import hmac
import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from django.conf import settings
from django.db import transaction
from jwt import get_algorithm_by_name

from accounts.models import SigningKey
from audit.services import record
from core.actor import Actor
from core.clock import database_now
from core.secrets import fingerprint, keyed_hash, seal, unseal
from core.transactions import serialised

Algorithm = SigningKey.Algorithm
ABSENT_SECONDS = 5
RSA_BITS = 3072  # 128 bits of strength (OWASP ASVS 11.2.3)
_PURPOSE = "token key"
_HALF = 16  # hex digits of a kid that are random; as many authenticate them

_known: dict[str, "Key"] = {}
_latest = ""
_absent: dict[str, float] = {}  # kids of ours that have gone, and until when not to look again


@dataclass(frozen=True, slots=True)
class Key:
    kid: str
    algorithm: str
    private: str = field(repr=False)
    """What signs: PEM, or the secret of HS256."""
    public: str = field(repr=False)
    """What verifies, in PEM; empty for HS256."""


def known(kid: str) -> Key | None:
    """The key of this name, revoked ones too. Asks the database only for a name of ours that is new here."""
    return _known.get(kid) or _look_for(kid)


def _look_for(kid: str) -> Key | None:
    if not is_ours(kid) or _absent.get(kid, 0) > time.monotonic():
        return None
    row = SigningKey.objects.filter(kid=kid).first()
    key = opened(row) if row else None
    if key is None:
        _absent[kid] = time.monotonic() + ABSENT_SECONDS
        return None
    _known[kid] = key
    return key


def stands(kid: str) -> bool:
    """Whether it was not revoked; asks each time, so that a revocation counts at once."""
    return SigningKey.objects.filter(kid=kid, revoked_at=None).exists()


def current() -> Key:
    """The key that signs. One question; where there is none that can be opened, one is made.

    Which it is, is asked each time: nothing is signed by a key that another host has just retired or revoked.
    """
    global _latest
    kid = SigningKey.objects.signing().values_list("kid", flat=True).first()
    key = (known(kid) if kid else None) or _make_missing()
    _latest = key.kid
    return key


def latest() -> str:
    """The kid of the key that was `current` when this process asked last, for a statement that sees whether it still
    is; empty when it never asked."""
    return _latest


@transaction.atomic
def _make_missing() -> Key:
    one_at_a_time()
    row = SigningKey.objects.signing().first()
    key = opened(row) if row else None
    if key is None:
        key = succeed(generated(settings.TOKEN_ALGORITHM), settings.TOKEN_ALGORITHM, database_now())
        record(Actor.system("keys"), "key.created", kid=key.kid, algorithm=key.algorithm)
    return key


def one_at_a_time() -> None:
    """Whoever changes which key signs, waits for the others who do."""
    serialised("signing keys")


def succeed(secret: bytes, algorithm: str, now: datetime) -> Key:
    """Retire the key that signs, if any; this new one (see `generated`) signs from now on."""
    SigningKey.objects.signing().update(retired_at=now)
    head = secrets.token_hex(_HALF // 2)
    row = SigningKey(kid=head + _mac(head), algorithm=algorithm, created_at=now, sealed_under=fingerprint())
    row.sealed = seal(secret, _PURPOSE, _about(row))
    row.save(force_insert=True)
    key = opened(row)
    if key is None:
        raise RuntimeError("a key that was just made does not open")
    return key


def is_ours(kid: str) -> bool:
    return len(kid) == 2 * _HALF and kid.isascii() and hmac.compare_digest(_mac(kid[:_HALF]), kid[_HALF:])


def _mac(head: str) -> str:
    return keyed_hash(head, "kid")[:_HALF]


def _about(row: SigningKey) -> str:
    return f"{row.kid}:{row.algorithm}"


def generated(algorithm: str) -> bytes:
    """A new secret. RSA takes a second or two, so better not while others wait for a lock."""
    if algorithm == Algorithm.HS256:
        return secrets.token_bytes(32)
    rsa = algorithm == Algorithm.RS256
    private = generate_private_key(65537, RSA_BITS) if rsa else Ed25519PrivateKey.generate()
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def opened(row: SigningKey) -> Key | None:
    """None for a row that the present SECRET_KEY does not open."""
    secret = unseal(bytes(row.sealed), _PURPOSE, _about(row))
    if secret is None:
        return None
    if row.algorithm == Algorithm.HS256:
        return Key(row.kid, row.algorithm, secret.hex(), "")
    private: Any = load_der_private_key(secret, None)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return Key(row.kid, row.algorithm, pem.decode(), public.decode())


def published() -> list[dict[str, str]]:
    """The public halves as JWKs (RFC 7517), the newest first: of all keys whose tokens may be good."""
    rows = SigningKey.objects.ours().filter(revoked_at=None).exclude(algorithm=Algorithm.HS256)
    found = [known(row.kid) for row in rows.order_by("-created_at")]
    return [_jwk(key) for key in found if key]


def _jwk(key: Key) -> dict[str, str]:
    algorithm: Any = get_algorithm_by_name(key.algorithm)
    public = algorithm.to_jwk(algorithm.prepare_key(key.public), as_dict=True)
    public.pop("key_ops", None)  # `use` says it, and RFC 7517 §4.3 wants only one of the two
    return {**public, "use": "sig", "alg": key.algorithm, "kid": key.kid}
