"""A long job on real Celery: told at once, killed in the middle, taken up by another worker, and done once."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.workers import Workers, needs_stores, workers

pytestmark = [pytest.mark.service, pytest.mark.slow, needs_stores]

ROWS = 3000

START = f"""
import time
from accounts import stored_files
from accounts.models import User
from accounts.services import imports
from core.actor import Actor
from django.core.management import call_command
from rbac.models import Role, RoleGrant

staff = User.objects.create(email="staff@x.example", email_key="staff@x.example", is_active=True)
RoleGrant.objects.create(user=staff, role=Role.objects.get(name="admin"))
lines = ["email,first_name"] + [f"p{{n}}@example.org,P{{n}}" for n in range({ROWS})]
file = stored_files.store(staff.pk, "people.csv", ["\\n".join(lines).encode()])
print(imports.start(Actor(user=staff, ip="192.0.2.1", device="test"), file, {{}}, invite=True).pk)
time.sleep(2)  # the broker is told by a thread
"""

LOOK = """
import json
from accounts import stored_files
from accounts.job_models import Job, StoredFile
from accounts.models import User
from audit.models import Event
from mail.models import OutgoingMail
job = Job.objects.get()
report = b"".join(stored_files.pieces(StoredFile.objects.get(pk=job.parameters["report"])))
print(json.dumps({
    "state": job.state,
    "done": job.done,
    "claims": job.claims,
    "outcome": job.outcome,
    "users": User.objects.exclude(email_key="staff@x.example").count(),
    "invited": OutgoingMail.objects.filter(template="invitation").count(),
    "events": Event.objects.filter(action="user.imported").count(),
    "reported": len(set(report.decode().splitlines()[1:])),
    "lines": len(report.decode().splitlines()) - 1,
    "ended": Event.objects.filter(action="job.ended").count(),
}))
"""

END_LEASE = """
from accounts.job_models import Job
from django.db.models.functions import Now
Job.objects.filter(state="running").update(due_at=Now())
"""


def look(found: Workers) -> Any:
    return json.loads(found.run(LOOK).splitlines()[-1])


def wait_for(found: Workers, reached: Callable[[Any], bool]) -> Any:
    end = time.monotonic() + 120
    while not reached(told := look(found)):
        logs = "\n".join(found.log(name)[-1500:] for name in found.processes)
        assert time.monotonic() < end, f"{told}\n{logs}"
        time.sleep(1)
    return told


def test_an_import_outlives_the_worker_that_was_at_it(tmp_path: Any) -> None:
    with workers(tmp_path, "muster_job", 6) as found:
        found.run(START)
        found.begin_worker("first")  # and no beat: it was told
        middle = wait_for(found, lambda told: told["done"] > 0)
        found.kill("first")
        assert middle["state"] != "done", "too fast to be killed in the middle: give it more rows"
        found.run(END_LEASE)
        found.begin_worker("second")
        found.begin_beat("beat")
        told = wait_for(found, lambda told: told["state"] == "done")
    assert told["claims"] > middle["claims"]
    assert told["done"] == told["users"] == told["events"] == told["invited"] == ROWS
    assert told["lines"] == told["reported"] == ROWS
    assert told["ended"] == 1
