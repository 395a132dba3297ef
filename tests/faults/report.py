"""docs/reliability.md: the table between its markers is written by the run itself."""

from pathlib import Path

from tests.faults.run import MATRIX, Outcome, place
from tests.serving import ROOT

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = (
    "| | fault | how it is injected | requests | answers | slowest | recovery | verdict | what was seen |\n"
    "|---|---|---|--:|---|--:|--:|---|---|\n"
)


def row(name: str, outcome: Outcome) -> str:
    fault = MATRIX[name]
    recovery = "–" if outcome.recovery is None else f"{outcome.recovery:.1f} s"
    requests = str(outcome.requests) if outcome.requests else "–"
    slowest = f"{outcome.slowest:.2f} s" if outcome.requests else "–"
    cells = [name, fault.title, fault.how, requests, answers(outcome) or "–", slowest, recovery, outcome.verdict]
    return f"| {' | '.join([*cells, outcome.shown.replace('|', '/') or '–'])} |"


def answers(outcome: Outcome) -> str:
    return ", ".join(f"{number} × {status}" for status, number in outcome.statuses.items())


def figures(outcome: Outcome) -> str:
    seen = [answers(outcome), f"slowest {outcome.slowest:.1f} s" if outcome.requests else ""]
    seen.append("" if outcome.recovery is None else f"recovered in {outcome.recovery:.1f} s")
    return "; ".join(part for part in [*seen, outcome.shown] if part)


def rows(page: Path = PAGE) -> dict[str, str]:
    """The rows that stand in the page, by name."""
    table = page.read_text().partition(BEGIN)[2].partition(END)[0]
    lines = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| |")]
    return {line.split("|")[1].strip(): line for line in lines}


def write(outcomes: dict[str, Outcome], page: Path = PAGE) -> list[str]:
    """Put the new rows in; nothing is untrue afterwards."""
    known = {name: line for name, line in rows(page).items() if name in MATRIX}
    known |= {name: row(name, outcome) for name, outcome in outcomes.items()}
    table = HEAD + "\n".join(known[name] for name in sorted(known, key=place))
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")
    return []


def differences(outcomes: dict[str, Outcome], page: Path = PAGE) -> list[str]:
    """Where the page has other faults than there are, or another verdict than was found just now."""
    known = rows(page)
    found = [f"docs/reliability.md has no row {name}." for name in MATRIX if name not in known]
    found += [f"docs/reliability.md has a row {name}, which is no fault." for name in known if name not in MATRIX]
    for name, outcome in outcomes.items():
        cells = [cell.strip() for cell in known.get(name, "").split("|")]
        if len(cells) > 8 and (cells[3], cells[8]) != (MATRIX[name].how, outcome.verdict):
            found.append(
                f"docs/reliability.md says {cells[8]!r} about {name}; it is {outcome.verdict!r}, or how differs."
            )
    return found
