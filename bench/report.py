"""docs/performance.md and its charts, from what the latest runs have measured."""

import statistics
from collections.abc import Iterable
from pathlib import Path

from bench import bars, charts
from bench.limits_site import SELECTS
from bench.results import Measured, Run
from bench.subjects import OPERATIONS, ROOT

INTRODUCTION = """# Performance

Made by `./run bench`, which anybody can repeat. All runs on one machine, which others may have used as well.

**CPU milliseconds a request** are the user and system time of all processes of the server, and of PostgreSQL and
Redis, divided by the answers. They hold when a machine is busy; requests a second and latencies do not. Subjects take
turns, operation by operation and round by round; each figure is the median of the rounds, and behind ± half of what
lies between the lowest and the highest. PostgreSQL's autovacuum is off, since what it does for one would be counted at
whoever is measured then.

Muster checks at each request that the session still lives, writes its audit events and a line of log, and counts;
rate limits are off, at allauth too. Each connection uses one session, whose token a process verifies once and then
remembers; `me` and checks that come while the database is asked are asked together next time
([ADR 52](adr/0052-asked-together.md)), so a single connection pays more for each. allauth looks its session up each
time as well; djoser and fastapi-users read the user and know of no session: with them a token works until it expires.
Only Muster keeps a mail for who signs up; the others are set up to send none.

**list** is a page of 50; **deep** begins at nine tenths of the users, by cursor here and by number at djoser.
**search, few** looks for `lastname4321` (three in ten thousand users have it in their address or name), **search,
many** for `lastname43` (three in a hundred). Of **mixed** 80 % are `me`, 15 % refreshes, 5 % lists. Four log in or sign
up at once, everything else comes over eight connections.
"""

PEERS = """
## What a request costs

{machine}; {users:,} users each, bcrypt of cost 12 everywhere, 2 processes each,
{connections} connections, {rounds} rounds of {seconds:g} s.

![CPU milliseconds a request](performance.svg)

"""

LIMITS = """
## How far from the limits

Measured between the others, on granian as WSGI with 2 processes:

- a view that only writes JSON: {bare:.3f} ms; {bare_rate:.0f} a second
- a prepared `SELECT` by key on one psycopg connection: {select:.3f} ms with what it costs PostgreSQL
- a bcrypt hash of cost 12: {bcrypt:.0f} ms
- an argon2id hash of 19 MiB and two passes: {argon2:.1f} ms

Nobody on this stack answers below the bare view and one such select, or the hash.

"""

ARGON2 = """
With `PASSWORD_HASHER=argon2` a log-in costs {log_in:.1f} ms and a sign-up {sign_up:.1f} ms:
{times:.1f} log-ins for the price of one with bcrypt. {rate:.0f} a second were measured.
"""

GROWTH = """
## With more users, sessions and roles

{machine}; {connections} connections, {rounds} rounds of {seconds:g} s. Users grow with one session and one role each;
sessions at 100,000 users, roles at 10,000. Whoever asks has as many as everybody. An answer with a user names all of
that user's roles, so a hundred of them make it, and a page of fifty users, longer.

![CPU milliseconds a request, by size](growth.svg)

"""


def write(runs: dict[str, Run], docs: Path = ROOT / "docs") -> None:
    peers, growth = runs.get("peers"), runs.get("growth")
    text = INTRODUCTION + what_must_hold(peers, growth)
    if peers:
        (docs / "performance.svg").write_text(chart_of_peers(peers))
        text += of_peers(peers) + of_limits(peers)
    if growth:
        (docs / "growth.svg").write_text(chart_of_growth(growth))
        text += of_growth(growth)
    if peers:
        text += "\n## Versions\n\n" + "".join(
            f"- {one.name}: {one.versions or 'this tree'}\n" for one in peers.subjects if one.name != "limit"
        )
    (docs / "performance.md").write_text(text)


def what_must_hold(peers: Run | None, growth: Run | None) -> str:
    verdicts = [*(bars.of_peers(peers) if peers else ()), *(bars.of_growth(growth) if growth else ())]
    held = sum(one.held for one in verdicts)
    rows = [[one.what, one.bar, one.measured, "held" if one.held else "**not held**"] for one in verdicts]
    heading = f"\n## What must hold\n\n{held} of {len(verdicts)} hold.\n\n"
    return heading + table(["what", "bar", "measured", "verdict"], rows)


