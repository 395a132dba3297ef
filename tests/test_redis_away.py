"""Redis helps and never decides: without it, or with one that hangs, everything works and every limit holds."""

import socket
import time
from collections.abc import Iterator

import pytest

from accounts import limits
from accounts.models import Session
from accounts.tests.factories import PASSWORD, UserFactory
from core import redis

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["gone", "hung"])
def away(request, settings) -> Iterator[None]:
    """A Redis that nobody runs, or one that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if request.param == "gone":
            listener.close()
        settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
        client = redis._client
        client.cache_clear()
        redis._away_until = 0.0
        yield
        client.cache_clear()
        redis._away_until = 0.0


def test_people_log_in_refresh_and_are_locked_out_as_always(api, away):
    user = UserFactory()
    started = time.monotonic()
    pair = api.post("/auth/login", {"email": user.email, "password": PASSWORD}).json()
    assert api.get("/users/me", token=pair["access"]).status_code == 200
    assert api.post("/auth/refresh", {"refresh": pair["refresh"]}).status_code == 200
    assert api.post("/auth/logout/all", token=pair["access"]).status_code == 204
    assert api.get("/users/me", token=pair["access"]).status_code == 401
    assert Session.objects.get().ended_at
    # Asked once, for 0.3 seconds, and then left alone: a request never waits for it again and again.
    assert time.monotonic() - started < 3


def test_limits_stay_enforced_in_the_database(api, away, monkeypatch):
    monkeypatch.setattr(limits, "MAIL_REQUESTS_PER_CLIENT", 3)
    answers = [api.post("/auth/password/forgot", {"email": "a@example.org"}).status_code for _ in range(5)]
    assert answers == [202, 202, 202, 429, 429]


def test_a_redis_that_comes_back_is_used_again(away, monkeypatch):
    assert redis.ask(lambda client: client.ping()) is None
    resting = redis._away_until
    assert redis.ask(lambda client: client.ping()) is None
    assert redis._away_until == resting, "it was asked although it rests"
    monkeypatch.setattr(redis, "_client", Answering)
    redis._away_until = 0.0
    assert redis.ask(lambda client: client.ping()) is True


class Answering:
    def ping(self) -> bool:
        return True
