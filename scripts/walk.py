#!/usr/bin/env python3
"""A newcomer's walk: clone, ./run, sign up, read the mail, verify, log in, refresh, grant, check, deactivate.

scripts/walk.py [REPOSITORY] walks through the last commit of this repository, or of another, in a folder with
a space in its name. Nothing but Python and git is needed. Everything that it starts, it ends.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
EMAIL, PASSWORD = "newcomer@example.com", "violet-Harbour-lantern-27"
START_SECONDS = 300  # with a fresh virtual environment on a slow machine


def say(what: str) -> None:
    print(f"walk: {what}", flush=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Site:
    """The running server, as a client sees it, and the folder that it runs in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.log = folder.parent / "run.log"
        unset = (
            "SECRET_KEY",
            "SECRET_KEY_FILE",
            "PUBLIC_URL",
            "DATABASE_URL",
            "REDIS_URL",
            "EMAIL_URL",
            "DEBUG",
        )
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                ["./run"],
                cwd=folder,
                env={**environment, "PORT": str(self.port)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5).read()
            except OSError:
                time.sleep(0.2)
            else:
                return
        raise AssertionError("./run did not get ready")

    def call(self, method: str, path: str, body: Any = None, token: str = "", expect: int = 200) -> Any:
        """The decoded answer, which must have the status `expect`."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if body is not None else None
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        assert status == expect, f"{method} {path} answered {status}, not {expect}: {content[:500]!r}"
        return json.loads(content) if content else None

    def mail_to(self, address: str) -> str:
        """The text of the newest kept mail to `address`; mails are sent after the answer, so wait for it."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            files = sorted((self.folder / "var" / "mail").glob("*"), key=lambda file: file.stat().st_mtime)
            for file in reversed(files):
                for part in re.split(rb"(?m)^-{70,}\n", file.read_bytes()):
                    message = message_from_bytes(part.strip(), policy=policy.default)
                    text = message.get_body(("plain",)) if address in str(message["To"]) else None
                    if text:
                        return str(text.get_content())
            time.sleep(0.2)
        raise AssertionError(f"no mail to {address} in var/mail")

    def first_administrator(self) -> tuple[str, str]:
        found = re.search(r"administrator: (\S+)\s+Password[^:]*: (\S+)", self.log.read_text())
        assert found, "./run did not print the first administrator"
        return found[1], found[2]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def walk(site: Site) -> None:
    site.wait_until_ready()
    say("it runs")

    answer = site.call("POST", "/api/v1/auth/signup", {"email": EMAIL, "password": PASSWORD}, expect=202)
    assert answer["status"] == "unverified"
    site.call("POST", "/api/v1/auth/login", {"email": EMAIL, "password": PASSWORD}, expect=403)
    found = re.search(r"\b\d{6}\b", site.mail_to(EMAIL))
    assert found, "no code in the mail"
    site.call("POST", "/api/v1/auth/verify", {"email": EMAIL, "code": found[0]})
    say("signed up and verified with the code from the mail")

    tokens = site.call("POST", "/api/v1/auth/login", {"email": EMAIL, "password": PASSWORD})
    me = site.call("GET", "/api/v1/users/me", token=tokens["access"])
    assert me["email"] == EMAIL
    assert [role["name"] for role in me["roles"]] == ["user"]
    tokens = site.call("POST", "/api/v1/auth/refresh", {"refresh": tokens["refresh"]})
    phone = site.call("POST", "/api/v1/auth/login", {"email": EMAIL, "password": PASSWORD})
    devices = site.call("GET", "/api/v1/users/me/sessions", token=tokens["access"])["results"]
    assert len(devices) == 2
    say("logged in on two devices, refreshed")

    email, password = site.first_administrator()
    admin = site.call("POST", "/api/v1/auth/login", {"email": email, "password": password})["access"]
    permission = {"resource": "order", "action": "refund"}
    site.call("POST", "/api/v1/permissions", permission, token=admin, expect=201)
    role = {"name": "cashier", "permissions": ["order:refund"]}
    site.call("POST", "/api/v1/roles", role, token=admin, expect=201)
    checks, here = {"checks": ["order:refund"]}, "/api/v1/permissions/check"
    assert not site.call("POST", here, checks, token=tokens["access"])["results"][0]["allowed"]
    site.call("POST", f"/api/v1/users/{me['id']}/roles", {"role": "cashier"}, token=admin, expect=201)
    result = site.call("POST", here, checks, token=tokens["access"])["results"][0]
    assert result["allowed"]
    assert result["because"][0]["role"] == "cashier"
    say("given a role, allowed on the next request")

    site.call("DELETE", f"/api/v1/users/{me['id']}", token=admin, expect=204)
    for pair in (tokens, phone):
        site.call("GET", "/api/v1/users/me", token=pair["access"], expect=401)
        site.call("POST", "/api/v1/auth/refresh", {"refresh": pair["refresh"]}, expect=401)
    site.call("POST", "/api/v1/auth/login", {"email": EMAIL, "password": PASSWORD}, expect=401)
    say("deactivated, locked out on both devices")


def main(repository: str) -> None:
    with tempfile.TemporaryDirectory(prefix="muster walk ") as folder:
        clone = Path(folder) / "a clone"
        subprocess.run(["git", "clone", "-q", repository, clone], check=True)
        site = Site(clone)
        try:
            walk(site)
        except BaseException:
            print(site.log.read_text(errors="replace")[-5000:], file=sys.stderr)
            raise
        finally:
            code = site.stop()
        assert code == 0, f"./run ended with {code} on SIGTERM"
        assert oct((clone / "var" / "secret_key").stat().st_mode)[-3:] == "600"
        say("stopped; all well")


if __name__ == "__main__":
    if not shutil.which("git"):
        sys.exit("walk: git is missing. On Debian or Ubuntu, as root: apt install git")
    main(sys.argv[1] if len(sys.argv) > 1 else str(HERE))
