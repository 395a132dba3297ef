"""An SMTP server that keeps what it is given, and waiting for what somebody else does."""

import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

CODE = re.compile(r"^(\d{6})\r?$", re.MULTILINE)


def eventually(question: Callable[[], Any], seconds: float = 20) -> Any:
    """The first answer that is not empty."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
    return answer


class SentMails:
    """For aiosmtpd's `Controller`."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append((envelope.rcpt_tos[0], envelope.content.decode()))
        return "250 OK"

    def codes(self) -> Counter[tuple[str, str]]:
        """How often each code came to each address."""
        found = [(to, CODE.search(text)) for to, text in list(self.mails)]
        return Counter((to, code.group(1)) for to, code in found if code)

    def code_for(self, address: str) -> str:
        return str(eventually(lambda: next((code for to, code in self.codes() if to == address), None), seconds=60))
