"""Two beats and two workers on a real broker, with poison in the queue: everything is done, and nothing twice."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mail.tests.servers import Mailbox, free_port, smtp_server
from tests.workers import ROOT, Workers, needs_stores, workers

MAILS, OFTEN, SIGN_UPS, FLOODS, OLD_EVENTS = 60, 50, 12, 8, 700

pytestmark = [pytest.mark.service, pytest.mark.slow, needs_stores]

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


@pytest.fixture(scope="module")
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: Any, mailbox: Mailbox) -> Iterator[Workers]:
    """When all is done, and everything was due a few times more."""
    port, folder = free_port(), tmp_path_factory.mktemp("twice")
    with smtp_server(port, mailbox), workers(folder, "muster_twice", 5, "tests.often") as twice:
        twice.environment |= {"EMAIL_URL": f"smtp://127.0.0.1:{port}", "EVIL": str(folder / "evil")}
        twice.run(SEED)
        for n in "ab":
            twice.begin_beat(f"beat-{n}")
            twice.begin_worker(f"worker-{n}")
        wait_until_done(twice, mailbox)
        yield twice


def look(twice: Workers) -> Any:
    return json.loads(twice.run(LOOK).splitlines()[-1])


def wait_until_done(twice: Workers, mailbox: Mailbox) -> None:
    end = time.monotonic() + 150
    while True:
        told = look(twice)
        if told["mails"].get("sent") == MAILS and told["pruned"] >= OLD_EVENTS and not told["floods"]:
            break
        logs = "\n".join(twice.log(name)[-1500:] for name in twice.processes)
        assert time.monotonic() < end, f"{told}\n{logs}"
    time.sleep(6)


def test_each_mail_arrives_once(doubled: Workers, mailbox: Mailbox) -> None:
    assert Counter(mailbox.recipients) == {f"p{n}@example.org": 1 for n in range(MAILS)}
    assert look(doubled)["attempts"] == 1, "whoever comes second finds nothing to do"


def test_each_piece_of_work_has_its_effect_once(doubled: Workers) -> None:
    told = look(doubled)
    assert told["events"]["user.expired"] == SIGN_UPS
    assert told["waiting_users"] == 0
    assert told["events"]["session.refused"] == FLOODS
    assert told["pruned"] == OLD_EVENTS
    assert told["events"].get("old") is None


def test_poison_is_put_aside_where_somebody_sees_it(doubled: Workers) -> None:
    told = look(doubled)
    assert told["mails"] == {"sent": MAILS, "failed": 1}
    assert told["error"].startswith("KeyError")
    assert told["failures"] == {"undecodable message": 3, "unknown task": 1, "mail.tasks.deliver_mail": 2}
    doctor = [sys.executable, "manage.py", "doctor"]
    found = subprocess.run(doctor, cwd=ROOT, env=doubled.environment, capture_output=True, text=True, timeout=60)
    assert "BAD  Outbox: 1 mails failed." in found.stdout
    assert "undecodable message 3 times" in found.stdout


def test_poison_runs_nothing_and_ends_no_worker(doubled: Workers) -> None:
    assert not Path(doubled.environment["EVIL"]).exists()
    assert [name for name, process in doubled.processes.items() if process.poll() is not None] == []
    assert look(doubled)["beating"]


def test_nothing_waits_in_the_queue_and_nothing_comes_again(doubled: Workers) -> None:
    import redis

    broker = redis.Redis.from_url(doubled.environment["REDIS_URL"])
    end = time.monotonic() + 20
    while broker.llen("celery") and time.monotonic() < end:
        time.sleep(0.2)
    assert broker.llen("celery") < 20, "at most what beat said within this second"
    strange = [message for message in broker.hvals("unacked") if b"no uuid" in message or b"os.system" in message]
    assert strange == []
