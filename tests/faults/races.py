"""A hundred callers at once, over HTTP, on two servers with two processes each."""

import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.client import Answer, Client
from tests.faults.journal import together
from tests.faults.mails import codes, states
from tests.faults.run import Run, fault
from tests.faults.services import wait_until
from tests.faults.system import PASSWORD, Server

CALLERS = 100


@contextmanager
def second(run: Run) -> Iterator[Server]:
    server = run.system.serve()
    try:
        yield server
    finally:
        server.stop()


def crowd(run: Run, server: Server, number: int = CALLERS) -> list[Client]:
    return [run.client((run.system.server if n % 2 else server).port) for n in range(number)]


def rounds(run: Run, most: int) -> range:
    return range(3 if run.is_short else most)


def all_post(clients: list[Client], path: str, body: Any) -> Counter[int]:
    return Counter(a.status for a in together([lambda c=c: c.post(path, body, token="") for c in clients]))


# Surplus callers may be told to come again, so a race may be won by few of the hundred, and never by two.
@fault("F13", "One address signed up by 100 at once", "100 callers behind a barrier, two servers, several rounds")
def same_address(run: Run) -> None:
    with second(run) as server, run.fault():
        for _ in rounds(run, 10):
            email = f"r{secrets.token_hex(8)}@example.org"
            answers = all_post(crowd(run, server), "/auth/signup", {"email": email, "password": PASSWORD})
            run.check(set(answers) <= {202, 503} and answers[202], f"answers: {answers}")
            found = run.system.postgresql.sql("SELECT count(*) FROM users WHERE email = %s", email)
            run.check(found == [(1,)], f"{found} users")
            live = "SELECT count(*) FROM challenges WHERE email = %s AND voided_at IS NULL"
            run.check(run.system.postgresql.sql(live, email) == [(1,)], "more than one code is good")
    run.note("one user and one good code each time")


@fault("F14", "One refresh token used by 100 at once", "100 callers behind a barrier, two servers, several rounds")
def same_refresh(run: Run) -> None:
    with second(run) as server, run.fault():
        for _ in rounds(run, 10):
            _, pair = run.log_in(run.new_person())
            clients = crowd(run, server)
            body = {"refresh": pair["refresh"]}
            answers = together([lambda c=c: c.post("/auth/refresh", body, token="") for c in clients])
            pairs = {(a.body["access"], a.body["refresh"]) for a in answers if a.status == 200}
            run.check({a.status for a in answers} <= {200, 503}, f"answers: {Counter(a.status for a in answers)}")
            run.check(len(pairs) == 1, f"{len(pairs)} successors")
    run.note("one successor each time")


@fault(
    "F15",
    "One code used by 100 at once",
    "100 callers behind a barrier with a reset code, two servers, several rounds",
    short=False,
)
def same_code(run: Run) -> None:
    with second(run) as server, run.fault():
        for _ in rounds(run, 5):
            email = run.new_person()
            run.client().post("/auth/password/forgot", {"email": email})
            run.check(wait_until(lambda e=email: states(run, e)[-1:] == ["sent"], 60), "no mail with a code")
            [code] = codes(run, email)
            body = {"email": email, "code": code, "new_password": "Another-horse-9"}
            answers = all_post(crowd(run, server), "/auth/password/reset", body)
            run.check(answers[204] == 1 and set(answers) <= {204, 400, 429, 503}, f"answers: {answers}")
    run.note("one success each time")


@fault(
    "F16",
    "Roles edited by two at once",
    "50 grants and 50 withdrawals of one role, 100 edits with one ETag, two servers",
    short=False,
)
def same_roles(run: Run) -> None:
    admin = run.sign_in_admin()
    with second(run) as server, run.fault():
        for _ in rounds(run, 5):
            email = run.new_person()
            [(user_id,)] = run.system.postgresql.sql("SELECT id FROM users WHERE email = %s", email)
            role = admin.post("/roles", {"name": f"r{secrets.token_hex(6)}", "permissions": ["user:read"]}).body["id"]
            clients = crowd(run, server)
            grants = [lambda c=c: c.post(f"/users/{user_id}/roles", {"role": role}) for c in clients[::2]]
            takes = [lambda c=c: c.call("DELETE", f"/users/{user_id}/roles/{role}") for c in clients[1::2]]
            for client in clients:
                client.token = admin.token
            answers = Counter(a.status for a in together([*grants, *takes]))
            run.check(set(answers) <= {200, 201, 204, 404, 409, 400, 503}, f"answers: {answers}")
            held = run.system.postgresql.sql(
                "SELECT count(*) FROM user_roles WHERE user_id = %s AND role_id = %s", user_id, role
            )
            run.check(held[0][0] == answers[201] - answers[204], f"{held} grants after {answers}")
            etag = clients[0].get(f"/users/{user_id}").headers["etag"]
            edits = [
                lambda c=c, n=n: c.call("PATCH", f"/users/{user_id}", {"last_name": f"L{n}"}, if_match=etag)
                for n, c in enumerate(clients)
            ]
            edited = Counter(a.status for a in together(edits))
            run.check(edited[200] == 1 and set(edited) <= {200, 412, 503}, f"with one ETag: {edited}")
    run.note("grants that are left = granted − withdrawn; one edit for each ETag")


