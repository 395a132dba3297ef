"""Two beats and two workers on a real broker, with poison in the queue: everything is done, and nothing twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from mail.tests.servers import Mailbox, free_port, smtp_server

ROOT = Path(__file__).resolve().parent.parent
NEEDED = [name for name in ("DATABASE_URL", "REDIS_URL") if not os.environ.get(name)]
MAILS, OFTEN, SIGN_UPS, FLOODS, OLD_EVENTS = 60, 50, 12, 8, 700

pytestmark = [
    pytest.mark.service,
    pytest.mark.slow,
    pytest.mark.skipif(bool(NEEDED), reason=f"{' and '.join(NEEDED)} missing: run ./run services …"),
]

SEED = f"""
import datetime, os, pickle
from django.utils import timezone
from accounts.models import User
from audit.models import Event, Flood
from config.celery import app
from kombu import Connection
from mail.models import OutgoingMail
from mail.tasks import deliver_mail
import redis

now = timezone.now()
day = datetime.timedelta(days=1)
mails = OutgoingMail.objects.bulk_create(
    OutgoingMail(template="new_device", to=f"p{{n}}@example.org", language="en", next_try_at=now)
    for n in range({MAILS})
)
OutgoingMail.objects.create(template="no_such_mail", to="poison@example.org", language="en", next_try_at=now)
User.objects.bulk_create(
    User(email=f"s{{n}}@x.example", email_key=f"s{{n}}@x.example", created_at=now - 10 * day) for n in range({SIGN_UPS})
)
Flood.objects.bulk_create(
    Flood(network=f"192.0.2.{{n}}", action="session.refused", minute=now - day, times=90) for n in range({FLOODS})
)
Event.objects.bulk_create(Event(action="old", at=now - 400 * day) for _ in range({OLD_EVENTS}))

class Evil:
    def __reduce__(self):
        return (os.mkdir, (os.environ["EVIL"],))

bad = [pickle.dumps(Evil()), b"\\xff\\xfe", b"{{broken"]
kinds = ["application/x-python-serialize", "application/json", "application/json"]
with Connection(app.conf.broker_url) as broker:
    for body, kind in zip(bad, kinds):
        broker.Producer().publish(
            body, routing_key="celery", content_type=kind, content_encoding="binary",
            headers={{"task": "mail.tasks.deliver_mail", "id": "x", "lang": "py"}},
        )
app.send_task("os.system", ("touch " + os.environ["EVIL"],))
app.send_task("mail.tasks.deliver_mail", ("no uuid",))
app.send_task("mail.tasks.deliver_mail", ())
for mail in mails:
    deliver_mail.apply_async((str(mail.pk),))
for _ in range({OFTEN}):
    deliver_mail.apply_async((str(mails[0].pk),))
