"""Whether this process lives, and whether it can do its work."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from accounts.services import heartbeat
from accounts.tests.scene import refusal
from config import health
from core import redis
from core.server import LEAVING, environ
from core.tests.test_server import scope
from mail.tests.factories import OutgoingMailFactory
from mail.tests.servers import free_port


@pytest.fixture
def away(monkeypatch):
    def cursor():
        raise OperationalError("connection refused: secret-host.internal")

    monkeypatch.setattr(connection, "cursor", cursor)


def test_a_living_process_says_so_and_asks_nobody(api, away):
    response = api.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_a_ready_process_names_its_stores(api, settings):
    settings.REDIS_URL = ""
    response = api.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "database": "ok",
        "outbox": {"waiting": 0, "oldest_seconds": 0, "failed": 0},
        "worker": "silent",
    }


@pytest.mark.django_db
def test_a_lagging_outbox_and_a_worker_are_told_and_make_no_process_unready(api, settings):
    settings.REDIS_URL = ""
    heartbeat.beat()
    long_ago = timezone.now() - timedelta(seconds=500)
    OutgoingMailFactory(created_at=long_ago, attempts=3, next_try_at=timezone.now() + timedelta(hours=1))
    OutgoingMailFactory(state="sending")
    OutgoingMailFactory(state="sent", created_at=timezone.now() - timedelta(days=3))
    OutgoingMailFactory.create_batch(2, state="failed")
    response = api.get("/readyz")
    assert response.status_code == 200
    told = response.json()
    assert (told["status"], told["worker"]) == ("ok", "ok")
    assert 500 <= told["outbox"].pop("oldest_seconds") < 600
    assert told["outbox"] == {"waiting": 2, "failed": 2}


@pytest.mark.django_db
def test_counting_stops_at_a_bound(api, settings, monkeypatch):
    settings.REDIS_URL = ""
    monkeypatch.setattr(health, "COUNTED_AT_MOST", 3)
    OutgoingMailFactory.create_batch(5)
    OutgoingMailFactory.create_batch(5, state="failed")
    told = api.get("/readyz").json()["outbox"]
    assert (told["waiting"], told["failed"]) == (3, 3)


@pytest.mark.django_db
def test_a_look_costs_at_most_six_small_questions(api, settings, django_assert_max_num_queries):
    settings.REDIS_URL = ""
    OutgoingMailFactory()
    with django_assert_max_num_queries(6):
        assert api.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_nothing_private_is_told(api, settings):
    settings.REDIS_URL = ""
    mail = OutgoingMailFactory(state="failed", last_error="SMTPDataError 554")
    text = api.get("/readyz").content.decode()
    assert mail.to not in text
    assert "554" not in text


@pytest.mark.django_db
def test_a_leaving_process_is_not_ready_and_lives(settings):
    settings.REDIS_URL = ""
    client = Client(HTTP_HOST="127.0.0.1", **{LEAVING: True})
    assert refusal(client.get("/readyz")) == (503, "service_unavailable")
    assert client.get("/healthz").status_code == 200
    assert client.get("/api/v1/users/me").status_code == 401, "whoever comes is served until the end"


def test_nobody_can_say_from_outside_that_we_are_leaving():
    env = environ(scope(("muster.leaving", "1"), ("muster-leaving", "1")), b"")
    assert not env.get(LEAVING)


def test_a_database_that_is_away_is_named_without_its_whereabouts(api, away, settings):
    settings.REDIS_URL = ""
    response = api.get("/readyz")
    assert refusal(response) == (503, "service_unavailable")
    assert response.json()["detail"] == "Away: database."
    assert int(response["Retry-After"]) >= 1
    assert "secret-host" not in response.content.decode()


@pytest.fixture
def no_redis(settings):
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    redis._client.cache_clear()
    yield
    redis._client.cache_clear()


@pytest.mark.django_db
def test_a_redis_that_is_away_is_named_where_it_is_configured(api, no_redis):
    response = api.get("/readyz")
    assert refusal(response) == (503, "service_unavailable")
    assert response.json()["detail"] == "Away: redis."


def test_both_are_named_when_both_are_away(api, away, no_redis):
    assert api.get("/readyz").json()["detail"] == "Away: database, redis."


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_come_by_any_host_name(path, settings):
    settings.REDIS_URL = ""
    response = Client(HTTP_HOST="10.1.2.3:8000").get(path)
    assert response.status_code == 200
    assert response["X-Request-ID"]


def test_other_addresses_answer_to_our_names_only():
    response = Client(HTTP_HOST="evil.example").get("/api/v1/users/me")
    assert refusal(response) == (400, "unknown_host")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.django_db
def test_other_methods_are_refused(method, path):
    response = Client(HTTP_HOST="127.0.0.1").generic(method, path)
    assert refusal(response) == (405, "method_not_allowed")
