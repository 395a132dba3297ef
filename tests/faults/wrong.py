"""Wrong settings, and log lines that nobody takes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.run import Run, fault
from tests.faults.stores import fill, small_disk
from tests.serving import ROOT, free_port

WRONG = [
    ("SECRET_KEY", {"SECRET_KEY": ""}),
    ("SECRET_KEY", {"SECRET_KEY": "short"}),
    ("SECRET_KEY_FILE", {"SECRET_KEY": None, "SECRET_KEY_FILE": "/nowhere/key"}),
    ("DATABASE_URL", {"DATABASE_URL": "mysql://a@b/c"}),
    ("DATABASE_URL", {"DATABASE_URL": "postgres://a@b:port/c"}),
    ("REDIS_URL", {"REDIS_URL": "http://127.0.0.1"}),
    ("EMAIL_URL", {"EMAIL_URL": "gopher://x"}),
    ("PUBLIC_URL", {"PUBLIC_URL": "id.example.com"}),
    ("DEBUG", {"DEBUG": "true", "PUBLIC_URL": "https://id.example.com"}),
    ("ALLOWED_HOSTS", {"ALLOWED_HOSTS": "*", "PUBLIC_URL": "https://id.example.com"}),
    ("TRUSTED_PROXIES", {"TRUSTED_PROXIES": "many"}),
    ("PASSWORD_HASHER", {"PASSWORD_HASHER": "md5"}),
    ("RATE_LIMITS", {"RATE_LIMITS": "perhaps"}),
    ("LOG_FILE", {"LOG_FILE": "/nowhere/log"}),
]


@fault("F26", "Wrong settings", "`serve`, worker and beat begun with each of 14 missing, weak or impossible values")
def wrong_settings(run: Run) -> None:
    celery = ["-m", "celery", "-A", "config", "worker"]
    for name, values in WRONG:
        environment = {key: value for key, value in run.system.environment(**values).items() if value is not None}
        for command in (
            ["manage.py", "serve", "--port", str(free_port())],
            *([celery] if name == "DATABASE_URL" else []),
        ):
            try:
                ended = subprocess.run(
                    [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30
                )
            except subprocess.TimeoutExpired:
                run.check(False, f"it serves with {name}={values[name]!r}")
                continue
            lines = ended.stderr.strip().splitlines()
            run.check(ended.returncode not in (0, None), f"exit code 0 with {values}")
            run.check(len(lines) <= 3 and name in ended.stderr, f"{values} → {lines[-3:]}")
    run.note(f"{len(WRONG)} refused, each in at most three lines that name the variable")


@contextmanager
def nobody_reads() -> Iterator[Any]:
    """A pipe whose reader is there and has stopped reading."""
    read, write = os.pipe()
    try:
        yield write
    finally:
        os.close(write)
        os.close(read)


@fault(
    "F28",
    "Log lines that nobody takes",
    "stderr on a full device, LOG_FILE on a full disk, stderr into a pipe whose reader stopped",
)
def log_sinks(run: Run) -> None:
    with open("/dev/full", "wb") as full:
        serves(run, "a full device", stdout=full, stderr=full)
    with small_disk(run.system.folder / "logs", "1m") as disk:
        fill(disk / "ballast")
        serves(run, "a LOG_FILE on a full disk", LOG_FILE=str(disk / "log"))
    with nobody_reads() as pipe:
        serves(run, "a reader that stopped", stdout=pipe, stderr=pipe)
    run.note("400 requests with each, all served")


def serves(run: Run, what: str, **more: Any) -> None:
    server = run.system.serve(**more)
    client, _ = run.log_in(run.new_person(), server.port)
    answers = []
    for _ in range(400):
        answers.append(client.get("/users/me").status)
        if answers[-1] == 0:
            break
    run.check(answers.count(200) == 400, f"with {what} only {answers.count(200)} of 400 were served")
    code = server.stop()
    run.check(code == 0, f"with {what} it ends with {code}")
