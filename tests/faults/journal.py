"""People who work while the fault is on, and the look into the database afterwards.

Every write carries an X-Request-ID of its own, and its audit event, written in the same transaction, carries it
too: so each answer can be held against what stands in the database.
"""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.faults.client import Answer, Client, Record
from tests.faults.system import PASSWORD

Query = Callable[..., list[Any]]
EVENTS = {"signup": "user.signed_up", "login": "session.started", "logout": "session.ended", "me": "user.changed"}


class Person(threading.Thread):
    """Changes their name, refreshes, signs others up, logs in and out, in turns, until told to stop."""

    def __init__(self, record: Record, email: str, *ports: int, is_reader: bool = False) -> None:
        super().__init__(daemon=True)
        self.email, self.is_reader = email, is_reader
        self.client = Client(record, *ports)
        self.stopping = threading.Event()
        self.refresh = ""
        self.names: list[tuple[str, Answer]] = []
        self.signed_up: list[tuple[str, Answer]] = []
        self.ended: list[tuple[str, Answer]] = []
        self.complaints: list[str] = []
        self.is_in_doubt = False  # a refresh of ours had no good answer, so its session may have ended with the grace
        self.turns = 0

    def log_in(self) -> bool:
        answer = self.client.post("/auth/login", {"email": self.email, "password": PASSWORD}, token="")
        if answer.status == 200:
            self.client.token, self.refresh = answer.body["access"], answer.body["refresh"]
            self.is_in_doubt = False
        elif answer.status not in (0, 503):
            self.complaints.append(f"{answer.status} to a log-in with the right password")
        return answer.status == 200

    def run(self) -> None:
        steps = [self.check, self.rename, self.renew, self.sign_up, self.rename, self.come_and_go]
        while not self.stopping.is_set():
            if self.client.token or self.log_in():
                (self.check if self.is_reader else steps[self.turns % len(steps)])()
            self.turns += 1
            self.stopping.wait(0.02)

    def check(self) -> None:
        answer = self.client.get("/users/me")
        self.look_at(answer)
        if answer.status == 200 and self.names and answer.body["first_name"] not in self.possible_names():
            self.complaints.append(f"read {answer.body['first_name']!r}, which is not the last acknowledged write")

    def rename(self) -> None:
        name = f"N{secrets.token_hex(6)}"
        answer = self.client.call("PATCH", "/users/me", {"first_name": name})
        self.names.append((name, answer))
        self.look_at(answer)

    def possible_names(self) -> list[str]:
        """The last one that was acknowledged, and those after it that were not."""
        possible = []
        for name, answer in reversed(self.names):
            possible.append(name)
            if answer.is_done:
                break
        else:
            possible.append("")
        return possible

    def renew(self) -> None:
        answer = self.client.post("/auth/refresh", {"refresh": self.refresh}, token="")
        if answer.status == 200:
            self.client.token, self.refresh = answer.body["access"], answer.body["refresh"]
            self.is_in_doubt = False
        elif answer.status in (0, 503):
            self.is_in_doubt = True
        else:
            self.look_at(answer)

    def sign_up(self) -> None:
        email = f"{secrets.token_hex(8)}@example.org"
        answer = self.client.post("/auth/signup", {"email": email, "password": PASSWORD}, token="")
        self.signed_up.append((email, answer))

    def come_and_go(self) -> None:
        """A second device, which leaves at once."""
        came = self.client.post("/auth/login", {"email": self.email, "password": PASSWORD}, token="")
        if came.status == 200:
            went = self.client.post("/auth/logout", {"refresh": came.body["refresh"]}, token="")
            self.ended.append((came.body["access"], went))

    def look_at(self, answer: Answer) -> None:
        if answer.status == 401:
            if not self.is_in_doubt:
                self.complaints.append(f"401 to {answer.method} {answer.path} with a good token")
            self.client.token = ""


