"""`./run bench`: what a request costs here and at peers, at the limits of the stack, and with more users; writes
docs/performance.md.

  (nothing)      both parts, for 45 minutes or so
  --peers        only the peers and the limits
  --growth       only Muster with 10⁴ to 10⁶ users, more sessions, more roles
  --quick        with short rounds, and growing by users only; both parts take at most ten minutes
  --report       measures nothing, writes the report of the latest run of each part
  --check        me, refresh and list against djoser; fails when one costs more than djoser's over 2, 5 and 3
                 twice, the second time over twice as many rounds
  --panel        the pages of the panel among a million users, into docs/scale.md; fails when one is too slow

Everything listens on loopback; what was started is ended by its process id, also after an error.
"""

import os
import signal
import sys

from bench import bars, panel, report, results
from bench.running import VENVS, Bench, Plan, sized
from bench.subjects import DJOSER, LIMITS, MUSTER, OPERATIONS, PEERS_AND_LIMITS, Size

BY_USERS = tuple(Size(users) for users in (bars.SMALL, 100_000, bars.LARGE))
GROWTH = (
    *BY_USERS,
    *(Size(100_000, sessions=sessions) for sessions in (4, 16)),
    *(Size(10_000, roles=roles) for roles in (10, 100)),
)
PARTS = ("peers", "growth")
KNOWN = {"--peers", "--growth", "--quick", "--report", "--check"}


def plan_of(part: str, is_quick: bool) -> Plan:
    if part == "peers":
        everyone = tuple((subject, Size(100_000)) for subject in PEERS_AND_LIMITS)
        rounds, seconds = (3, 1.0) if is_quick else (5, 5.0)
        return Plan(part, everyone, (*LIMITS.operations, *OPERATIONS), rounds, seconds, is_whole=True)
    everyone = tuple(sized(MUSTER, size) for size in (BY_USERS if is_quick else GROWTH))
    operations = tuple(operation for operation in OPERATIONS if operation != "mixed")
    rounds, seconds = (3, 0.7) if is_quick else (5, 3.0)
    return Plan(part, everyone, operations, rounds, seconds)


def check() -> int:
    """What is not held is measured once more, for longer: whatever else the machine did meanwhile must not fail it."""
    entrants = tuple((subject, Size(100_000)) for subject in (MUSTER, DJOSER))
    for rounds in (5, 10):
        run = measured(Plan("check", entrants, tuple(bars.AGAINST_DJOSER), rounds, seconds=2.0))
        verdicts = list(bars.of_check(run))
        for one in verdicts:
            print(f"{one.what}: {one.measured}, {one.bar}: {'held' if one.held else 'NOT HELD'}")
        if all(one.held for one in verdicts):
            return 0
    return 1


def measured(plan: Plan) -> results.Run:
    VENVS.mkdir(parents=True, exist_ok=True)
    return Bench(plan, os.environ["DATABASE_URL"], os.environ["REDIS_URL"]).run()


def main(arguments: list[str]) -> int:
    asked = set(arguments)
    if asked == {"--panel"}:
        return panel.main()
    if not asked <= KNOWN or ("--check" in asked and asked != {"--check"}):
        print(__doc__)
        return 2
    if "--check" in asked:
        return check()
    wanted = [part for part in PARTS if f"--{part}" in asked] or list(PARTS)
    for part in wanted if "--report" not in asked else ():
        results.save(part, measured(plan_of(part, "--quick" in asked)))
        report.write(results.load())
    report.write(results.load())
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
