"""The charts of the report, as SVG. What is infinite is left out."""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

COLOURS = ("#2563eb", "#d97706", "#059669", "#7c3aed")
WIDTH = 720


def bars(title: str, panels: Sequence[tuple[str, Sequence[tuple[int, str, float]]]]) -> str:
    """A panel for each operation, of (colour, who, milliseconds), since a log-in costs a hundred times the rest."""
    row, left, y, parts = 18, 190, 10, []
    for heading, found in panels:
        values = [one for one in found if math.isfinite(one[2])]
        most = max((value for _, _, value in values), default=0)
        parts.append(f'<text x="0" y="{y + 14}" font-weight="bold">{escape(heading)}</text>')
        for colour, who, value in values:
            length = (WIDTH - left - 90) * value / most
            parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(who)}</text>')
            parts.append(
                f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="{row - 4}" fill="{COLOURS[colour]}"/>'
                f'<text x="{left + length + 6:.1f}" y="{y + 13}">{value:.2f} ms</text>'
            )
            y += row
        y += 12
    return document(title, y, parts)


def lines(title: str, series: Sequence[str], panels: Sequence[tuple[str, Sequence[Sequence[float]]]]) -> str:
    """Three panels a row, each with a line of a few points for each series, from zero on."""
    width, height, gap, top, parts = 216, 100, 36, 40, []
    for index, name in enumerate(series):
        x = 8 + index * 240
        parts.append(f'<rect x="{x}" y="8" width="12" height="12" fill="{COLOURS[index]}"/>')
        parts.append(f'<text x="{x + 18}" y="18">{escape(name)}</text>')
    for index, (heading, values) in enumerate(panels):
        x, y = 8 + (index % 3) * (width + gap // 2), top + (index // 3) * (height + gap)
        most = max((value for one in values for value in one if math.isfinite(value)), default=1)
        parts.append(f'<text x="{x}" y="{y + 12}"><tspan font-weight="bold">{escape(heading)}</tspan>')
        parts.append(f'<tspan fill="#666"> to {most:.1f} ms</tspan></text>')
        floor = y + height
        parts.append(f'<path d="M{x} {floor}h{width}" stroke="#999" fill="none"/>')
        for colour, one in enumerate(values):
            points = [
                (x + 8 + at * (width - 16) / (len(one) - 1), floor - (height - 24) * value / most)
                for at, value in enumerate(one)
                if math.isfinite(value)
            ]
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
            parts.append(f'<polyline points="{path}" stroke="{COLOURS[colour]}" stroke-width="2" fill="none"/>')
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{COLOURS[colour]}"/>' for a, b in points]
    rows = (len(panels) + 2) // 3
    return document(title, top + rows * (height + gap), parts)


def document(title: str, height: int, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12">\n<title>{escape(title)}</title>\n<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n'
        f"{body}\n</svg>\n"
    )
