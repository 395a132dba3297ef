"""Whether this process lives, and whether it can do its work."""

import pytest
from django.db import OperationalError
from django.test import Client

from accounts.tests.scene import refusal
from config import health
from core import redis
from mail.tests.servers import free_port


@pytest.fixture
def away(monkeypatch):
    def cursor():
        raise OperationalError("connection refused: secret-host.internal")

    monkeypatch.setattr(health.connection, "cursor", cursor)


def test_a_living_process_says_so_and_asks_nobody(api, away):
    response = api.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_a_ready_process_names_its_stores(api, settings):
    settings.REDIS_URL = ""
    response = api.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "database": "ok"})


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