@fault(
    "F17",
    "The last administrators against each other",
    "two administrators demote, deactivate and leave at once, 20 rounds",
    short=False,
)
def last_administrator(run: Run) -> None:
    admin = run.sign_in_admin()
    sql = run.system.postgresql.sql
    [(first,)] = sql("SELECT id FROM users WHERE email = %s", "admin@example.org")
    [(role,)] = sql("SELECT id FROM roles WHERE name = 'admin'")
    with second(run) as server, run.fault():
        for number in rounds(run, 20):
            email = run.new_person()
            [(other,)] = sql("SELECT id FROM users WHERE email = %s", email)
            run.check(admin.post(f"/users/{other}/roles", {"role": "admin"}).status == 201, "no second administrator")
            rival, _ = run.log_in(email, server.port)
            ways = [
                lambda c, who: c.call("DELETE", f"/users/{who}/roles/{role}"),
                lambda c, who: c.call("PATCH", f"/users/{who}", {"is_active": False}),
                lambda c, who: c.call("DELETE", f"/users/{who}"),
                lambda c, who: c.call("DELETE", "/users/me", {"password": PASSWORD}),
            ]
            way = ways[number % 4]
            callers = [(run.client(token=admin.token), other), (run.client(server.port, token=rival.token), first)]
            callers += [(run.client(c.ports[0], token=c.token), who) for c, who in callers * 3]
            answers = together([lambda w=way, c=c, who=who: w(c, who) for c, who in callers])
            left = sql(
                "SELECT u.id FROM users u JOIN user_roles g ON g.user_id = u.id"
                " WHERE g.role_id = %s AND u.is_active AND u.is_verified",
                role,
            )
            run.check(left, f"nobody is left after {Counter(a.status for a in answers)}")
            survive(run, admin, first, role)
    run.note("at least one administrator after each round")


def survive(run: Run, admin: Client, first: Any, role: Any) -> None:
    """The first one is administrator again, and the only one, for the next round."""
    sql = run.system.postgresql.sql
    sql("UPDATE users SET is_active = true WHERE id = %s", first)
    sql("DELETE FROM user_roles WHERE role_id = %s AND user_id <> %s", role, first)
    sql(
        "INSERT INTO user_roles (id, user_id, role_id, granted_at) SELECT gen_random_uuid(), %s, %s, now()"
        " WHERE NOT EXISTS (SELECT 1 FROM user_roles WHERE user_id = %s AND role_id = %s)",
        first,
        role,
        first,
        role,
    )
    admin.token = ""
    run.sign_in_admin()


@fault(
    "F18",
    "Deactivated in the middle of log-ins and refreshes",
    "a deactivation among 60 callers on two servers, several rounds",
    short=False,
)
def deactivated(run: Run) -> None:
    admin = run.sign_in_admin()
    with second(run) as server, run.fault():
        for _ in rounds(run, 10):
            email = run.new_person()
            [(user_id,)] = run.system.postgresql.sql("SELECT id FROM users WHERE email = %s", email)
            _, pair = run.log_in(email)
            clients = crowd(run, server, 60)
            calls = [
                (lambda c=c: c.post("/auth/login", {"email": email, "password": PASSWORD}))
                if n % 3
                else (lambda c=c: c.post("/auth/refresh", {"refresh": pair["refresh"]}))
                for n, c in enumerate(clients)
            ]
            middle = run.client(server.port, token=admin.token)
            *answers, gone = together([*calls, lambda: middle.call("DELETE", f"/users/{user_id}")])
            run.check(gone.status == 204, f"not deactivated: {gone.status}")
            late = [a for a in answers if a.status == 200 and a.begun > gone.ended]
            run.check(not late, "a token was given after the deactivation")
            use(run, [a for a in answers if a.status == 200])
    run.note("no token was given afterwards, and none given before works")


def use(run: Run, given: list[Answer]) -> None:
    for answer in given[:20]:
        run.check(run.client().get("/users/me", token=answer.body["access"]).status == 401, "a token outlived it")
