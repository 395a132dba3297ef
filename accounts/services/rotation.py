"""One statement decides which of all that present one refresh token makes its successor."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.db import connection

from accounts import presence, tokens
from accounts.tokens import Claims, TokenPair
from core.prepared import planned_row
from core.secrets import fingerprint


@dataclass(frozen=True, slots=True)
class Successor:
    """As `tokens.Generation`."""

    pk: UUID
    user_id: UUID
    gen: int
    key_id: str
    rotated_at: datetime
    access_expires_at: datetime
    refresh_expires_at: datetime


def rotate(claims: Claims, kid: str, asked_from: str) -> TokenPair | None:
    """The next generation of a session, signed by the key `kid`, for the network `asked_from`.

    None, with nothing changed, unless the token is of the present generation, the session lives by every measure of
    `sessions.refreshable_session`, and `kid` is the key that signs: whoever comes late finds another generation.
    """
    params = {
        "kid": kid,
        "sealed_under": fingerprint(),
        "asked_from": asked_from,
        "idle": settings.SESSION_IDLE_SECONDS,
        "access": settings.ACCESS_TOKEN_SECONDS,
        "session": claims.session_id,
        "user": claims.user_id,
        "gen": claims.gen,
        "token_kid": claims.kid,
        "expires_at": datetime.fromtimestamp(claims.expires_at, UTC),
        "jti": tokens.jti_of(claims.session_id, claims.gen, "refresh"),
    }
    row = planned_row(_SQL[connection.vendor], params)
    if row is None:
        return None
    successor = Successor(claims.session_id, claims.user_id, claims.gen + 1, kid, *row)
    presence.appear(successor)
    return tokens.sign_pair(successor, successor.rotated_at)


_ONE_STATEMENT = """
UPDATE sessions SET
    gen = gen + 1,
    key_id = %(kid)s,
    rotated_from = %(asked_from)s,
    rotated_at = {now},
    last_used_at = {now},
    access_expires_at = {least}({access}, {idle}, expires_at),
    refresh_expires_at = {least}({idle}, expires_at)
WHERE id = %(session)s AND gen = %(gen)s AND user_id = %(user)s AND ended_at IS NULL
    AND refresh_expires_at > {now} AND %(expires_at)s > {now}
    AND EXISTS (SELECT 1 FROM users WHERE users.id = sessions.user_id AND users.is_active)
    AND EXISTS (SELECT 1 FROM signing_keys
        WHERE kid = %(kid)s AND sealed_under = %(sealed_under)s AND retired_at IS NULL)
    AND NOT EXISTS (SELECT 1 FROM signing_keys WHERE kid = sessions.key_id AND revoked_at IS NOT NULL)
    AND (key_id = %(token_kid)s
        OR EXISTS (SELECT 1 FROM signing_keys WHERE kid = %(token_kid)s AND revoked_at IS NULL))
    AND NOT EXISTS (SELECT 1 FROM token_blacklist_blacklistedtoken listed
        JOIN token_blacklist_outstandingtoken token ON token.id = listed.token_id WHERE token.jti = %(jti)s)
RETURNING rotated_at, access_expires_at, refresh_expires_at
"""
_SQLITE_NOW = "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW'{})"
_SQL = {
    "postgresql": _ONE_STATEMENT.format(
        now="STATEMENT_TIMESTAMP()",
        idle="STATEMENT_TIMESTAMP() + MAKE_INTERVAL(secs => %(idle)s)",
        access="STATEMENT_TIMESTAMP() + MAKE_INTERVAL(secs => %(access)s)",
        least="LEAST",
    ),
    "sqlite": _ONE_STATEMENT.format(
        now=_SQLITE_NOW.format(""),
        idle=_SQLITE_NOW.format(", %(idle)s || ' seconds'"),
        access=_SQLITE_NOW.format(", %(access)s || ' seconds'"),
        least="MIN",
    ),
}
