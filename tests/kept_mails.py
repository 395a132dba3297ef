"""Mails that `EMAIL_URL=filemail:…` keeps as files, for tests that read them as a person would."""

import re
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

CODE = re.compile(r"^(\d{6})$", re.MULTILINE)
LINK = re.compile(r"https?://\S+\?token=\w+")


def messages_in(file: Path) -> Iterator[Any]:
    for part in re.split(rb"(?m)^-{70,}\n", file.read_bytes()):
        if part.strip():
            yield message_from_bytes(part.strip(), policy=policy.default)


def text_of(file: Path) -> str:
    bodies = (message.get_body(("plain",)) for message in messages_in(file))
    return "\n".join(str(body.get_content()) for body in bodies if body)


class Mailbox:
    """One person's. `code()` and `link()` are those of the next mail that was not read yet, and wait for it."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address
        self.read: set[Path] = set()

    def code(self) -> str:
        return self.next(CODE)

    def link(self) -> str:
        return self.next(LINK)

    def next(self, wanted: re.Pattern[str]) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for file in sorted(self.folder.glob("*"), key=lambda f: f.stat().st_mtime):
                if file not in self.read and self.address in [message["To"] for message in messages_in(file)]:
                    self.read.add(file)
                    if found := wanted.search(text_of(file)):
                        return found[found.re.groups]
            time.sleep(0.1)
        raise AssertionError(f"no such mail to {self.address}")
