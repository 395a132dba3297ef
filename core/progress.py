"""How far a command has come: a bar on a terminal, now and then a line anywhere else."""

import time
from typing import Any

WIDTH = 30
SECONDS = 10.0  # between two lines


class Progress:
    """`out` is a stream, as a command's `stderr`."""

    def __init__(self, out: Any, what: str) -> None:
        self.out, self.what = out, what
        self.is_terminal = bool(getattr(out, "isatty", lambda: False)())
        self.started = self.told = time.monotonic()

    def tell(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self.told < (0.1 if self.is_terminal else SECONDS):
            return
        self.told = now
        line = f"{self.what}: {done:,}" + (f" of about {total:,}" if total else "")
        if not self.is_terminal:
            self.out.write(f"{line}\n")
            return
        share = min(1.0, done / total) if total else 0.0
        bar = "#" * int(share * WIDTH)
        rate = done / max(0.001, now - self.started)
        self.out.write(f"\r[{bar:<{WIDTH}}] {share:4.0%}  {line}, {rate:,.0f}/s \x1b[K", ending="")
        self.out.flush()

    def end(self) -> None:
        if self.is_terminal:
            self.out.write("\r\x1b[K", ending="")
