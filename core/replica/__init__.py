"""A streaming replica, when there is one: it may answer lists, and never decides anything. docs/adr/0027-replica.md

Only `read` sends a question there. How fresh it is, a thread of each process finds out: every second it notes how
far the primary's log has come, then how far the replica has replayed it. Positions in the log are compared, never
clocks, so an idle primary makes nobody look late, and a replica that lost its primary shows.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, Error, connections

from core import metrics
from core.outcome import log

T = TypeVar("T")
REPLICA = "replica"
OLDEST = 5.0  # seconds that an answer of the replica may be behind
PAUSE = 1.0  # between two looks
NEVER = float("-inf")

PRIMARY_POSITION = "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')"
# Null once somebody has promoted it: then it follows nobody.
REPLICA_POSITION = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0') END"


def is_configured() -> bool:
    return REPLICA in connections


def read(request: Any, question: Callable[[str], T]) -> T:
    """What `question(alias)` answers: on the replica if that is fresh enough for this caller, else on the primary.

    It is asked again on the primary when the replica fails, whatever the reason, so nobody is told of it.
    """
    if is_configured() and watch.state() == "ok" and not has_just_written(request):
        answer = _ask_replica(question)
        if answer is not None:
            metrics.LISTS.labels("replica").inc()
            return answer[0]
    metrics.LISTS.labels("primary").inc()
    return question(DEFAULT_DB_ALIAS)


def read_behind(question: Callable[[str], T]) -> T:
    """Likewise, for whoever may miss what was written in the last seconds, as an export may."""
    answer = _ask_replica(question) if is_configured() and watch.state() == "ok" else None
    return question(DEFAULT_DB_ALIAS) if answer is None else answer[0]


def _ask_replica(question: Callable[[str], T]) -> tuple[T] | None:
    """None when it failed."""
    try:
        return (question(REPLICA),)
    except Error as error:
        connections[REPLICA].close()
        watch.distrust(error)
        return None


def has_just_written(request: Any) -> bool:
    """Whether the caller may miss a change of their own. Who has no session that could tell reads from the primary."""
    session = getattr(request, "auth", None)
    return session is None or bool(session.has_just_written())


class Watch:
    """What this process knows about the replica. A thread of its own looks, so that no request ever waits for it."""

    def __init__(self) -> None:
        self.beginning = threading.Lock()
        self.has_begun = False
        self.positions: deque[tuple[float, Decimal]] = deque(maxlen=10)
        self.complete_until = NEVER  # when the primary stood where the replica has come to, by our monotonic clock
        self.is_away = True

    def state(self) -> str:
        self.begin()
        is_late = time.monotonic() - self.complete_until > OLDEST
        return "away" if self.is_away else "behind" if is_late else "ok"

    def distrust(self, error: Error) -> None:
        """Until the next look that succeeds."""
        self.complete_until = NEVER
        log.warning("replica.failed", error=type(error).__name__)

    def begin(self) -> None:
        with self.beginning:
            if not self.has_begun:
                threading.Thread(target=self.run, name="replica", daemon=True).start()
            self.has_begun = True

    def run(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:
                self.note(is_away=True, error=type(error).__name__)
                connections.close_all()
            else:
                self.note(is_away=False)
            time.sleep(PAUSE)

    def look(self) -> None:
        started = time.monotonic()
        self.positions.append((started, _ask(DEFAULT_DB_ALIAS, PRIMARY_POSITION)))
        reached = _ask(REPLICA, REPLICA_POSITION)
        if reached is None:
            raise NotFollowing
        passed = [moment for moment, position in self.positions if position <= reached]
        self.complete_until = max(passed, default=NEVER)

    def note(self, is_away: bool, **details: str) -> None:
        if is_away != self.is_away:
            log.warning("replica.away" if is_away else "replica.back", **details)
        self.is_away = is_away


class NotFollowing(Exception):
    """The server at DATABASE_REPLICA_URL is no replica (any more)."""


watch = Watch()


def _ask(alias: str, question: str) -> Any:
    with connections[alias].cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]
