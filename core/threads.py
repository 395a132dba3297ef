"""A few threads, and the line of what waits for one. What is left of `ThreadPoolExecutor` without futures, whose locks
and wake-ups cost more than a short request should. Figures: docs/adr/0046-hand-over.md."""

import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Generic, Protocol, TypeVar

from core.outcome import log


class Waiting(Protocol):
    since: float
    """By `time.monotonic()`."""


W = TypeVar("W", bound=Waiting)


class Threads(Generic[W]):
    """Runs what it is given, in the order of its coming, by at most so many threads, begun as they are needed.

    Whichever rested last works next: its connection to the database was used a moment ago. `run` must not raise. It is
    given up to `together` of what waits; nothing waits for others to come.
    """

    def __init__(self, name: str, most: int, run: Callable[[list[W]], None], *, together: int = 1) -> None:
        self.name, self.most, self.run, self.together = name, most, run, together
        self.lock = Lock()
        self.begun = 0
        self.resting: list[SimpleQueue[list[W]]] = []
        self.line: deque[W] = deque()
        self.is_watched = False

    def take(self, work: W) -> bool:
        """True when it has to wait and nobody watches the line: then call `late` in time."""
        with self.lock:
            inbox = self.resting.pop() if self.resting else self.begin()
            if inbox is None:
                self.line.append(work)
                was_watched, self.is_watched = self.is_watched, True
                return not was_watched
        inbox.put([work])
        return False

    def begin(self) -> "SimpleQueue[list[W]] | None":
        """One thread more, if there may be. Where the system gives none, those that we have must do."""
        if self.begun == self.most:
            return None
        inbox: SimpleQueue[list[W]] = SimpleQueue()
        try:
            Thread(target=self.serve, args=[inbox], name=f"{self.name}-{self.begun + 1}", daemon=True).start()
        except RuntimeError as error:
            log.error("threads.too_few", threads=self.name, begun=self.begun, error=str(error))
            return None
        self.begun += 1
        return inbox

    def late(self, seconds: float) -> tuple[list[W], float | None]:
        """What has waited for so long, taken out of the line so that it never begins; and after how many seconds to
        ask again, None when nothing waits."""
        now, found = time.monotonic(), []
        with self.lock:
            while self.line and self.line[0].since + seconds <= now:
                found.append(self.line.popleft())
            self.is_watched = bool(self.line)
            return found, self.line[0].since + seconds - now if self.line else None

    def serve(self, inbox: "SimpleQueue[list[W]]") -> None:
        works = inbox.get()
        while True:
            self.run(works)
            del works  # a thread that rests keeps no body in memory
            with self.lock:
                following = [self.line.popleft() for _ in range(min(self.together, len(self.line)))]
                if not following:
                    self.resting.append(inbox)
            works = following or inbox.get()
