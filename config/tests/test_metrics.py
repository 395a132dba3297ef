"""What Prometheus is told, and who may ask."""

import math
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from accounts.models import Counter, Session
from accounts.services import heartbeat
from accounts.tests.factories import PASSWORD, UserFactory, signed_in
from accounts.tests.scene import log_in, refusal
from config import metrics
from config.background import note_failure
from mail.tests.factories import OutgoingMailFactory

SOURCE = Path(__file__).resolve().parent.parent.parent


def scrape(address="127.0.0.1"):
    response = Client(HTTP_HOST="127.0.0.1", REMOTE_ADDR=address).get("/metrics")
    assert response.status_code == 200, response.content
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


class Growth:
    """By how much a number grew since this was made: the counters of a process are never set back."""

    def __init__(self):
        self.before = scrape()

    def of(self, *key):
        return scrape().get(key, 0) - self.before.get(key, 0)


@pytest.mark.django_db
def test_requests_are_counted_by_route_and_status_with_their_time(api):
    growth = Growth()
    api.get("/users/me")
    api.get("/users/me")
    assert growth.of("muster_requests_total", "401", "GET", "myself") == 2
    assert growth.of("muster_request_seconds_count", "myself") == 2
    assert growth.of("muster_request_seconds_bucket", "+Inf", "myself") == 2
    assert growth.of("muster_refusals_total", "myself", "not_authenticated") == 2


@pytest.mark.django_db
def test_strangers_cannot_make_up_series(api):
    before = set(scrape())
    for number in range(3):
        api.client.generic(f"EVIL{number}", f"/evil-{number}")
        api.get(f"/users/{number}-evil")
    assert not [key for key in set(scrape()) - before if "evil" in str(key).lower()]


@pytest.mark.django_db
def test_log_ins_are_counted_by_what_became_of_them(api):
    user, waiting = UserFactory(), UserFactory(is_verified=False)
    growth = Growth()
    log_in(api, user)
    for email, password in ((user.email, "wrong"), ("nobody@example.org", "wrong"), (waiting.email, PASSWORD)):
        api.post("/auth/login", {"email": email, "password": password})
    form = urlencode({"grant_type": "password", "username": user.email, "password": PASSWORD})
    api.client.generic("POST", "/api/v1/auth/token", form, "application/x-www-form-urlencoded")
    assert growth.of("muster_log_ins_total", "success") == 2
    assert growth.of("muster_log_ins_total", "invalid_credentials") == 2
    assert growth.of("muster_log_ins_total", "email_not_verified") == 1


@pytest.mark.django_db(transaction=True)
def test_a_reused_refresh_token_is_counted(api, settings):
    first = log_in(api, UserFactory())
    growth = Growth()
    second = api.post("/auth/refresh", {"refresh": first["refresh"]}).json()
    api.post("/auth/refresh", {"refresh": first["refresh"]})
    settings.REFRESH_GRACE_SECONDS = 0
    api.post("/auth/refresh", {"refresh": second["refresh"]})
    assert growth.of("muster_refreshes_total", "reused") == 0
    api.post("/auth/refresh", {"refresh": first["refresh"]})
    outcomes = ("rotated", "repeated", "reused", "refused")
    assert [growth.of("muster_refreshes_total", outcome) for outcome in outcomes] == [2, 1, 1, 1]


@pytest.mark.django_db
def test_the_outbox_is_told_by_depth_and_age():
    OutgoingMailFactory(created_at=timezone.now() - timedelta(minutes=10))
    OutgoingMailFactory(state="failed")
    OutgoingMailFactory(state="sent")
    told = scrape()
    assert (told["muster_outbox_mails", "waiting"], told["muster_outbox_mails", "failed"]) == (1, 1)
    assert 600 <= told["muster_outbox_oldest_seconds",] < 700


