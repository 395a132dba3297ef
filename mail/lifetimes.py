"""Lifetimes in words: "15 minutes", «24 часа»."""

from collections.abc import Callable

_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))

_ENGLISH = {unit: (unit, f"{unit}s") for unit, _ in _UNITS}
_RUSSIAN = {
    "day": ("день", "дня", "дней"),
    "hour": ("час", "часа", "часов"),
    "minute": ("минуту", "минуты", "минут"),
    "second": ("секунду", "секунды", "секунд"),
}


def lifetime(seconds: int, language: str) -> str:
    """Rounded down, in the largest unit of which there are at least two; never six digits in a row."""
    seconds = max(1, min(seconds, 99_999 * 86400))
    unit, length = next((u for u in _UNITS if seconds >= 2 * u[1]), _UNITS[-1])
    count = seconds // length
    return f"{count} {_WORDS.get(language, _english)(unit, count)}"


def _english(unit: str, count: int) -> str:
    return _ENGLISH[unit][count != 1]


def _russian(unit: str, count: int) -> str:
    one, few, many = _RUSSIAN[unit]
    if count % 100 in range(11, 15):
        return many
    return {1: one, 2: few, 3: few, 4: few}.get(count % 10, many)


_WORDS: dict[str, Callable[[str, int], str]] = {"en": _english, "ru": _russian}
