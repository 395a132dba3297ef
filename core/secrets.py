"""What is derived from the server's secret instead of being stored.

Codes and links follow from a row's id and a key, so neither the database nor the queue holds anything
that could be typed or clicked, and sending a mail twice sends the same code (OWASP ASVS 6.5.2).
Each purpose has a key of its own, so what proves one thing never proves another (ASVS 6.6.2).
"""

import hmac
import os
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_HEX = "0123456789abcdef"
# Letters only: the six digits of the code stay the only six digits of a mail.
_LETTERS = "bcdfghjkmnpqrstv"
_TO_LETTERS = str.maketrans(_HEX, _LETTERS)
_TO_HEX = str.maketrans(_LETTERS, _HEX)
_MAC_DIGITS = 48  # 192 bits
_TOKEN_LENGTH = 32 + _MAC_DIGITS
_NONCE_BYTES = 12


def derived_key(purpose: str) -> bytes:
    return _derived(settings.SECRET_KEY, purpose)


@lru_cache(maxsize=64)
def _derived(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), f"muster:{purpose}".encode(), sha256)


def keyed_hash(value: str, purpose: str) -> str:
    """64 hex digits that stand for `value` and cannot be guessed back without the server's key."""
    return hmac.digest(derived_key(purpose), value.encode("utf-8", "surrogatepass"), "sha256").hex()


def fingerprint() -> str:
    """16 hex digits that tell one SECRET_KEY from another."""
    return keyed_hash("", "fingerprint")[:16]


def seal(secret: bytes, purpose: str, about: str) -> bytes:
    """AES-256-GCM. Nobody reads it without SECRET_KEY, nor passes it off as being `about` something else."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(derived_key(f"seal:{purpose}")).encrypt(nonce, secret, about.encode())


def unseal(sealed: bytes, purpose: str, about: str) -> bytes | None:
    """None for what was changed, or sealed under another SECRET_KEY or about something else."""
    nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return AESGCM(derived_key(f"seal:{purpose}")).decrypt(nonce, rest, about.encode())
    except (InvalidTag, ValueError):
        return None


def code_for(challenge_id: UUID, purpose: str) -> str:
    """Six digits."""
    return f"{int(keyed_hash(challenge_id.hex, f'code:{purpose}'), 16) % 1_000_000:06d}"


def link_token(challenge_id: UUID, purpose: str) -> str:
    """80 letters: the row's id and its authentication."""
    mac = keyed_hash(challenge_id.hex, f"link:{purpose}")[:_MAC_DIGITS]
    return (challenge_id.hex + mac).translate(_TO_LETTERS)


def read_link_token(token: str, purpose: str) -> UUID | None:
    """The id in a token that we made for this purpose; None for anything else."""
    if len(token) != _TOKEN_LENGTH or not set(token) <= set(_LETTERS):
        return None
    challenge_id = UUID(token[:32].translate(_TO_HEX))
    expected = link_token(challenge_id, purpose)
    return challenge_id if hmac.compare_digest(expected, token) else None