@pytest.mark.django_db
def test_a_heart_that_never_beat_is_infinitely_old():
    assert scrape()["muster_worker_heartbeat_age_seconds",] == math.inf
    heartbeat.beat()
    assert scrape()["muster_worker_heartbeat_age_seconds",] < 5
    Counter.objects.update(expires_at=timezone.now() - timedelta(minutes=4))
    assert 290 < scrape()["muster_worker_heartbeat_age_seconds",] < 310


@pytest.mark.django_db
def test_failures_of_background_work_on_any_host_are_told():
    note_failure("mail.tasks.sweep_mail")
    note_failure("mail.tasks.sweep_mail", ValueError("x"))
    assert scrape()["muster_background_failures_total", "mail.tasks.sweep_mail"] == 2


@pytest.mark.django_db
def test_live_sessions_are_counted():
    user = UserFactory()
    sessions = [signed_in(user).session for _ in range(3)]
    Session.objects.filter(pk=sessions[0].pk).update(ended_at=timezone.now())
    assert scrape()["muster_sessions_live",] == 2


@pytest.mark.service
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's estimate")
def test_beyond_a_bound_sessions_are_estimated_and_not_counted():
    now = timezone.now()
    user = UserFactory()
    times = dict.fromkeys(["created_at", "rotated_at", "last_used_at"], now)
    ends = dict.fromkeys(["access_expires_at", "refresh_expires_at", "expires_at"], now + timedelta(days=1))
    Session.objects.bulk_create(Session(user=user, device="Test", **times, **ends) for _ in range(3000))
    Session.objects.filter(pk__in=Session.objects.values("pk")[:1000]).update(ended_at=now)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sessions")
    assert Session.objects.about_how_many_live(5000) == 2000
    assert 1800 < Session.objects.about_how_many_live(100) < 2200


@pytest.mark.django_db
def test_a_database_that_is_away_is_told_beside_what_is_known_without_it(monkeypatch):
    def cursor():
        raise OperationalError("away")

    monkeypatch.setattr(connection, "cursor", cursor)
    told = scrape()
    assert told["muster_store_up", "database"] == 0
    assert ("muster_requests_total", "200", "GET", "metrics") in told
    monkeypatch.undo()
    assert scrape()["muster_store_up", "database"] == 1


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["10.0.0.1", "192.0.2.1", "2001:db8::1", "::ffff:10.0.0.1", ""])
def test_nobody_outside_the_networks_is_answered(address):
    response = Client(HTTP_HOST="127.0.0.1", REMOTE_ADDR=address).get("/metrics")
    assert refusal(response) == (403, "permission_denied")
    assert b"muster_requests" not in response.content


@pytest.mark.django_db
def test_a_header_opens_no_door():
    response = Client(HTTP_HOST="127.0.0.1", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="127.0.0.1").get("/metrics")
    assert refusal(response) == (403, "permission_denied")


@pytest.mark.django_db
def test_a_network_can_be_allowed(settings):
    settings.METRICS_ALLOW = ["10.0.0.0/8", "2001:db8::/32"]
    assert scrape("10.1.2.3")
    assert scrape("2001:db8::7")


# --- Several processes -------------------------------------------------------------------------------------------

WORKER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from core import metrics
metrics.count("x", "GET", 200, None, 0.1)
metrics.PASSWORDS.labels("running").inc()
print("counted", flush=True)
sys.stdin.read()
os._exit(9)  # no good-bye, as when it is killed
"""


def test_processes_are_summed_up_and_the_gauges_of_dead_ones_forgotten(tmp_path, monkeypatch):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(SOURCE)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout.readline() == b"counted\n"
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    def told():
        lines = metrics.counted().decode().splitlines()
        return [line.split()[-1] for line in lines if line.startswith(("muster_requests_total{", PASSWORDS))]

    PASSWORDS = 'muster_passwords{state="running"}'  # noqa: N806
    assert told() == ["2.0", "2.0"]
    workers[0].communicate()
    assert sorted(told()) == ["1.0", "2.0"], "counters stay, gauges go"
    workers[1].communicate()
    assert told() == ["2.0"]
