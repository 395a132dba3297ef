"""Clocks that differ and clocks that jump, by libfaketime; and signing keys that change."""

import base64
import json
from pathlib import Path

from tests.faults.run import Run, Skipped, fault

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def skewed(run: Run, offset: str) -> dict[str, str]:
    """The environment in which a process reads its clock from a file that we can change."""
    if not LIBRARY:
        raise Skipped("needs libfaketime (Debian: faketime)")
    file = run.system.folder / f"clock{offset}"
    file.write_text(f"{offset}\n")
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@fault(
    "F11",
    "Clocks that differ",
    "three servers over one database, two of them 5 min ahead and behind; then a step back of 10 min",
    short=False,
)
def skew(run: Run) -> None:
    ahead = run.system.serve(**skewed(run, "+300"), ACCESS_TOKEN_SECONDS="120")
    behind = run.system.serve(**skewed(run, "-300"), ACCESS_TOKEN_SECONDS="120")
    ports = [ahead.port, behind.port, run.system.server.port]
    with run.load(ports=[[port] for port in ports]):
        email = run.new_person()
        for here in ports:
            for there in ports:
                client, pair = run.log_in(email, here)
                other = run.client(there, token=pair["access"], ip=client.ip)
                run.check(other.get("/users/me").status == 200, f"{here} and {there} do not agree about a token")
                fresh = other.post("/auth/refresh", {"refresh": pair["refresh"]}, token="")
                run.check(fresh.status == 200, "a refresh on the other host failed")
        _, spent = run.log_in(email, ahead.port)
        client = run.client(ahead.port)
        run.check(client.post("/auth/refresh", {"refresh": spent["refresh"]}).status == 200, "no refresh")
        left, ended = run.log_in(email, ahead.port)
        run.check(left.post("/auth/logout", {"refresh": ended["refresh"]}, token="").status == 204, "no log-out")
        run.calm(11)  # past the grace
        Path(run.system.folder / "clock+300").write_text("-300\n")
        run.calm(1)
        run.check(client.post("/auth/refresh", {"refresh": spent["refresh"]}).status == 401, "a spent token came back")
        run.check(left.get("/users/me").status == 401, "an ended session came back")
        run.check(run.log_in(email, ahead.port)[0].get("/users/me").status == 200, "the stepped clock locks people out")
    for server in (ahead, behind):
        server.stop()
    run.note("tokens pass between all three; neither a spent token nor an ended session came back")


@fault("F12", "Signing keys rotated", "a key rotated and a key revoked under load", short=False)
def rotated(run: Run) -> None:
    """Nobody is logged out by a new key; a key that is given up takes its tokens and sessions with it at once."""
    client, pair = run.log_in(run.new_person())
    old = kid_of(pair["access"])
    with run.load():
        for _ in range(3):
            run.system.manage("keys", "rotate")
            run.calm(1)
        run.check(client.get("/users/me").status == 200, "a token of an older key does not work")
        fresh = client.post("/auth/refresh", {"refresh": pair["refresh"]}, token="")
        run.check(fresh.status == 200, "a refresh token of an older key does not work")
        _, new = run.log_in(run.new_person())
        run.check(kid_of(new["access"]) != old, "a new token bears an old key")
    gone, lost = run.log_in(run.new_person())
    kid = kid_of(lost["access"])
    run.system.manage("keys", "revoke", kid)
    answers = [gone.get("/users/me"), gone.post("/auth/refresh", {"refresh": lost["refresh"]}, token="")]
    run.check({answer.status for answer in answers} == {401}, "a revoked key still lets in")
    again, pair = run.log_in(run.new_person())
    run.check(again.get("/users/me").status == 200 and kid_of(pair["access"]) != kid, "no new key after the revocation")
    run.note("no 401 while keys rotated; the revoked one let nobody in on the next request")


def kid_of(token: str) -> str:
    head = token.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])
