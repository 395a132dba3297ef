"""One fault: the people who work meanwhile, when it was on, and the verdict."""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.faults.client import Answer, Client, Record
from tests.faults.journal import Journal, Person, Probe
from tests.faults.system import ADMIN, PASSWORD, System

RECOVERY = 5.0  # seconds after the fault in which the service may still refuse

HELD, BROKEN = "held", "BROKEN"


@dataclass
class Fault:
    """One row of the matrix. `how` says what is done, as the table prints it."""

    name: str
    title: str
    how: str
    inject: Callable[["Run"], None]
    is_short: bool
    """Whether CI runs it each time."""


MATRIX: dict[str, Fault] = {}


def fault(name: str, title: str, how: str, short: bool = True) -> Callable[..., Any]:
    def register(inject: Callable[["Run"], None]) -> Callable[["Run"], None]:
        MATRIX[name] = Fault(name, title, how, inject, short)
        return inject

    return register


def place(name: str) -> tuple[int, str]:
    """F2, F2b, F10, and last what is no fault of the matrix."""
    digits = "".join(letter for letter in name if letter.isdecimal())
    return (int(digits) if digits else 1000, name)


class Skipped(Exception):
    """This fault cannot be shown here; the reason goes into the table."""


@dataclass
class Outcome:
    verdict: str
    requests: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0
    recovery: float | None = None
    shown: str = ""
    findings: list[str] = field(default_factory=list)