def of_peers(run: Run) -> str:
    compared = who_is_compared(run)
    names = [one.name for one in compared]
    text = PEERS.format(**vars(run), users=compared[0].size.users)
    text += table(
        ["CPU ms a request: server + stores", *names, "times djoser's"],
        [[name, *(cost(one, name) for one in compared), times_djoser(name, compared)] for name in OPERATIONS],
    )
    text += "\n## How fast it is\n\n" + table(
        ["requests a second, p50 and p99 in ms", *names],
        [[name, *(speed(one, name) for one in compared)] for name in OPERATIONS],
    )
    text += "\n## Everything else\n\n" + table(
        ["", *names],
        [
            ["p99 of `me` alone, ms", *(middle(one.me_p99_alone) for one in compared)],
            ["p99 of `me` while eight log in, ms", *(middle(one.me_p99_beside) for one in compared)],
            ["memory after that, MiB (PSS)", *(f"{one.memory:.0f}" for one in compared)],
            ["from start to the first answer, s", *(middle(one.start_seconds, 1) for one in compared)],
            ["turned away by a 503", *(str(turned_away(one)) for one in compared)],
        ],
    )
    return text


def of_limits(run: Run) -> str:
    muster, argon2, limit = (run.named(name) for name in ("muster", "muster, argon2id", "limit"))
    bare, select = limit.median("bare view"), limit.median("selects") / SELECTS
    bcrypt, argon2_hash = limit.median("bcrypt"), limit.median("argon2id")
    rate = limit.median("bare view", "rate")
    text = LIMITS.format(bare=bare, bare_rate=rate, select=select, bcrypt=bcrypt, argon2=argon2_hash)
    rows = []
    for who, operation, floor in (
        *((muster, name, bcrypt if name in ("log-in", "sign-up") else bare + select) for name in OPERATIONS),
        *((argon2, name, argon2_hash) for name in argon2.samples),
    ):
        what = operation if who is muster else f"{operation}, argon2id"
        value = who.median(operation)
        rows.append([what, f"{value:.2f}", f"{floor:.2f}", f"{value / floor:.2f}"])
    text += table(["operation", "CPU ms", "limit", "times the limit"], rows)
    return text + ARGON2.format(
        log_in=argon2.median("log-in"),
        sign_up=argon2.median("sign-up"),
        times=muster.median("log-in") / argon2.median("log-in"),
        rate=argon2.median("log-in", "rate"),
    )


def of_growth(run: Run) -> str:
    names = [f"{one.size.users:,}; {one.size.sessions}; {one.size.roles}" for one in run.subjects]
    return GROWTH.format(**vars(run)) + table(
        ["CPU ms: users; sessions; roles", *names],
        [
            [name, *(f"{one.median(name):.2f} ± {one.spread(name):.2f}" for one in run.subjects)]
            for name in run.subjects[0].samples
        ],
    )


def chart_of_peers(run: Run) -> str:
    compared = list(enumerate(who_is_compared(run)))
    panels = [
        (name, [(colour, one.name, one.median(name)) for colour, one in compared if name in one.samples])
        for name in OPERATIONS
    ]
    return charts.bars("CPU milliseconds a request", panels)


def chart_of_growth(run: Run) -> str:
    """One subject can be a point of several lines."""
    grown = {
        "users": [one for one in run.subjects if one.size.sessions == one.size.roles == 1],
        "sessions": [one for one in run.subjects if one.size.users == 100_000 and one.size.roles == 1],
        "roles": [one for one in run.subjects if one.size.users == 10_000 and one.size.sessions == 1],
    }
    grown = {what: points for what, points in grown.items() if len(points) > 1}
    legend = [f"{', '.join(f'{getattr(one.size, what):,}' for one in points)} {what}" for what, points in grown.items()]
    panels = [
        (name, [[one.median(name) for one in points] for points in grown.values()]) for name in run.subjects[0].samples
    ]
    return charts.lines("CPU milliseconds a request, by size", legend, panels)


def who_is_compared(run: Run) -> list[Measured]:
    """All with a `me` of their own: neither the limits nor Muster with another hash."""
    return [one for one in run.subjects if "me" in one.samples]


def table(headings: list[str], rows: Iterable[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def times_djoser(operation: str, compared: list[Measured]) -> str:
    ours, djoser = (next(one for one in compared if one.name == name) for name in ("muster", "djoser"))
    if operation not in djoser.samples:
        return "–"
    return f"{djoser.median(operation) / ours.median(operation):.1f}"


def cost(one: Measured, operation: str) -> str:
    if operation not in one.samples:
        return "–"
    server, stores = one.median(operation, "server"), one.median(operation, "stores")
    return f"{server:.2f} + {stores:.2f} ± {one.spread(operation):.2f}"


def speed(one: Measured, operation: str) -> str:
    if operation not in one.samples:
        return "–"
    rate, p50, p99 = (one.median(operation, value) for value in ("rate", "p50", "p99"))
    return f"{rate:.0f}; {p50:.0f}, {p99:.0f}"


def turned_away(one: Measured) -> int:
    return sum(sample.turned_away for samples in one.samples.values() for sample in samples)


def middle(values: list[float], digits: int = 0) -> str:
    return f"{statistics.median(values):.{digits}f}"
