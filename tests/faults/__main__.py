"""`./run faults [NAMES]`: break each thing that Muster stands on, and see that what it promised holds.

  ./run faults            the whole matrix; writes docs/reliability.md
  ./run faults F5 F6      these alone; writes their rows
  ./run faults --short    those that CI runs, shorter where there is a shorter form
  ./run faults --check    with the others: write nothing, and fail where the table says something else
  ./run faults --list     what there is

Exit code 0 when all held, 1 when something broke or the table is not true.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.faults import clients, clocks, lifecycle, mails, races, report, scale, stores, wrong
from tests.faults.run import BROKEN, MATRIX, Fault, Outcome, Run, Skipped, place
from tests.faults.system import System

MODULES = (stores, mails, lifecycle, clocks, races, scale, clients, wrong)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./run faults", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--short", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--list", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    asked = parser.parse_args()
    names = sorted(MATRIX, key=place)
    if unknown := set(asked.names) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {' '.join(names)}")
    chosen = [MATRIX[name] for name in names if name in asked.names or not asked.names]
    if asked.short and not asked.names:
        chosen = [each for each in chosen if each.is_short]
    if asked.list:
        for each in chosen:
            say(f"{each.name:8}{each.title}")
        return 0
    tell = report.differences if asked.check else report.write
    outcomes, untrue = run_all(chosen, tell, is_short=asked.short, keep=asked.keep)
    broken = [name for name, outcome in outcomes.items() if outcome.verdict == BROKEN]
    for line in untrue:
        say(line)
    say(f"{len(outcomes) - len(broken)} of {len(outcomes)} held." + (f" Broken: {' '.join(broken)}" if broken else ""))
    return 1 if broken or untrue else 0


def run_all(
    chosen: list[Fault], tell: Callable[[dict[str, Outcome]], list[str]], *, is_short: bool, keep: bool
) -> tuple[dict[str, Outcome], list[str]]:
    """What came of each, told at once, so that a run that is cut short has not run for nothing."""
    outcomes: dict[str, Outcome] = {}
    untrue: set[str] = set()
    folder = Path(tempfile.mkdtemp(prefix="muster-faults-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user
    os.environ.pop("REDIS_URL", None)
    system = System(folder)
    try:
        say("Starting PostgreSQL, Redis, mail server, serve, worker and beat.")
        system.start()
        for each in chosen:
            outcomes[each.name] = run_one(system, each, is_short=is_short)
            untrue.update(tell({each.name: outcomes[each.name]}))
        return outcomes, sorted(untrue)
    finally:
        system.stop()
        if keep:
            say(f"Logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def run_one(system: System, fault: Fault, *, is_short: bool) -> Outcome:
    begun = time.monotonic()
    say(f"{fault.name:7} {fault.title} … ", end="")
    run = Run(system, is_short=is_short)
    try:
        fault.inject(run)
        outcome = run.judge()
    except Skipped as why:
        outcome = Outcome(f"not shown: {why}")
    except Exception:
        outcome = run.judge()
        outcome.verdict = BROKEN
        outcome.findings.append(traceback.format_exc(limit=-4))
    say(f"{outcome.verdict} ({time.monotonic() - begun:.0f} s, {report.figures(outcome)})")
    for finding in outcome.findings:
        say(f"        - {finding}")
    return outcome


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)


sys.exit(main())
