"""The lines that the whole suite logs are searched for the secrets that it used."""

import logging
from collections.abc import Iterable
from typing import Any

from core.logs import formatter

SECRET_FIELDS = {"password", "new_password", "current_password", "refresh", "access", "token", "access_token"}
SHORTEST = 12  # anything shorter may stand in a line by chance

used: set[str] = set()


def note_secrets(data: Any) -> None:
    """Remember what must never be logged, from a body that was sent or answered."""
    if isinstance(data, dict):
        values = [value for name, value in data.items() if name in SECRET_FIELDS and isinstance(value, str)]
        used.update(value for value in values if len(value.strip()) >= SHORTEST)


class Lines(logging.Handler):
    """Keeps every line as production would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(formatter("json"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def leaks(lines: Iterable[str]) -> list[str]:
    text = "\n".join(lines)
    return [secret for secret in used if secret in text]
