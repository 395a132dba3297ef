"""A database as it is after years: a million users, with what belongs to them. Filled by SQL in two minutes or so."""

import hashlib
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg

from bench.subjects import hashes

STAFF, CLERKS, INACTIVE = 300, 500, 200  # the first users are staff and clerks

# An id that tells its moment, as ours do. The last user joined now, the first years ago. Their addresses tell nothing
# of when they joined.
FUNCTIONS = """
    CREATE FUNCTION pg_temp.uuid7(at timestamptz, salt text) RETURNS uuid LANGUAGE sql STABLE AS $$
        SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(salt), 1, 3)
            || '8' || substr(md5(salt), 4, 15))::uuid $$;
    CREATE FUNCTION pg_temp.joined(n bigint) RETURNS timestamptz LANGUAGE sql STABLE AS $$
        SELECT timestamptz '{now}' - ({users} - n) * interval '94 s' $$;
    CREATE FUNCTION pg_temp.person(n bigint) RETURNS uuid LANGUAGE sql STABLE AS $$
        SELECT pg_temp.uuid7(pg_temp.joined(n), 'user' || n) $$;
    CREATE FUNCTION pg_temp.address(n bigint) RETURNS text LANGUAGE sql STABLE AS $$
        SELECT substr(md5(n::text), 1, 5) || '.lastname' || n || '@example.org' $$;"""

FILL = {
    "users": """
        INSERT INTO users (id, password, email, email_key, username, first_name, middle_name, last_name, language,
            is_active, is_verified, is_staff, joined_by, password_contested, search_text, last_login, created_at)
        SELECT pg_temp.person(n), '{hash}', a, a, 'person' || n, 'Firstname', '', 'Lastname' || n % 5000, 'en',
            n % ({users} / {inactive}) != 7, n % 499 != 7, n <= {staff}, 'signup', false,
            concat_ws(E'\\n', a, 'person' || n, 'firstname', '', 'lastname' || n % 5000),
            CASE WHEN n % 5 != 0 AND n % 499 != 7
            THEN timestamptz '{now}' - abs(hashint8(n) % 400) * interval '1 d' END,
            pg_temp.joined(n)
        FROM (SELECT n, pg_temp.address(n) AS a FROM generate_series(1::bigint, {users}) n) made""",
    "roles": """
        INSERT INTO roles (id, name, description, created_at, updated_at)
        SELECT gen_random_uuid(), name, '', now(), now() FROM unnest(ARRAY['clerk', 'nobody']) name""",
    "user_roles": """
        INSERT INTO user_roles (id, user_id, role_id, granted_at, expires_at)
        SELECT pg_temp.uuid7(pg_temp.joined(n), r.name || n), pg_temp.person(n), r.id, pg_temp.joined(n),
            CASE WHEN r.name = 'clerk' THEN timestamptz '{now}' + (n - {clerks} / 2) * interval '1 h' END
        FROM generate_series(1::bigint, {users}) n
        JOIN roles r ON r.name = 'user' OR r.name = 'clerk' AND n <= {clerks} OR r.name = 'admin' AND n <= 3""",
    # Of the last thirty days, which is as long as one lasts; a third was ended.
    "sessions": """
        INSERT INTO sessions (id, user_id, gen, created_at, rotated_at, access_expires_at, refresh_expires_at,
            expires_at, last_used_at, ip, device, ended_at, ended_by)
        SELECT pg_temp.uuid7(at, 'session' || n), pg_temp.person(n * 7919 % {users} + 1), 3, at, used,
            used + interval '5 min', least(used + interval '14 d', at + interval '30 d'), at + interval '30 d', used,
            ('10.' || n % 200 || '.' || n % 251 || '.' || n % 241)::inet, 'Firefox on Linux',
            CASE WHEN n % 3 = 0 THEN used END, CASE WHEN n % 3 = 0 THEN 'log_out' ELSE '' END
        FROM (SELECT n, at, greatest(at, timestamptz '{now}' - n % 13 * interval '1 d') AS used FROM (
            SELECT n, timestamptz '{now}' - (2 * {users} - n) * (interval '29 d' / (2 * {users})) AS at
            FROM generate_series(1::bigint, 2 * {users}) n) begun) made""",
    "known_places": """
        INSERT INTO known_places (user_id, network, device, last_at)
        SELECT pg_temp.person(n), '10.' || n % 200 || '.' || n % 251 || '.7/32', 'Firefox on Linux', '{now}'
        FROM generate_series(1::bigint, {users}) n""",
    "challenges": """
        INSERT INTO challenges (id, user_id, purpose, email, attempts, created_at, sent_at, code_expires_at,
            link_expires_at, used_at)
        SELECT pg_temp.uuid7(at, 'challenge' || n), pg_temp.person(n), CASE WHEN n <= 50 THEN 'email_change'
            WHEN n % 3 = 0 THEN 'reset' ELSE 'verify' END, pg_temp.address(n), 0, at, at, at,
            at + interval '1 d', at
        FROM (SELECT n, timestamptz '{now}' - ({users} / 10 - n) * interval '1 s' AS at
            FROM generate_series(1::bigint, {users} / 10) n) made""",
    "failed_log_ins": """
        INSERT INTO failed_log_ins (account, network, count, waits, wait_until, updated_at)
        SELECT md5(n::text), '10.0.' || n % 200 || '.7/32', 3, 1, timestamptz '{now}' + n * interval '1 ms', '{now}'
        FROM generate_series(1::bigint, {users} / 20) n""",
    # Nearly all were sent; what failed or expired did so long ago, and some letters are rare.
    "outgoing_mail": """
        INSERT INTO outgoing_mail (id, template, "to", language, user_id, challenge_id, with_code, context, state,
            attempts, next_try_at, created_at, sent_at, last_error)
        SELECT pg_temp.uuid7(at, 'mail' || n), CASE WHEN n <= 60 THEN 'session_reused' WHEN n <= 90 THEN 'email_taken'
            WHEN n % 5 = 0 THEN 'new_device' WHEN n % 3 = 0 THEN 'reset' ELSE 'verify' END,
            pg_temp.address(n), 'en', pg_temp.person(n), NULL, true, '{}',
            CASE WHEN n > {users} - 40 THEN 'waiting' WHEN n <= 300 THEN 'failed' WHEN n <= 700 THEN 'expired'
            ELSE 'sent' END, 1, at, at, at, ''
        FROM (SELECT n, timestamptz '{now}' - ({users} - n) * interval '5 s' AS at
            FROM generate_series(1::bigint, {users}) n) made""",
    # Person 1 is busy to this day, person 2 was until fifty days ago; some actions are rare, and of long ago.
    "audit_events": """
        INSERT INTO audit_events (id, at, actor_id, action, target_id, ip, request_id, details)
        SELECT pg_temp.uuid7(at, 'event' || n), at, pg_temp.person(actor), action, pg_temp.person(target),
            ('10.' || n % 200 || '.' || n % 251 || '.7')::inet, md5(n::text),
            jsonb_build_object('device', 'Firefox on Linux')
        FROM (
            SELECT n, timestamptz '{now}' - (3 * {users} - n) * (interval '60 d' / (3 * {users})) AS at,
                CASE WHEN n % (3 * {users} / {busy}) = 0 THEN 1
                WHEN n < 3 * {users} / 6 AND n % (3 * {users} / 6 / {busy}) = 1 THEN 2
                ELSE n * 7919 % {users} + 1 END AS actor, n * 104729 % {users} + 1 AS target,
                CASE WHEN n < 200
                THEN (ARRAY['key.revoked', 'guard.refused', 'session.reused', 'role.deleted'])[n % 4 + 1]
                WHEN n % 7 = 0 THEN 'user.changed' WHEN n % 11 = 0 THEN 'user.signed_up'
                WHEN n % 5 = 0 THEN 'session.refused' WHEN n % 3 = 0 THEN 'session.ended'
                ELSE 'session.started' END AS action
            FROM generate_series(1::bigint, 3 * {users}) n) made""",
}

