"""What must hold, as ratios of medians in one run, and whether it does."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from bench.results import Measured, Run

# `--check` fails when CPU milliseconds a request exceed djoser's of the same run, divided by these.
AGAINST_DJOSER = {"me": 2.0, "refresh": 5.0, "list": 3.0}

SMALL, LARGE = 10_000, 1_000_000


@dataclass(frozen=True)
class Verdict:
    what: str
    bar: str
    measured: str
    held: bool


def at_least(what: str, bar: float, value: float, unit: str) -> Verdict:
    return Verdict(what, f"at least {bar:g} {unit}", f"{value:.2f}", value >= bar)


def at_most(what: str, bar: float, value: float, unit: str) -> Verdict:
    return Verdict(what, f"at most {bar:g} {unit}", f"{value:.2f}", value <= bar)


def of_peers(run: Run) -> Iterator[Verdict]:
    muster, djoser, limit = (run.named(name) for name in ("muster", "djoser", "limit"))
    for peer, bar in (("djoser", 2.5), ("fastapi-users", 3.3), ("allauth headless", 6.0)):
        value = run.named(peer).median("me") / muster.median("me")
        yield at_least("`me`, its session looked up each time", bar, value, f"× the requests a CPU second of {peer}")
    value = djoser.median("me") / muster.median("permission check")
    yield at_least("permission check", 2.0, value, "× those of djoser's `me`")
    value = djoser.median("refresh") / muster.median("refresh")
    yield at_least("refresh with rotation", 7.0, value, "× those of djoser's")
    for operation in ("log-in", "sign-up"):
        value = limit.median("bcrypt") / muster.median(operation)
        yield at_least(operation, 0.97, value, "of what the hash alone allows")
    beside, alone = (statistics.median(values) for values in (muster.me_p99_beside, muster.me_p99_alone))
    yield at_most("p99 of `me` while log-ins saturate their lane", 3.0, beside / alone, "× its p99 alone")
    yield at_most("memory of two processes after the load", 150.0, muster.memory, "MiB (PSS)")
    yield at_most("from start to the first answer", 2.0, statistics.median(muster.start_seconds), "s")


def of_growth(run: Run) -> Iterator[Verdict]:
    small, large = by_users(run, SMALL), by_users(run, LARGE)
    if not small or not large:
        return
    first, deep = large.median("list"), large.median("list, deep")
    share = max(first, deep) / min(first, deep)
    yield at_most("list among 10⁶, page 18,000 against page 1, the dearer one", 1.2, share, "× the other")
    yield at_most("list among 10⁶, page 1", 5.0, first, "ms of CPU")
    yield at_most("list among 10⁶, page 18,000", 5.0, deep, "ms of CPU")
    yield at_most("search among 10⁶ that hits few", 10.0, large.median("search, few"), "ms of CPU")
    yield at_most("search among 10⁶ that hits many", 30.0, large.median("search, many"), "ms of CPU")
    for operation in large.samples:
        if not operation.startswith("search"):
            value = large.median(operation) / small.median(operation)
            yield at_most(f"{operation} at 10⁶ users", 1.2, value, "× its cost at 10⁴")


def by_users(run: Run, users: int) -> Measured | None:
    """Whoever has so many, with one session and one role each."""
    same = (one for one in run.subjects if (one.size.users, one.size.sessions, one.size.roles) == (users, 1, 1))
    return next(same, None)


def of_check(run: Run) -> Iterator[Verdict]:
    muster, djoser = run.named("muster"), run.named("djoser")
    for operation, bar in AGAINST_DJOSER.items():
        value = djoser.median(operation) / muster.median(operation)
        yield at_least(operation, bar, value, "× djoser's requests a CPU second")
