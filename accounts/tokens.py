"""Tokens: JWTs (RFC 7519, RFC 8725) that SimpleJWT signs and parses, and that a `Session` row makes valid.

The only module that knows SimpleJWT's classes. A token holds no personal data and no roles, and nothing here
stores one: the latest pair follows from the row, letter by letter, for as long as the row stays as it is.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal, Protocol
from uuid import UUID

import jwt
from django.conf import settings
from django.db.models import Exists
from jwt.utils import base64url_encode
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts import keys
from accounts.keys import Key
from accounts.models import Session
from core.errors import ServiceUnavailable
from core.secrets import keyed_hash

AUDIENCE = "muster"
Kind = Literal["access", "refresh"]
MOST_GENERATIONS = 2**31 - 1  # that a row can count
LAST_SECOND = 253_402_300_800  # the year 9999 is over then, and so are the moments of Python and of databases
REMEMBERED = 1_000  # some 0.7 kB each


@dataclass(frozen=True, slots=True)
class Claims:
    kid: str
    user_id: UUID
    session_id: UUID
    gen: int
    expires_at: int
    """Seconds since 1970. Compare it with the database's clock, not with this host's."""


class Generation(Protocol):
    """What tokens are made of: a `Session`, or that part of one."""

    @property
    def pk(self) -> Any: ...
    @property
    def user_id(self) -> UUID: ...
    @property
    def gen(self) -> int: ...
    @property
    def key_id(self) -> str | None: ...
    @property
    def rotated_at(self) -> datetime: ...
    @property
    def access_expires_at(self) -> datetime: ...
    @property
    def refresh_expires_at(self) -> datetime: ...


_verified: dict[bytes, Claims] = {}


@dataclass(frozen=True, slots=True)
class TokenPair:
    access: str
    refresh: str
    access_expires_in: int
    refresh_expires_in: int


class _Backend(TokenBackend):
    """SimpleJWT's, which cannot write a `kid`.

    The database's clock decides about `exp`, without leeway (`Claims.expires_at`); the backend, which would ask the
    clock of this host, is therefore kept from deciding.
    """

    def __init__(self, key: Key) -> None:
        forever = timedelta(days=36_500)
        super().__init__(key.algorithm, key.private, key.public, AUDIENCE, settings.PUBLIC_URL, leeway=forever)
        self.signing = jwt.get_algorithm_by_name(key.algorithm)
        self.head = _segment({"alg": key.algorithm, "kid": key.kid, "typ": "JWT"})

    def encode(self, payload: dict[str, Any]) -> str:
        """As `jwt.encode` does, letter by letter (RFC 7515 §7.1), at a quarter of its cost."""
        said = self.head + b"." + _segment({**payload, "aud": self.audience, "iss": self.issuer})
        signature = self.signing.sign(said, self.prepared_signing_key)
        return (said + b"." + base64url_encode(signature)).decode()


def _segment(fields: dict[str, Any]) -> bytes:
    return base64url_encode(json.dumps(fields, separators=(",", ":")).encode())


@lru_cache(maxsize=64)
def _backend(key: Key) -> _Backend:
    return _Backend(key)


def sign_pair(session: Generation, now: datetime) -> TokenPair:
    """The pair of the session's present generation; the same letters each time, also when its key has retired."""
    key = keys.known(session.key_id or "")
    if key is None:  # somebody damaged its row
        raise ServiceUnavailable
    access, access_exp = _sign(key, session, "access", session.access_expires_at)
    refresh, refresh_exp = _sign(key, session, "refresh", session.refresh_expires_at)
    seconds = int(now.timestamp())
    return TokenPair(access, refresh, max(0, access_exp - seconds), max(0, refresh_exp - seconds))


def _sign(key: Key, session: Generation, kind: Kind, expires_at: datetime) -> tuple[str, int]:
    exp = int(expires_at.timestamp())
    payload = {
        "sub": str(session.user_id),
        "sid": str(session.pk),
        "gen": session.gen,
        "jti": jti_of(session.pk, session.gen, kind),
        "iat": int(session.rotated_at.timestamp()),
        "exp": exp,
        "token_type": kind,
        "scope": f"{kind}_token",
    }
    token = _backend(key).encode(payload)
    _remember(_name(token, kind), Claims(key.kid, session.user_id, session.pk, session.gen, exp))
    return token, exp


def jti_of(session_id: UUID, gen: int, kind: Kind) -> str:
    return keyed_hash(f"{session_id.hex}:{gen}:{kind}", "jti")[:32]


def read(token: str, kind: Kind) -> Claims | None:
    """What a token of ours claims; None for anything malformed, forged, or of the other kind.

    One that was verified or signed in this process is not verified again: what it claims cannot change, and whether
    it still counts is for the database to say, each time. It is remembered by its hash, so that no memory holds a
    usable one.
    """
    name = _name(token, kind)
    claims = _verified.get(name)
    if claims is None and (claims := _verify(token, kind)):
        _remember(name, claims)
    return claims


def _name(token: str, kind: Kind) -> bytes:
    return sha256(f"{kind} {token}".encode(errors="replace")).digest()


def _remember(name: bytes, claims: Claims) -> None:
    if len(_verified) >= REMEMBERED:
        _verified.clear()
    _verified[name] = claims


def _verify(token: str, kind: Kind) -> Claims | None:
    """The header names one of our keys, and the algorithm is that key's own (RFC 8725 §3.1). Whether the key was
    revoked is for the database to say: ask `keys.stands`."""
    try:
        header = jwt.get_unverified_header(token)
        key = keys.known(header["kid"])
        if key is None or header != {"alg": key.algorithm, "typ": "JWT", "kid": key.kid}:
            return None
        payload = _backend(key).decode(token)  # type: ignore[arg-type]  # a str, whatever it says
        return _claims(key, payload, kind)
    except (jwt.PyJWTError, TokenBackendError, AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None


def _claims(key: Key, payload: dict[str, Any], kind: Kind) -> Claims | None:
    gen, exp = payload["gen"], payload["exp"]
    if payload["token_type"] != kind or payload["scope"] != f"{kind}_token":
        return None
    if type(gen) is not int or type(exp) is not int or not (0 < gen <= MOST_GENERATIONS and 0 <= exp < LAST_SECOND):
        return None
    claims = Claims(key.kid, UUID(payload["sub"]), UUID(payload["sid"]), gen, exp)
    return claims if payload["jti"] == jti_of(claims.session_id, gen, kind) else None


def blacklist(sessions: list[Session]) -> None:
    """List the refresh tokens of sessions that end before their time, by `jti` and expiry; the token itself,
    which SimpleJWT's own `for_user` would store in clear, is left out."""
    outstanding = OutstandingToken.objects.bulk_create(
        OutstandingToken(
            user_id=session.user_id,
            jti=jti_of(session.pk, session.gen, "refresh"),
            token="",
            created_at=session.rotated_at,
            expires_at=session.refresh_expires_at,
        )
        for session in sessions
    )
    BlacklistedToken.objects.bulk_create(BlacklistedToken(token=token) for token in outstanding)


def listed(jti: str) -> Exists:
    """Whether the blacklist names this refresh token: to be asked in the query that reads its session."""
    return Exists(BlacklistedToken.objects.filter(token__jti=jti))


def delete_expired(now: datetime, limit: int) -> int:
    """Clean-up: a token past its expiry needs no record that it is refused."""
    ids = list(OutstandingToken.objects.filter(expires_at__lt=now).values_list("pk", flat=True)[:limit])
    OutstandingToken.objects.filter(pk__in=ids).delete()
    return len(ids)
