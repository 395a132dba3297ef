"""docs/performance.md and its chart, from what a run has measured."""

import statistics
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

COLOURS = ("#2563eb", "#d97706", "#059669", "#7c3aed")
INTRODUCTION = """# Performance

Made by `./run bench`, which anybody can repeat: {machine}; {users:,} users each, bcrypt of cost 12 everywhere,
{workers} processes each, {connections} connections, {rounds} rounds of {seconds:g} s, interleaved. All on one machine,
which others may have used as well.

**CPU milliseconds a request** are the user and system time of all processes of the server, and of PostgreSQL and
Redis, divided by the answers. They hold when a machine is busy; requests a second and latencies do not. Each figure
is the median of the rounds, and behind ± half of what lies between the lowest and the highest.

Muster checks at each request that the session still lives, writes a line of log and counts it; rate limits are off.
Each connection uses one session, whose token a process verifies once and then remembers. djoser and fastapi-users
check no session: with them a token works until it expires.

A log-in takes a quarter of a second of a core, so a short round holds only a few, and what PostgreSQL does by itself
meanwhile (vacuum) is divided among them: take that row for the server's part only.
"""


def write(docs: Path, everyone: list[Any], plan: Any, machine: str) -> None:
    text = INTRODUCTION.format(
        machine=machine,
        users=plan.users,
        workers=2,
        connections=len(everyone[0].pairs),
        rounds=plan.rounds,
        seconds=plan.seconds,
    )
    (docs / "performance.svg").write_text(chart(everyone, plan.operations))
    text += "\n![CPU milliseconds a request](performance.svg)\n\n## What a request costs\n\n"
    text += table(
        ["CPU ms a request: server + stores", *(one.subject.name for one in everyone), "times djoser's"],
        [cost_row(operation, everyone) for operation in plan.operations],
    )
    text += "\n## How fast it is\n\n" + table(
        ["requests a second, p50 and p99 in ms", *(one.subject.name for one in everyone)],
        [[operation, *(speed(one, operation) for one in everyone)] for operation in plan.operations],
    )
    text += "\n## Everything else\n\n" + table(
        ["", *(one.subject.name for one in everyone)],
        [
            ["p99 of `me` alone, ms", *(f"{one.me_p99['alone']:.0f}" for one in everyone)],
            ["p99 of `me` while eight log in, ms", *(f"{one.me_p99['while others log in']:.0f}" for one in everyone)],
            ["memory after that, MiB (PSS)", *(f"{one.memory:.0f}" for one in everyone)],
            ["from start to the first answer, s", *(f"{one.start_seconds:.1f}" for one in everyone)],
        ],
    )
    text += "\n## Versions\n\n" + "".join(
        f"- {one.subject.name}: {one.subject.versions() or 'this tree'}\n" for one in everyone
    )
    (docs / "performance.md").write_text(text)


def table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cost_row(operation: str, everyone: list[Any]) -> list[str]:
    costs = {one.subject.name: median(one, operation) for one in everyone}
    ours, djoser = costs.get("muster"), costs.get("djoser")
    return [
        operation,
        *(cost(one, operation) for one in everyone),
        f"{djoser / ours:.1f}" if ours and djoser else "–",
    ]


def median(one: Any, operation: str) -> float | None:
    samples = one.samples.get(operation)
    return statistics.median(sample.cpu for sample in samples) if samples else None


def cost(one: Any, operation: str) -> str:
    samples = one.samples.get(operation)
    if not samples:
        return "–"
    server, stores = (statistics.median(getattr(s, name) for s in samples) for name in ("server", "stores"))
    spread = (max(s.cpu for s in samples) - min(s.cpu for s in samples)) / 2
    return f"{server:.2f} + {stores:.2f} ± {spread:.2f}"


def speed(one: Any, operation: str) -> str:
    samples = one.samples.get(operation)
    if not samples:
        return "–"
    rate, p50, p99 = (statistics.median(getattr(s, name) for s in samples) for name in ("rate", "p50", "p99"))
    return f"{rate:.0f}; {p50:.0f}, {p99:.0f}"


def chart(everyone: list[Any], operations: tuple[str, ...]) -> str:
    """Bars of CPU milliseconds, one panel for each operation, since a log-in costs a hundred times the rest."""
    width, row, left = 720, 18, 150
    parts, y = [], 10
    for operation in operations:
        able = [(index, one, median(one, operation)) for index, one in enumerate(everyone)]
        most = max(value for _, _, value in able if value)
        parts.append(f'<text x="0" y="{y + 14}" font-weight="bold">{escape(operation)}</text>')
        for index, one, value in able:
            if not value:
                continue
            length = (width - left - 90) * value / most
            parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(one.subject.name)}</text>')
            parts.append(
                f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="{row - 4}" fill="{COLOURS[index]}"/>'
                f'<text x="{left + length + 6:.1f}" y="{y + 13}">{value:.2f} ms</text>'
            )
            y += row
        y += 12
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" font-family="sans-serif" font-size="12">\n'
        f'<title>CPU milliseconds a request</title>\n<rect width="{width}" height="{y}" fill="#fff"/>\n{body}\n</svg>\n'
    )
