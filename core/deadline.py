"""How long the request at hand may still take: each is answered in time, whatever hangs.

Only requests have one. Outside of them, in commands and tasks, nothing is cut short.
"""

import threading
import time

REQUEST_SECONDS = 9.0  # from its arrival; clients count on ten

_mine = threading.local()


def begin(arrived: float) -> None:
    """`arrived` by `time.monotonic()`, before the request waited for a thread."""
    _mine.end = arrived + REQUEST_SECONDS


def end() -> None:
    _mine.end = None


def seconds_left(most: float) -> float | None:
    """At most `most`, and never less than a moment; None outside of requests."""
    end = getattr(_mine, "end", None)
    return None if end is None else max(0.1, min(most, end - time.monotonic()))