class Journal:
    """What the people wrote down, held against the database that `query` asks."""

    def __init__(self, people: list[Person], query: Query, client: Client, mark: str = "%s", since: int = 0) -> None:
        self.people, self.query, self.client, self.mark, self.since = people, query, client, mark, since
        self.findings: list[str] = []
        self.counted: Counter[str] = Counter()

    def check(self) -> str:
        self.check_writes()
        for person in self.people:
            self.findings += person.complaints[:3]
            self.check_name(person)
            for email, answer in person.signed_up:
                self.check_sign_up(email, answer)
        self.check_endings()
        c = self.counted
        return (
            f"{c['kept']} acknowledged writes, all there; {c['absent']} others absent, {c['done']} done though unheard"
            if not self.findings
            else f"{len(self.findings)} findings"
        )

    def check_writes(self) -> None:
        """Each 2xx has its event, once; no other has more than one."""
        stored = Counter(self.query("SELECT request_id, action FROM audit_events WHERE request_id LIKE 'f-%'"))
        for answer in self.writes():
            events = stored[answer.request_id, EVENTS[answer.path.rsplit("/", 1)[1]]]
            if events > 1 or (answer.is_done and not events):
                self.findings.append(f"{answer.method} {answer.path} {answer.status or 'unanswered'}: {events} events")
            self.counted["kept" if answer.is_done else "done" if events else "absent"] += 1

    def writes(self) -> list[Answer]:
        found = []
        for answer in self.client.record.answers[self.since :]:
            what = answer.path.rsplit("/", 1)[1]
            if (what in EVENTS and answer.method in ("POST", "PATCH")) and answer.status not in (400, 401, 403, 429):
                found.append(answer)
        return found

    def check_name(self, person: Person) -> None:
        if not person.names:
            return
        [(name,)] = self.query(f"SELECT first_name FROM users WHERE email = {self.mark}", person.email)
        if name not in person.possible_names():
            self.findings.append(f"{person.email} is called {name!r}, not as last acknowledged")

    def check_sign_up(self, email: str, answer: Answer) -> None:
        """All of it or nothing; and whoever had no good answer may simply ask again."""
        parts = self.parts(email)
        if len(set(parts.values())) != 1:
            self.findings.append(f"half a sign-up: {parts}")
        if answer.is_done and not parts["users"]:
            self.findings.append("202 to a sign-up that is not there")
        if not answer.is_done and self.counted["repeated"] < 5:
            self.counted["repeated"] += 1
            again = self.client.post("/auth/signup", {"email": email, "password": PASSWORD}, token="")
            if again.status != 202 or self.parts(email)["users"] != 1:
                self.findings.append(f"a sign-up could not be repeated: {again.status}")

    def parts(self, email: str) -> dict[str, int]:
        return sign_up_parts(self.query, email, self.mark)

    def check_endings(self) -> None:
        """A log-out that was acknowledged holds: looked at over HTTP for the latest of them."""
        for person in self.people:
            for token, answer in person.ended[-3:]:
                if answer.is_done and self.client.get("/users/me", token=token).status != 401:
                    self.findings.append("a token lives on after its log-out was acknowledged")


def sign_up_parts(query: Query, email: str, mark: str = "%s") -> dict[str, int]:
    """How often each part of a first sign-up is there."""
    user = f"(SELECT id FROM users WHERE email = {mark})"
    questions = {
        "users": f"SELECT count(*) FROM users WHERE email = {mark}",
        "grants": f"SELECT count(*) FROM user_roles WHERE user_id = {user}",
        "challenges": f"SELECT count(*) FROM challenges WHERE voided_at IS NULL AND user_id = {user}",
        "mails": f"SELECT count(*) FROM outgoing_mail WHERE user_id = {user}",
        "events": f"SELECT count(*) FROM audit_events WHERE action = 'user.signed_up' AND target_id = {user}",
    }
    return {name: query(question, email)[0][0] for name, question in questions.items()}


class Probe(threading.Thread):
    """Asks /healthz and /readyz all the while, as an orchestrator does."""

    def __init__(self, record: Record, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self.client, self.path = Client(record, port), path
        self.stopping = threading.Event()
        self.answers: list[Answer] = []

    def run(self) -> None:
        while not self.stopping.wait(0.2):
            with suppress(AssertionError):
                self.answers.append(self.client.get(self.path))

    def between(self, begun: float, ended: float) -> list[Answer]:
        return [answer for answer in self.answers if begun <= answer.begun <= ended]


def together(calls: list[Callable[[], Answer]]) -> list[Answer]:
    """All of them at once, each in a thread that waits for the others."""
    barrier = threading.Barrier(len(calls))
    answers: list[Any] = [None] * len(calls)

    def work(place: int) -> None:
        barrier.wait()
        answers[place] = calls[place]()

    threads = [threading.Thread(target=work, args=(place,), daemon=True) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 120
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return answers
