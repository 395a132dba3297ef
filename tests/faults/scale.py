"""A million users."""

import time
from urllib.parse import parse_qs, quote, urlsplit

from tests.faults.client import Client
from tests.faults.clients import percentile
from tests.faults.run import Run, fault
from tests.faults.system import ADMIN, PASSWORD

FILL = """
INSERT INTO users (id, email, email_key, first_name, middle_name, last_name, language, is_active, is_verified, is_staff,
    joined_by, password_contested, search_text, password, created_at, updated_at)
SELECT gen_random_uuid(), 'u' || n || '@example.org', 'u' || n || '@example.org', 'Ada' || n % 977, '',
    'Lovelace' || n % 7919, 'en', true, true, false, 'sign_up', false,
    'u' || n || '@example.org' || E'\\n' || 'ada' || n % 977 || E'\\n' || 'lovelace' || n % 7919,
    '!', now() - n * interval '1 second', now()
FROM generate_series(1, {number}) AS n
"""


@fault(
    "F20",
    "A million users",
    "1,000,000 rows by `generate_series`; list, deep page, search, log-in, 40 times each",
    short=False,
)
def million(run: Run) -> None:
    number = 1_000_000
    postgresql = run.system.postgresql
    environment = run.system.environment(DATABASE_URL=postgresql.make("million"), REDIS_URL=run.system.redis.url(4))
    run.system.prepare(environment)
    postgresql.sql(FILL.format(number=number), database="million")
    postgresql.sql("VACUUM ANALYZE users", database="million")
    server = run.system.serve(DATABASE_URL=environment["DATABASE_URL"], REDIS_URL=environment["REDIS_URL"])
    admin = run.client(server.port)
    begun = time.monotonic()
    answer = admin.post("/auth/login", {"email": ADMIN, "password": PASSWORD})
    log_in = time.monotonic() - begun
    admin.token = answer.body["access"]
    deep, pages = walk(admin)
    asked = {
        "page 1": "/users",
        f"page {pages:,}": deep,
        "search": "/users?search=lovelace42",
        "search for nobody": "/users?search=nobody-is-called-so",
        "search by e-mail": "/users?search=u777777@",
    }
    seen = {what: [timed(run, admin, path) for _ in range(40)] for what, path in asked.items()}
    for what, times in seen.items():
        run.note(f"{what} p95 {percentile(times, 95) * 1000:.0f} ms")
    run.note(f"log-in {log_in * 1000:.0f} ms")
    server.stop()


def timed(run: Run, client: Client, path: str) -> float:
    answer = client.get(path)
    run.check(answer.status == 200, f"{answer.status} to {path}")
    return answer.seconds


def walk(client: Client) -> tuple[str, int]:
    """Page after page of 200 up to row 900,000, that is page 18,000 of the usual 50."""
    path, rows = "/users?page_size=200", 0
    while rows < 900_000:
        answer = client.get(path)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} at row {rows}")
        rows += len(answer.body["results"])
        cursor = parse_qs(urlsplit(answer.body["next"]).query)["cursor"][0]
        path = f"/users?page_size=200&cursor={quote(cursor)}"
    return path.replace("page_size=200&", ""), rows // 50
