"""Clients that are slow, hostile, or too many, and a server that runs for long."""

import itertools
import socket
import statistics
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

from tests.battery import ODD, UNREADABLE
from tests.faults.client import LONGEST, Client, Record
from tests.faults.journal import together
from tests.faults.run import Run, fault
from tests.faults.system import PASSWORD

MOST_MEMORY = 150  # MiB for serve with two processes


@fault("F21", "Slow clients", "1,000 connections that never finish: half of them their headers, half their body")
def slow_clients(run: Run) -> None:
    port = run.system.server.port
    begun = (
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow:",
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: 900\r\n\r\n{",
    )
    client, _ = run.log_in(run.new_person())
    with run.load(people=2), ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(1000)]
        for number, connection in enumerate(slow):
            connection.sendall(begun[number % 2])
        times = []
        end = time.monotonic() + 15
        while time.monotonic() < end:
            times.append(client.get("/users/me").seconds)
            for connection in slow[::50]:
                drip(connection)
    run.note(f"a healthy client beside them: p95 {percentile(times, 95) * 1000:.0f} ms")


def drip(connection: socket.socket) -> None:
    try:
        connection.sendall(b"x")
    except OSError:
        return


def percentile(times: list[float], share: int) -> float:
    return statistics.quantiles(times, n=100)[share - 1] if len(times) > 1 else times[0]


# --- F22 ---------------------------------------------------------------------------------------------------------

UNSAFE_HERE = ("/sessions", "/auth/logout", "/auth/logout/all")  # a good request there ends the sessions of all


@fault(
    "F22",
    "Malformed bodies",
    "every operation of the schema × the bodies of tests/battery.py over HTTP, signed in",
    short=False,
)
def malformed(run: Run) -> None:
    admin = run.sign_in_admin()
    schema = admin.get("/api/schema").body
    before = picture(run)
    sent = 0
    client = run.client(token=admin.token)
    for path, methods in schema["paths"].items():
        for method in methods.keys() & {"get", "post", "put", "patch", "delete"}:
            if (method == "delete" and path.endswith("/sessions")) or path.endswith(UNSAFE_HERE[1:]):
                continue
            for _, body in [*UNREADABLE, *ODD]:
                answer = client.call(method.upper(), filled(path), body)
                sent += 1
                run.check(answer.status < 500, f"{answer.status}: {method} {path}")
    run.check(picture(run) == before, "the database changed")
    run.note(f"{sent} requests, none answered 5xx, nothing changed")


def filled(path: str) -> str:
    while "{" in path:
        begin, end = path.index("{"), path.index("}")
        path = f"{path[:begin]}{uuid4()}{path[end + 1 :]}"
    return path


def picture(run: Run) -> list[Any]:
    tables = ("users", "roles", "permissions", "user_roles", "challenges")
    return [run.system.postgresql.sql(f"SELECT count(*) FROM {table}") for table in tables]


# --- F23 ---------------------------------------------------------------------------------------------------------


@fault("F23", "Storm of log-ins", "200 log-ins at once, three times over, at the default hash (bcrypt)", short=False)
def hash_storm(run: Run) -> None:
    server = run.system.serve(PASSWORD_HASHER="bcrypt")
    people = [run.new_person() for _ in range(20)]
    warm = server.memory()
    with run.probed(server.port), run.fault():
        answers = []
        for _ in range(1 if run.is_short else 3):
            callers = [(run.client(server.port), people[n % 20]) for n in range(200)]
            calls = [lambda c=c, e=e: c.post("/auth/login", {"email": e, "password": PASSWORD}) for c, e in callers]
            answers += together(calls)
    got = Counter(answer.status for answer in answers)
    run.check(set(got) <= {200, 429, 503} and got[200], f"answers: {got}")
    pulse = [answer.seconds for answer in run.health.answers]
    grown = server.memory() - warm
    run.check(max(pulse) <= LONGEST, "/healthz was late")
    run.check(grown <= 150, f"memory grew by {grown:.0f} MiB")
    server.stop()
    run.note(f"{got[200]} let in, {got[503]} told to come again; memory + {grown:.0f} MiB")
    run.note(f"/healthz p95 {percentile(pulse, 95) * 1000:.0f} ms")


# --- Memory ------------------------------------------------------------------------------------------------------


@fault(
    "MEMORY",
    "A long day",
    "100,000 requests of a usual mix to one server with two processes (10,000 in a short run)",
)
def long_day(run: Run) -> None:
    first, last = (5_000, 10_000) if run.is_short else (10_000, 100_000)
    server = run.system.serve()
    emails = [run.new_person() for _ in range(8)]
    sizes, own = {}, {}
    counter = itertools.count(1)
    if run.is_short:  # in which a second log-in, and so the first mail, would not be part of what comes before
        work(run, server.port, emails, counter, 1_000)
    for mark in (first, last):
        work(run, server.port, emails, counter, mark)
        sizes[mark], own[mark] = server.memory(), server.memory("Pss_Anon")
    grown = own[last] - own[first]
    run.check(sizes[last] <= MOST_MEMORY, f"{sizes[last]:.0f} MiB PSS")
    run.check(grown <= 0.05 * own[first], f"grew by {grown:.1f} MiB")
    server.stop()
    run.note(f"PSS {sizes[first]:.0f} MiB after {first:,} requests, {sizes[last]:.0f} MiB after {last:,}")
    run.note(f"of that its own {own[first]:.1f} and {own[last]:.1f}")


def work(run: Run, port: int, emails: list[str], counter: Any, until: int) -> None:
    def one(email: str) -> None:
        client = Client(Record(), port)
        answer = client.post("/auth/login", {"email": email, "password": PASSWORD})
        token, refresh = answer.body["access"], answer.body["refresh"]
        while (number := next(counter)) <= until:
            client.token = token
            if number % 50 == 0:
                answer = client.call("PATCH", "/users/me", {"first_name": f"N{number}"})
            elif number % 20 == 0:
                answer = client.post("/auth/refresh", {"refresh": refresh}, token="")
                token, refresh = answer.body["access"], answer.body["refresh"]
                client.close()  # so that both processes come to have all their threads at work in the first part
            elif number % 10 == 0:
                answer = client.get("/nowhere")
            else:
                answer = client.get("/users/me")
            run.check(answer.status in (200, 404), f"{answer.status} {answer.error} to {answer.method} {answer.path}")
            client.record.answers.clear()
            with run.record.lock:
                run.tally[str(answer.status)] += 1
                run.longest = max(run.longest, answer.seconds)

    threads = [threading.Thread(target=one, args=(email,), daemon=True) for email in emails]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
