#!/usr/bin/env python3
"""Measures what users cost on disk, and prints the tables of docs/scale.md: scripts/sizes.py [USERS]

It fills a database of its own, beside that of DATABASE_URL, with USERS (200,000 unless told) and what belongs to
them, and drops it. ./run services .venv/bin/python scripts/sizes.py
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "muster_sizes"
SIZES = (10**6, 10**7, 10**8)
# For each user: a phone and a laptop, one log-in in nine days, kept for a year, and two mails in a fortnight.
EACH = {
    "users": 1.0,
    "sessions": 2.0,
    "user_roles": 1.0,
    "known_places": 2.0,
    "outgoing_mail": 0.2,
    "token_blacklist_outstandingtoken": 0.2,
    "token_blacklist_blacklistedtoken": 0.2,
    "audit_events": 80.0,
}
MOST_EVENTS = 2_000_000  # rows tell their size long before that

FILL = {
    "users": """
        INSERT INTO users (id, password, email, email_key, username, first_name, middle_name, last_name, language,
            is_active, is_verified, is_staff, joined_by, password_contested, search_text, last_login, created_at)
        SELECT pg_temp.uuid7(n), 'bcrypt_sha256$$2b$12$' || substr(md5(n::text) || md5((n + 1)::text), 1, 53), a, a,
            'person' || n, 'Firstname', '', 'Lastname' || n % 5000, 'en', true, true, false, 'signup', false,
            concat_ws(E'\\n', a, 'person' || n, 'firstname', '', 'lastname' || n % 5000), now(),
            now() - n * '1 s'::interval
        FROM (SELECT n, 'firstname.lastname' || n || '@example.org' AS a FROM generate_series(1, {n}) n) made""",
    "sessions": """
        INSERT INTO sessions (id, user_id, gen, created_at, rotated_at, access_expires_at, refresh_expires_at,
            expires_at, last_used_at, ip, device, ended_by)
        SELECT pg_temp.uuid7(n), u.id, 1, now(), now(), now() + '5 min', now() + '14 d', now() + '30 d', now(),
            ('10.' || n % 200 || '.' || n % 251 || '.7')::inet, 'Firefox on Linux', ''
        FROM pg_temp.people u JOIN generate_series(1, {n}) n ON u.place = n % {users}""",
    "user_roles": """
        INSERT INTO user_roles (id, user_id, role_id, granted_at)
        SELECT pg_temp.uuid7(u.place), u.id, r.id, now() FROM pg_temp.people u JOIN roles r ON r.name = 'user'""",
    "known_places": """
        INSERT INTO known_places (user_id, network, device, last_at)
        SELECT u.id, '10.' || n % 200 || '.' || n % 251 || '.7/32', 'Firefox on Linux ' || n, now()
        FROM pg_temp.people u JOIN generate_series(1, {n}) n ON u.place = n % {users}""",
    "outgoing_mail": """
        INSERT INTO outgoing_mail (id, template, "to", language, user_id, challenge_id, with_code, context, state,
            attempts, next_try_at, created_at, sent_at, last_error)
        SELECT pg_temp.uuid7(n), 'verify', 'firstname.lastname' || n || '@example.org', 'en', u.id,
            pg_temp.uuid7(n), true, '{}', 'sent', 1, now(), now(), now(), ''
        FROM pg_temp.people u JOIN generate_series(1, {n}) n ON u.place = n""",
    "token_blacklist_outstandingtoken": """
        INSERT INTO token_blacklist_outstandingtoken (user_id, jti, token, created_at, expires_at)
        SELECT u.id, md5(n::text), '', now(), now()
        FROM pg_temp.people u JOIN generate_series(1, {n}) n ON u.place = n""",
    "token_blacklist_blacklistedtoken": """
        INSERT INTO token_blacklist_blacklistedtoken (token_id, blacklisted_at)
        SELECT id, now() FROM token_blacklist_outstandingtoken""",
    "audit_events": """
        INSERT INTO audit_events (id, at, actor_id, action, target_id, ip, request_id, details)
        SELECT pg_temp.uuid7(n), now() + n * '10 ms'::interval, u.id, 'session.started', u.id,
            ('10.' || n % 200 || '.' || n % 251 || '.7')::inet, md5(n::text),
            jsonb_build_object('session', pg_temp.uuid7(n), 'device', 'Firefox on Linux')
        FROM pg_temp.people u JOIN generate_series(1, {n}) n ON u.place = (n::bigint * 7919) % {users}""",
}
BEFORE = """
    CREATE FUNCTION pg_temp.uuid7(n bigint) RETURNS uuid LANGUAGE sql VOLATILE AS $$
        SELECT (lpad(to_hex(1770000000000 + n * 10), 12, '0') || '7' || substr(md5(random()::text), 1, 3) || '8'
            || substr(md5(random()::text), 1, 15))::uuid $$"""
PEOPLE = "CREATE TEMPORARY TABLE people AS SELECT id, row_number() OVER () - 1 AS place FROM users"
MEASURE = """
    SELECT reltuples::bigint, pg_relation_size(oid), pg_indexes_size(oid) FROM pg_class WHERE oid = %s::regclass"""
SOMEBODY = "(SELECT id FROM users OFFSET 1000 LIMIT 1)"
QUESTIONS = {
    "session and user by id, as in every request": """
        SELECT * FROM sessions s JOIN users u ON u.id = s.user_id
        WHERE s.id = (SELECT id FROM sessions OFFSET 1000 LIMIT 1)""",
    "whether somebody wrote in the last 20 s": f"""
        SELECT 1 FROM audit_events WHERE actor_id = {SOMEBODY} AND at > now() + '1 year' LIMIT 1""",
    "a page of one user's events": f"""
        SELECT * FROM audit_events WHERE actor_id = {SOMEBODY} ORDER BY at DESC, id DESC LIMIT 51""",
    "a page of users": "SELECT * FROM users ORDER BY created_at, id LIMIT 51",
    "a search that finds one": """
        SELECT * FROM users WHERE search_text LIKE '%lastname1234@%' ORDER BY created_at, id LIMIT 51""",
    "the number of users (`count=exact`)": "SELECT count(*) FROM users",
}


@contextmanager
def fresh_database(url: str) -> Iterator[str]:
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        try:
            yield urlsplit(url)._replace(path=f"/{DATABASE}").geturl()
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(DATABASE)))


def fill(connection: psycopg.Connection, users: int) -> None:
    connection.execute(BEFORE)
    for table, statement in FILL.items():
        rows = min(int(users * EACH[table]), MOST_EVENTS)
        connection.execute(statement.replace("{n}", str(rows)).replace("{users}", str(users)))
        if table == "users":
            connection.execute(PEOPLE)
    connection.execute("VACUUM ANALYZE")


def show_sizes(connection: psycopg.Connection) -> None:
    headings = ["table", "rows for a user", "bytes a row", "of them indexes", *(f"GB at {n:,} users" for n in SIZES)]
    print_row(headings)
    print_row(["---"] * len(headings))
    totals = [0.0] * len(SIZES)
    for table, each in EACH.items():
        rows, heap, indexes = connection.execute(MEASURE, [table]).fetchone() or (0, 0, 0)
        a_row = (heap + indexes) / rows
        gigabytes = [a_row * each * n / 1e9 for n in SIZES]
        totals = [total + more for total, more in zip(totals, gigabytes, strict=True)]
        print_row([f"`{table}`", f"{each:g}", f"{a_row:.0f}", f"{indexes / rows:.0f}", *map(as_size, gigabytes)])
    print_row(["together", "", "", "", *map(as_size, totals)])
    print()


def refresh_often(connection: psycopg.Connection) -> None:
    """A table that is written all the time is larger than one that was filled once."""
    for _ in range(5):
        connection.execute("UPDATE sessions SET gen = gen + 1, rotated_at = now(), refresh_expires_at = now() + '14 d'")
        connection.execute("VACUUM ANALYZE sessions")
    rows, heap, indexes = connection.execute(MEASURE, ["sessions"]).fetchone() or (0, 0, 0)
    print(f"A session that was refreshed five times, all at once: {(heap + indexes) / rows:.0f} bytes.\n")


def show_times(connection: psycopg.Connection, heading: str) -> None:
    print_row([heading, "ms"])
    print_row(["---"] * 2)
    for name, question in QUESTIONS.items():
        times = [explained(connection, question) for _ in range(5)]
        print_row([name, f"{sorted(times)[2]:.2f}"])
    print()


def explained(connection: psycopg.Connection, question: str) -> float:
    [(plan,)] = connection.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + question).fetchall()
    return float(plan[0]["Execution Time"])


def as_size(gigabytes: float) -> str:
    return f"{gigabytes:.1f}" if gigabytes < 100 else f"{gigabytes:,.0f}"


def print_row(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |")


def main(arguments: list[str]) -> None:
    users = int(arguments[0]) if arguments else 200_000
    with fresh_database(os.environ["DATABASE_URL"]) as url:
        migrate = [sys.executable, str(ROOT / "manage.py"), "migrate", "-v", "0"]
        subprocess.run(migrate, env={**os.environ, "DATABASE_URL": url}, cwd=ROOT, check=True)
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection, users)
            show_sizes(connection)
            refresh_often(connection)
            show_times(connection, f"{users:,} users")
            size = connection.execute("SELECT pg_relation_size('users_search')").fetchone() or (0,)
            print(f"Of them the index for `search`: {size[0] / users:.0f} bytes a user.")


if __name__ == "__main__":
    main(sys.argv[1:])