OTHER_INDEXES = """
    SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
    WHERE i.indrelid = %s::regclass AND NOT i.indisunique"""


# Two at a time: nothing here asks for a row of another table, but for those of `roles`.
ONE = ("users", "sessions", "outgoing_mail")
AT_ONCE = (ONE, tuple(table for table in FILL if table not in ONE))


def address(n: int) -> str:
    return f"{hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest()[:5]}.lastname{n}@example.org"


def fill(url: str, users: int) -> None:
    """By a superuser of the server, who may leave out that each row is asked whether its user exists."""
    with psycopg.connect(url, autocommit=True) as connection:
        [now] = connection.execute("SELECT now()").fetchone() or ("",)
        connection.execute("ALTER SYSTEM SET max_wal_size = '8GB'")
        connection.execute("SELECT pg_reload_conf()")
    values = {"now": now.isoformat(), "users": users, "staff": STAFF, "clerks": CLERKS, "busy": users // 10}
    values |= {"inactive": INACTIVE, "hash": hashes()[0]}
    with ThreadPoolExecutor(len(AT_ONCE)) as threads:
        list(threads.map(lambda tables: fill_tables(url, tables, values), AT_ONCE))


def fill_tables(url: str, tables: tuple[str, ...], values: dict[str, Any]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '512MB'; SET session_replication_role = replica; SET jit = off")
        connection.execute(said(FUNCTIONS, values))
        for table in tables:
            begun = time.monotonic()
            with without_indexes(connection, table):
                connection.execute(said(FILL[table], values))
            connection.execute(f"VACUUM ANALYZE {table}")
            print(f"{time.monotonic() - begun:4.0f} s  {table}", file=sys.stderr, flush=True)


def said(statement: str, values: dict[str, Any]) -> str:
    for name, value in values.items():
        statement = statement.replace(f"{{{name}}}", str(value))
    return statement


@contextmanager
def without_indexes(connection: Any, table: str) -> Iterator[None]:
    """Made at once afterwards, they take a tenth of the time."""
    indexes = connection.execute(OTHER_INDEXES, [table]).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    yield
    for _, definition in indexes:
        connection.execute(definition)
