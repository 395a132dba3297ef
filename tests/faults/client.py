"""A client that keeps a record of everything it sent and heard."""

import http.client
import itertools
import json
import secrets
import select
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

OAUTH = "/auth/token"  # whose refusals have the form of RFC 6749
PROBES = ("/healthz", "/readyz")
LONGEST = 10.0  # seconds for any answer, whatever hangs
PATIENCE = 30.0  # seconds after which we stop listening, and call it no answer
IDLE = 5.0  # seconds after which a connection is not used again; the server keeps it for ten

_addresses = itertools.count(0x0A000001)


def new_address() -> str:
    """A client address from which nobody has called before, so that each caller has limits of its own."""
    return ".".join(str(byte) for byte in next(_addresses).to_bytes(4, "big"))


@dataclass
class Answer:
    method: str
    path: str
    sent: Any
    request_id: str
    begun: float
    seconds: float = 0.0
    status: int = 0  # 0: none came
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    error: str = ""

    @property
    def is_done(self) -> bool:
        return 200 <= self.status < 300

    @property
    def ended(self) -> float:
        return self.begun + self.seconds

    def complaint(self) -> str:
        """What is wrong with this answer, whatever happened to the service meanwhile."""
        what = f"{self.method} {self.path} {self.status} after {self.seconds:.1f} s"
        if self.status and self.seconds > LONGEST:
            return f"too late: {what}"
        if self.status < 400 or (self.status < 500 and self.path == OAUTH):
            return ""
        if self.status >= 500 and (self.status != 503 or not self.headers.get("retry-after", "").isdecimal()):
            return f"no 503 with Retry-After: {what}"
        if not self.headers.get("content-type", "").startswith("application/problem+json"):
            return f"no problem details: {what}"
        if not isinstance(self.body, dict) or self.body.get("request_id") != self.request_id:
            return f"another request_id: {what}"
        return ""


class Record:
    """All answers of one fault, from all clients."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.lock = threading.Lock()

    def add(self, answer: Answer) -> None:
        with self.lock:
            self.answers.append(answer)

    def statuses(self) -> Counter[str]:
        """Of all but probes."""
        asked = [answer for answer in self.answers if answer.path not in PROBES]
        return Counter(str(answer.status) if answer.status else "none" for answer in asked)


class Client:
    """One caller with one connection. Of several ports it takes the first that listens, as a balancer would."""

    def __init__(self, record: Record, *ports: int, token: str = "", ip: str = "") -> None:
        self.record, self.ports, self.token = record, list(ports), token
        self.ip = ip or new_address()
        self.connection: http.client.HTTPConnection | None = None
        self.used = 0.0

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = None, if_match: str = "") -> Answer:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        answer = Answer(method, path, body, f"f-{secrets.token_hex(12)}", time.monotonic())
        headers = {
            "X-Request-ID": answer.request_id,
            "X-Forwarded-For": self.ip,
            "Accept": "application/json",
            "Content-Length": str(len(raw)),
        }
        if raw:
            headers["Content-Type"] = "application/json"
        if if_match:
            headers["If-Match"] = if_match
        if token if token is not None else self.token:
            headers["Authorization"] = f"Bearer {token or self.token}"
        path = path.removeprefix("/api/v1")
        answer.path = path
        url = path if path.startswith(("/api/", "/healthz", "/readyz", "/metrics")) else f"/api/v1{path}"
        try:
            self.exchange(method, url, raw, headers, answer)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            answer.status, answer.error = 0, type(error).__name__
        answer.seconds = time.monotonic() - answer.begun
        self.record.add(answer)
        return answer

    def exchange(self, method: str, url: str, raw: bytes, headers: dict[str, str], answer: Answer) -> None:
        connection = self.connected()
        connection.request(method, url, raw, headers)
        response = connection.getresponse()
        received = response.read()
        answer.headers = {name.lower(): value for name, value in response.getheaders()}
        answer.status = response.status
        if "json" in answer.headers.get("content-type", ""):
            answer.body = json.loads(received)
        self.used = time.monotonic()
        if response.will_close:
            self.close()

    def connected(self) -> http.client.HTTPConnection:
        """The connection, unless the server has closed it meanwhile or is about to."""
        if self.connection and self.connection.sock:
            is_closed = bool(select.select([self.connection.sock], [], [], 0)[0])
            if not is_closed and time.monotonic() - self.used < IDLE:
                return self.connection
        self.close()
        for port in self.ports:
            self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            try:
                self.connection.connect()
            except ConnectionRefusedError:
                if port == self.ports[-1]:
                    raise
            else:
                return self.connection
        raise AssertionError("no port")

    def close(self) -> None:
        if self.connection:
            self.connection.close()
            self.connection = None

    def get(self, path: str, **rest: Any) -> Answer:
        return self.call("GET", path, **rest)

    def post(self, path: str, body: Any = None, **rest: Any) -> Answer:
        return self.call("POST", path, body, **rest)
