"""The narrow lane of passwords: bounded, patient for a moment, and never in the way of anything else."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from django.contrib.auth import hashers as django_hashers

from accounts import hashing
from accounts.hashing import PLACES, check_password, lane, make_password
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.scene import nothing_changes, refusal
from core.errors import ServiceUnavailable
from tests.operations import operations


@pytest.fixture
def full(monkeypatch):
    """All places are taken by others."""
    monkeypatch.setattr(hashing, "PATIENCE", 0.05)
    done, ready = threading.Event(), threading.Barrier(PLACES + 1)

    def hash_for_long():
        with lane():
            ready.wait(5)
            done.wait(10)

    with ThreadPoolExecutor(PLACES) as pool:
        for _ in range(PLACES):
            pool.submit(hash_for_long)
        ready.wait(5)
        yield
        done.set()


def test_no_more_hash_at_once_than_there_are_places(monkeypatch):
    running, most, counting = 0, 0, threading.Lock()

    def slow(password):
        nonlocal running, most
        with counting:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with counting:
            running -= 1
        return password

    monkeypatch.setattr(django_hashers, "make_password", slow)
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(make_password, map(str, range(40)))) == list(map(str, range(40)))
    assert most == PLACES


def test_who_waits_in_vain_is_refused_and_told_when_to_come_again(full):
    with pytest.raises(ServiceUnavailable) as refused:
        make_password("x")
    assert int(refused.value.headers["Retry-After"]) >= 1


def test_a_weak_hash_is_made_anew_within_the_same_place(settings):
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    weak, kept = django_hashers.make_password("x", hasher="md5"), []
    with ThreadPoolExecutor(PLACES) as pool:  # as many as would wait for each other for ever
        found = pool.map(
            lambda _: check_password("x", weak, lambda raw: kept.append(make_password(raw))), range(PLACES)
        )
        assert all(found)
    assert len(kept) == PLACES
    assert all(encoded.startswith("pbkdf2") for encoded in kept)


def test_a_hash_that_fails_gives_its_place_back(monkeypatch):
    def broken(password):
        raise RuntimeError

    monkeypatch.setattr(django_hashers, "make_password", broken)
    for _ in range(PLACES + 1):
        with pytest.raises(RuntimeError):
            make_password("x")


@pytest.mark.django_db
@pytest.mark.parametrize("email", ["somebody", "nobody@example.org"])
def test_a_full_lane_refuses_known_and_unknown_alike_and_remembers_nothing(api, full, email):
    user = UserFactory()
    email = user.email if email == "somebody" else email
    with nothing_changes():
        response = api.post("/auth/login", {"email": email, "password": PASSWORD})
    assert refusal(response) == (503, "service_unavailable")
    assert int(response["Retry-After"]) >= 1


@pytest.mark.django_db
def test_the_token_endpoint_and_the_panel_stand_in_the_same_lane(api, full, settings):
    user = UserFactory(is_staff=True)
    form = urlencode({"grant_type": "password", "username": user.email, "password": PASSWORD})
    answer = api.client.generic("POST", "/api/v1/auth/token", form, "application/x-www-form-urlencoded")
    assert refusal(answer) == (503, "service_unavailable")
    page = api.client.post("/admin/login/", {"username": user.email, "password": PASSWORD})
    assert b"Too many passwords" in page.content
    assert "sid" not in api.client.session


@pytest.mark.django_db
def test_what_hashes_nothing_does_not_wait(api, full):
    assert api.get("/users/me").status_code == 401
    assert api.post("/auth/refresh", {"refresh": "x"}).status_code == 401
    assert api.post("/auth/password/forgot", {"email": "nobody@example.org"}).status_code == 202


def test_every_operation_that_takes_a_password_has_its_own_threads_under_serve(settings):
    paths = {o.path for o in operations() if takes_password(o.spec)}
    ours = {path for path in settings.HASHING_PATHS if path.startswith("/api/")}
    assert ours == paths


def takes_password(spec):
    from tests.operations import schema

    bodies = spec.get("requestBody", {}).get("content", {}).values()
    names = [body["schema"]["$ref"].rpartition("/")[2] for body in bodies if "$ref" in body["schema"]]
    fields = {field for name in names for field in schema()["components"]["schemas"][name]["properties"]}
    return any("password" in field for field in fields)