class Run:
    def __init__(self, system: System, *, is_short: bool) -> None:
        self.system, self.is_short = system, is_short
        self.record = Record()
        self.findings: list[str] = []
        self.notes: list[str] = []
        self.recovery: float | None = None
        self.may_cut = False  # whether the fault kills processes, so that some answers never come
        self.windows: list[tuple[float, float]] = []  # in which 503 is allowed
        self.unready: list[tuple[float, float]] = []  # in which it is to /readyz
        self.tally: Counter[str] = Counter()  # answers that are counted only, where there are too many to keep
        self.longest = 0.0
        self.admin = Client(Record(), system.server.port)

    # --- What a fault does -----------------------------------------------------------------------------------------

    def check(self, is_so: object, what: str) -> None:
        if not is_so:
            self.findings.append(what)

    def note(self, what: str) -> None:
        self.notes.append(what)

    def client(self, *ports: int, **rest: Any) -> Client:
        return Client(self.record, *(ports or (self.system.server.port,)), **rest)

    def sign_in_admin(self) -> Client:
        if not self.admin.token:
            answer = self.admin.post("/auth/login", {"email": ADMIN, "password": PASSWORD})
            self.admin.token = answer.body["access"]
        return self.admin

    def new_person(self) -> str:
        """The address of somebody new, verified."""
        email = f"p{secrets.token_hex(8)}@example.org"
        body = {"email": email, "password": PASSWORD, "is_verified": True}
        made = self.sign_in_admin().post("/users", body)
        if made.status != 201:
            raise RuntimeError(f"cannot make a person: {made.status} {made.body}")
        return email

    def log_in(self, email: str, *ports: int) -> tuple[Client, Any]:
        """Somebody signed in, and the answer that they got."""
        client = self.client(*ports)
        answer = client.post("/auth/login", {"email": email, "password": PASSWORD})
        if answer.status != 200:
            raise RuntimeError(f"cannot log in: {answer.status} {answer.body}")
        client.token = answer.body["access"]
        return client, answer.body

    @contextmanager
    def load(
        self,
        people: int = 6,
        readers: int = 0,
        ports: list[list[int]] | None = None,
        query: Any = None,
        mark: str = "%s",
    ) -> Iterator[list[Person]]:
        """People at work, probes beside them, and the journal in the end."""
        ports, since = ports or [[self.system.server.port]], len(self.record.answers)
        crowd = [
            Person(self.record, self.new_person(), *ports[n % len(ports)], is_reader=n >= people)
            for n in range(people + readers)
        ]
        with self.at_work(crowd), self.probed(ports[0][0]):
            yield crowd
        journal = Journal(crowd, query or self.system.postgresql.sql, self.client(*ports[0]), mark, since)
        self.note(journal.check())
        self.findings += journal.findings

    @contextmanager
    def at_work(self, crowd: list[Person]) -> Iterator[None]:
        for person in crowd:
            person.log_in()
        for person in crowd:
            person.start()
        self.calm(1.5)
        try:
            yield
        finally:
            self.calm(RECOVERY + 2)
            for person in crowd:
                person.stopping.set()
            for person in crowd:
                person.join(40)

    @contextmanager
    def probed(self, port: int) -> Iterator[None]:
        """/healthz is 200 all the while; /readyz is heard by `fault`."""
        self.health, self.ready = Probe(self.record, port, "/healthz"), Probe(self.record, port, "/readyz")
        for probe in (self.health, self.ready):
            probe.start()
        try:
            yield
        finally:
            for probe in (self.health, self.ready):
                probe.stopping.set()
                probe.join(40)
            bad = [answer for answer in self.health.answers if answer.status != 200]
            if not self.may_cut:
                self.check(not bad, f"/healthz was not always 200: {[answer.status for answer in bad][:5]}")

    @contextmanager
    def fault(self, away: str = "", *, served: bool = False) -> Iterator[None]:
        """The fault is on: 503 is allowed now, unless the service is to go on all the same (`served`).

        `away` is what /readyz must name, and nothing else.
        """
        begun = time.monotonic()
        try:
            yield
        finally:
            ended = time.monotonic()
            self.unready.append((begun, ended))
            if not served:
                self.windows.append((begun, ended))
            self.ended = ended
        if away:
            self.check_readiness(away, begun, ended)

    def check_readiness(self, away: str, begun: float, ended: float) -> None:
        time.sleep(1)
        heard = {a.body["detail"] for a in self.ready.between(begun, ended) if a.status == 503 and a.body}
        self.check(f"Away: {away}." in heard, f"/readyz did not name {away}: {sorted(heard)}")
        self.check(heard <= {f"Away: {away}."}, f"/readyz named what was there: {sorted(heard)}")

    def calm(self, seconds: float) -> None:
        time.sleep(seconds)

    # --- What is held against every answer -------------------------------------------------------------------------

    def judge(self) -> Outcome:
        complaints = [complaint for answer in self.record.answers if (complaint := answer.complaint())]
        complaints += [complaint for answer in self.record.answers if (complaint := self.untimely(answer))]
        self.findings += complaints[:5] + ([f"{len(complaints) - 5} more answers"] if len(complaints) > 5 else [])
        if self.windows:
            self.recovery = self.time_to_recover()
        if self.recovery is not None:
            self.check(self.recovery <= RECOVERY, f"refused until {self.recovery:.1f} s after the fault")
        statuses = self.record.statuses() + self.tally
        heard = [answer.seconds for answer in self.record.answers if answer.status]
        return Outcome(
            BROKEN if self.findings else HELD,
            statuses.total(),
            dict(sorted(statuses.items())),
            max([*heard, self.longest]),
            self.recovery,
            "; ".join(self.notes),
            self.findings,
        )

    def untimely(self, answer: Answer) -> str:
        """No answer where no process was killed, or a refusal while there was no fault."""
        if answer.status == 0:
            return "" if self.may_cut else f"no answer: {answer.method} {answer.path} ({answer.error})"
        if answer.status == 503 and not self.is_excused(answer):
            return f"503 without a fault: {answer.method} {answer.path}"
        return ""

    def is_excused(self, answer: Answer) -> bool:
        windows = self.unready if answer.path == "/readyz" else self.windows
        return any(begun - 1 <= answer.ended and answer.begun <= ended + RECOVERY for begun, ended in windows)

    def time_to_recover(self) -> float:
        """From the end of the fault to the last refusal that was asked for after it."""
        late = [
            answer.ended - ended
            for answer in self.record.answers
            for begun, ended in self.windows[-1:]
            if answer.status in (0, 503) and answer.begun > ended
        ]
        return max(late, default=0.0)
