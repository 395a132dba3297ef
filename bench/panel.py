"""`./run bench --panel`: every list, filter, order, search and person's page of the panel among a million users.

Each page is opened in this process through Django's client. What it takes is the CPU time of the process, which holds
when a machine is busy, and the wait for the database. Fails when the median of five takes more than PAGE, or its
slowest query more than QUERY.
"""

import os
import platform
import secrets
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from bench.million import fill
from bench.panel_pages import ADMIN, Page, pages
from bench.scripts import PASSWORD
from bench.subjects import ROOT

USERS, TIMES = 1_000_000, 5
PAGE, QUERY = 300.0, 100.0  # ms
SCALE = ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- made by ./run bench --panel -->\n", "<!-- end of what it made -->\n"


@dataclass
class Seen:
    """In ms; `first` before anything was kept in memory for this page, the others the median of those after."""

    page: Page
    first: float
    time: float
    query: float
    sql: str

    @property
    def is_slow(self) -> bool:
        return self.time > PAGE or self.query > QUERY


class Clock:
    """Measures the queries of a page, in ms."""

    def __init__(self) -> None:
        self.total, self.slowest, self.sql = 0.0, 0.0, ""

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        begun = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            took = (time.perf_counter() - begun) * 1000
            self.total += took
            if took > self.slowest:
                self.slowest, self.sql = took, sql


def main() -> int:
    url = make_database(os.environ["DATABASE_URL"], USERS)
    start_django(url)
    seen = [measured for page in pages() for measured in [measure(page)] if tell(measured)]
    slow = [one for one in seen if one.is_slow]
    write(seen)
    for one in slow:
        print(f"bench: too slow: {one.page.group}, {one.page.name}: {one.time:.0f} ms, of them {one.query:.0f} for")
        print(f"  {one.sql}")
    print(f"{len(seen)} pages, {len(slow)} of them too slow")
    return 1 if slow else 0


def make_database(server_url: str, users: int) -> str:
    url = urlsplit(server_url)._replace(path="/bench_panel").geturl()
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute("CREATE DATABASE bench_panel")
    environment = {**os.environ, "DATABASE_URL": url, "SECRET_KEY": secrets.token_hex(32)}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=environment, check=True)
    fill(url, users)
    return url


def start_django(url: str) -> None:
    os.environ |= {"DATABASE_URL": url, "SECRET_KEY": secrets.token_hex(32), "PUBLIC_URL": "http://127.0.0.1:8000"}
    os.environ |= {
        "RATE_LIMITS": "off",
        "ACCESS_TOKEN_SECONDS": "3600",
        "EMAIL_URL": "dummymail://",
        "DEBUG": "false",
        "LOG_LEVEL": "ERROR",
    }
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()


# --- What they take ----------------------------------------------------------------------------------------------


def measure(page: Page) -> Seen:
    client = staff_client()
    for _ in range(page.looks_before):
        ask(client, page)
    first, *others = [ask(client, page) for _ in range(1 + TIMES)]
    query = statistics.median(clock.slowest for _took, clock in others)
    return Seen(page, first[0], statistics.median(took for took, _clock in others), query, others[-1][1].sql)


def ask(client: Any, page: Page) -> tuple[float, Clock]:
    from django.db import connection

    clock, begun = Clock(), time.process_time()
    with connection.execute_wrapper(clock):
        answer = client.get(page.path, headers=client.headers_ if page.path.startswith("/api/") else {})
    took = (time.process_time() - begun) * 1000 + clock.total
    if answer.status_code != 200:
        raise SystemExit(f"bench: {page.path} answers {answer.status_code}")
    return took, clock


def staff_client(known: list[Any] = []) -> Any:  # noqa: B006 - signs in once
    from django.test import Client

    if not known:
        client = Client(HTTP_HOST="127.0.0.1", REMOTE_ADDR="192.0.2.1")
        sent = {"username": ADMIN, "password": PASSWORD, "next": "/admin/"}
        if client.post("/admin/login/?next=/admin/", sent).status_code != 302:
            raise SystemExit("bench: the panel does not let its administrator in")
        got = client.post("/api/v1/auth/login", {"email": ADMIN, "password": PASSWORD}, "application/json").json()
        client.headers_ = {"Authorization": f"Bearer {got['access']}"}  # type: ignore[attr-defined]
        known.append(client)
    return known[0]


# --- What is told ------------------------------------------------------------------------------------------------


def tell(one: Seen) -> bool:
    mark = "SLOW" if one.is_slow else ""
    print(f"{one.first:6.0f} {one.time:6.0f} {one.query:6.1f} {mark:4} {one.page.group}: {one.page.name}", flush=True)
    return True


def write(seen: list[Seen], file: Path = SCALE) -> None:
    """Into the document, in the place of what an earlier run has written there."""
    before, begin, rest = file.read_text().partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"bench: {file.name} has lost the place for this table")
    file.write_text(before + BEGIN + table(seen) + END + after)


def table(seen: list[Seen]) -> str:
    lines = [
        "| | pages | median, ms | slowest, ms | slowest the first time | slowest query, ms | which was |",
        "|---|---|---|---|---|---|---|",
    ]
    for group, ones in groupby(seen, key=lambda one: one.page.group):
        each = list(ones)
        slowest = max(each, key=lambda one: one.query)
        times = [one.time for one in each]
        lines.append(
            f"| {group} | {len(each)} | {statistics.median(times):.0f} | {max(times):.0f} |"
            f" {max(one.first for one in each):.0f} | {slowest.query:.0f} | {slowest.page.name or '–'} |"
        )
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    return "\n".join([*lines, "", f"{len(seen)} pages, each five times after a first; {machine}.", ""])