"""

LOOK = """
import json
from collections import Counter
from accounts.models import User
from accounts.services import heartbeat
from audit.models import Event, Flood
from mail.models import OutgoingMail
sent = OutgoingMail.objects.filter(state="sent")
print(json.dumps({
    "mails": Counter(OutgoingMail.objects.values_list("state", flat=True)),
    "attempts": max(sent.values_list("attempts", flat=True), default=0),
    "error": OutgoingMail.objects.filter(state="failed").values_list("last_error", flat=True).first(),
    "events": Counter(Event.objects.values_list("action", flat=True)),
    "pruned": sum(d["events"] for d in Event.objects.filter(action="audit.pruned").values_list("details", flat=True)),
    "floods": Flood.objects.count(),
    "waiting_users": User.objects.count(),
    "failures": heartbeat.failures(),
    "beating": heartbeat.is_beating(),
}))
"""


class Doubled:
    def __init__(self, folder: Path, smtp: int) -> None:
        self.folder, self.evil = folder, folder / "evil"
        self.environment = {
            **os.environ,
            "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])._replace(path="/muster_twice").geturl(),
            "REDIS_URL": urlsplit(os.environ["REDIS_URL"])._replace(path="/5").geturl(),
            "EMAIL_URL": f"smtp://127.0.0.1:{smtp}",
            "LOG_FORMAT": "json",
            "EVIL": str(self.evil),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def look(self) -> Any:
        return json.loads(self.manage("shell", "-v0", "-c", LOOK).splitlines()[-1])

    def begin(self, name: str, *command: str) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        celery = [sys.executable, "-m", "celery", "-A", "tests.often", *command]
        self.processes[name] = subprocess.Popen(celery, cwd=ROOT, env=self.environment, stdout=log, stderr=log)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(60)


@pytest.fixture(scope="module")
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: Any, mailbox: Mailbox) -> Iterator[Doubled]:
    """When all is done, and everything was due a few times more."""
    with ExitStack() as stack:
        database = stack.enter_context(psycopg.connect(os.environ["DATABASE_URL"], autocommit=True))
        database.execute("DROP DATABASE IF EXISTS muster_twice")
        database.execute("CREATE DATABASE muster_twice")
        stack.callback(database.execute, "DROP DATABASE muster_twice WITH (FORCE)")
        port = free_port()
        stack.enter_context(smtp_server(port, mailbox))
        twice = Doubled(tmp_path_factory.mktemp("twice"), port)
        twice.manage("migrate", "-v0")
        twice.manage("shell", "-v0", "-c", SEED)
        stack.callback(twice.stop)
        for n in "ab":
            twice.begin(f"beat-{n}", "beat", "--schedule", str(twice.folder / f"schedule-{n}"))
            twice.begin(f"worker-{n}", "worker", "--concurrency", "2", "-n", f"{n}@test", "--loglevel", "INFO")
        wait_until_done(twice, mailbox)
        yield twice


def wait_until_done(twice: Doubled, mailbox: Mailbox) -> None:
    end = time.monotonic() + 150
    while True:
        told = twice.look()
        if told["mails"].get("sent") == MAILS and told["pruned"] >= OLD_EVENTS and not told["floods"]:
            break
        logs = "\n".join(twice.log(name)[-1500:] for name in twice.processes)
        assert time.monotonic() < end, f"{told}\n{logs}"
    time.sleep(6)


def test_each_mail_arrives_once(doubled: Doubled, mailbox: Mailbox) -> None:
    assert Counter(mailbox.recipients) == {f"p{n}@example.org": 1 for n in range(MAILS)}
    assert doubled.look()["attempts"] == 1, "whoever comes second finds nothing to do"


def test_each_piece_of_work_has_its_effect_once(doubled: Doubled) -> None:
    told = doubled.look()
    assert told["events"]["user.expired"] == SIGN_UPS
    assert told["waiting_users"] == 0
    assert told["events"]["session.refused"] == FLOODS
    assert told["pruned"] == OLD_EVENTS
    assert told["events"].get("old") is None


def test_poison_is_put_aside_where_somebody_sees_it(doubled: Doubled) -> None:
    told = doubled.look()
    assert told["mails"] == {"sent": MAILS, "failed": 1}
    assert told["error"].startswith("KeyError")
    assert told["failures"] == {"undecodable message": 3, "unknown task": 1, "mail.tasks.deliver_mail": 2}
    doctor = [sys.executable, "manage.py", "doctor"]
    found = subprocess.run(doctor, cwd=ROOT, env=doubled.environment, capture_output=True, text=True, timeout=60)
    assert "BAD  Outbox: 1 mails failed." in found.stdout
    assert "undecodable message 3 times" in found.stdout


def test_poison_runs_nothing_and_ends_no_worker(doubled: Doubled) -> None:
    assert not doubled.evil.exists()
    assert [name for name, process in doubled.processes.items() if process.poll() is not None] == []
    assert doubled.look()["beating"]


def test_nothing_waits_in_the_queue_and_nothing_comes_again(doubled: Doubled) -> None:
    import redis

    broker = redis.Redis.from_url(doubled.environment["REDIS_URL"])
    end = time.monotonic() + 20
    while broker.llen("celery") and time.monotonic() < end:
        time.sleep(0.2)
    assert broker.llen("celery") < 20, "at most what beat said within this second"
    strange = [message for message in broker.hvals("unacked") if b"no uuid" in message or b"os.system" in message]
    assert strange == []
