"""What stands in Redis of each session, on a real one: there while it lives, gone at every ending, never a door."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis as client
from django.core.management import call_command
from django.utils import timezone

from accounts import page_sessions, presence
from accounts.models import Session, User
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.scene import administrator, code_in, letter, log_in
from core import redis
from scripts.services import free_port, is_pong, redis_program, running, wait_for
from tests.client import ApiClient

NEW = "Wholly-new-horse-7"

pytestmark = [
    pytest.mark.service,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not os.environ.get("REDIS_URL"), reason="REDIS_URL missing: run ./run services …"),
    pytest.mark.skipif(not redis_program(), reason="redis-server is not installed"),
]


@contextmanager
def server(folder: Path, port: int) -> Iterator[Any]:
    """A Redis of one's own, that can be stopped without harm to others."""
    log = folder / "redis.log"
    command = [redis_program(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--appendonly", "yes"]
    with running(command, log, signal.SIGTERM) as process:
        wait_for(lambda: is_pong(port), process, log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)


class Own:
    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = client.Redis.from_url(self.url, decode_responses=True)
        self.stack = ExitStack()
        self.process: Any = None

    def start(self) -> None:
        self.process = self.stack.enter_context(server(self.folder, self.port))

    def sessions(self) -> set[str]:
        return set(self.client.scan_iter("session:*"))


@pytest.fixture(scope="module")
def one(tmp_path_factory: Any) -> Iterator[Own]:
    own = Own(tmp_path_factory.mktemp("redis"))
    own.start()
    yield own
    own.stack.close()


@pytest.fixture
def own(one: Own, settings: Any) -> Iterator[Own]:
    settings.REDIS_URL = one.url
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": one.url}}
    awake()
    redis._client.cache_clear()
    one.client.flushall()
    yield one
    one.process.send_signal(signal.SIGCONT)
    redis._client.cache_clear()
    awake()


def awake() -> None:
    redis._away_until = page_sessions.PatientCache._away_until = 0.0


def key_of(pair: Any) -> str:
    from accounts import tokens

    claims = tokens.read(pair["access"], "access")
    assert claims
    return f"session:{claims.session_id}"


def test_a_command_that_fails_leaves_no_answer_to_the_next_question(own: Own) -> None:
    own.client.set("word", "not a number")
    assert not redis.send(("INCR", "word"), ("SET", "after", "it"))
    awake()
    assert redis.ask(lambda r: r.get("word")) == "not a number"
    assert redis.send(("SET", "one", 1), ("SADD", "some", "two"))
    assert (own.client.get("one"), own.client.smembers("some")) == ("1", {"two"})


# --- Every ending ------------------------------------------------------------------------------------------------


class Scene:
    """Somebody with a session that is about to end, one of somebody else's, and an administrator."""

    def __init__(self, api: ApiClient) -> None:
        self.api = api
        self.user, self.other = UserFactory(), UserFactory()
        self.pair, self.others = log_in(api, self.user), log_in(api, self.other)
        self.admin = log_in(api, administrator())["access"]
        self.sid = key_of(self.pair).removeprefix("session:")


def of_reuse(s: Scene) -> None:
    pair = s.pair
    for _ in range(2):
        pair = s.api.post("/auth/refresh", {"refresh": pair["refresh"]}).json()
    assert s.api.post("/auth/refresh", {"refresh": s.pair["refresh"]}).status_code == 401


def of_change(s: Scene) -> None:
    here = log_in(s.api, s.user)
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert s.api.put("/users/me/password", body, token=here["access"]).status_code == 204
    assert redis.ask(lambda r: r.exists(key_of(here))), "the session that changed it goes on"


def of_reset(s: Scene) -> None:
    s.api.post("/auth/password/forgot", {"email": s.user.email})
    code = code_in(letter("reset", s.user.email))
    body = {"email": s.user.email, "code": code, "new_password": NEW}
    assert s.api.post("/auth/password/reset", body).status_code == 204


def by_admin(method: str, path: str, body: Any = None) -> Callable[[Scene], None]:
    def end(s: Scene) -> None:
        where = path.format(user=s.user.pk, sid=s.sid)
        assert s.api.call(method, where, body, token=s.admin).status_code in (200, 204)

    return end


def by_owner(method: str, path: str, body: Any = None) -> Callable[[Scene], None]:
    def end(s: Scene) -> None:
        answer = s.api.call(method, path.format(sid=s.sid), body, token=s.pair["access"])
        assert answer.status_code == 204, answer.content

    return end


def by_command(verb: str) -> Callable[[Scene], None]:
    return lambda s: call_command("users", verb, s.user.email)


ENDINGS: dict[str, Callable[[Scene], None]] = {
    "log-out by the refresh token": lambda s: s.api.post("/auth/logout", {"refresh": s.pair["refresh"]}),
    "log-out by the access token": by_owner("POST", "/auth/logout"),
    "log-out everywhere": by_owner("POST", "/auth/logout/all"),
    "a spent token that came back": of_reuse,
    "a new password": of_change,
    "a reset password": of_reset,
    "one's own device taken away": by_owner("DELETE", "/users/me/sessions/{sid}"),
    "closing the account": by_owner("DELETE", "/users/me", {"password": PASSWORD}),
    "another address, given by an administrator": by_admin("PATCH", "/users/{user}", {"email": "moved@example.org"}),
    "deactivation": by_admin("PATCH", "/users/{user}", {"is_active": False}),
    "deletion": by_admin("DELETE", "/users/{user}"),
    "one session revoked": by_admin("DELETE", "/sessions/{sid}"),
    "all sessions of somebody revoked": by_admin("DELETE", "/users/{user}/sessions"),
    "the command that ends sessions": by_command("end-sessions"),
    "the command that deactivates": by_command("deactivate"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_key_is_gone_at_every_ending_and_those_of_others_stay(api: ApiClient, own: Own, ending: str) -> None:
    scene = Scene(api)
    mine, others = key_of(scene.pair), key_of(scene.others)
    assert {mine, others} <= own.sessions()
    ENDINGS[ending](scene)
    assert mine not in own.sessions()
    assert others in own.sessions()
    assert api.get("/users/me", token=scene.pair["access"]).status_code == 401
    assert api.get("/users/me", token=scene.others["access"]).status_code == 200
    presence.carry_over()
    assert mine not in own.sessions()


def test_everyones_keys_go_but_the_administrators_own(api: ApiClient, own: Own) -> None:
    scene = Scene(api)
    assert api.delete("/sessions", token=scene.admin).status_code == 204
    assert own.sessions() == {f"session:{Session.objects.get(ended_at=None).pk}"}


def test_all_keys_go_with_the_signing_key_of_their_tokens(api: ApiClient, own: Own) -> None:
    scene = Scene(api)
    call_command("keys", "revoke", Session.objects.values_list("key_id", flat=True).distinct().get())
    assert own.sessions() == set()
    assert api.get("/users/me", token=scene.pair["access"]).status_code == 401


def test_an_ending_that_is_undone_leaves_the_key(api: ApiClient, own: Own) -> None:
    pair = log_in(api, administrator())
    assert api.delete("/users/me", {"password": PASSWORD}, token=pair["access"]).status_code == 409
    assert key_of(pair) in own.sessions()


def test_no_ending_was_forgotten() -> None:
    """Whoever adds a reason to end sessions shows here that the keys go."""
    shown = {"log_out", "revoked", "reused", "password", "email", "deactivated", "key"}
    assert {why.value for why in Session.Ended} == shown


def test_a_session_that_nobody_uses_leaves_by_itself(api: ApiClient, own: Own, settings: Any) -> None:
    settings.SESSION_IDLE_SECONDS = 2
    pair = log_in(api, UserFactory())
    assert 0 < own.client.pttl(key_of(pair)) <= 2000
    time.sleep(2.2)
    assert own.sessions() == set()
    assert api.post("/auth/refresh", {"refresh": pair["refresh"]}).status_code == 401


def test_the_time_to_live_is_the_idle_limit_and_never_past_the_absolute_one(
    api: ApiClient, own: Own, settings: Any
) -> None:
    settings.SESSION_IDLE_SECONDS, settings.SESSION_MAX_SECONDS = 1000, 1500
    pair = log_in(api, UserFactory())
    assert 990 < own.client.ttl(key_of(pair)) <= 1000
    Session.objects.update(expires_at=timezone.now() + timedelta(seconds=300))
    pair = api.post("/auth/refresh", {"refresh": pair["refresh"]}).json()
    assert 290 < own.client.ttl(key_of(pair)) <= 300


# --- Use ---------------------------------------------------------------------------------------------------------


def test_using_a_session_writes_nothing_to_the_database_until_it_is_carried_over(api: ApiClient, own: Own) -> None:
    pair = log_in(api, UserFactory())
    before = own.client.ttl(key_of(pair))
    presence.carry_over()
    long_ago = timezone.now() - timedelta(hours=2)
    Session.objects.update(last_used_at=long_ago)
    assert api.get("/users/me", token=pair["access"]).status_code == 200
    assert Session.objects.get().last_used_at == long_ago
    assert own.client.ttl(key_of(pair)) <= before, "use pushes no limit on: refreshing does"
    assert presence.carry_over() == 1
    assert Session.objects.get().last_used_at > timezone.now() - timedelta(minutes=1)
    assert presence.carry_over() == 0, "what nobody used since is not looked at again"


def test_carrying_over_never_sets_back(api: ApiClient, own: Own) -> None:
    pair = log_in(api, UserFactory())
    api.get("/users/me", token=pair["access"])
    ahead = timezone.now() + timedelta(minutes=5)
    Session.objects.update(last_used_at=ahead)
    presence.carry_over()
    assert Session.objects.get().last_used_at == ahead


def test_what_could_not_be_carried_over_is_tried_again(api: ApiClient, own: Own, monkeypatch: Any) -> None:
    log_in(api, UserFactory())

    def broken(ids: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr(presence, "_carry", broken)
        presence.carry_over()
    assert presence.carry_over() == 1


def test_no_key_or_value_holds_anything_usable(api: ApiClient, own: Own) -> None:
    user = UserFactory()
    pair = log_in(api, user)
    api.get("/users/me", token=pair["access"])
    for key in own.client.keys("*"):
        kind = own.client.type(key)
        value = own.client.get(key) if kind == "string" else own.client.smembers(key)
        assert not [secret for secret in (user.email, PASSWORD, *pair.values()) if str(secret) in f"{key} {value}"]


def test_limits_are_counted_there(api: ApiClient, own: Own) -> None:
    api.post("/auth/password/forgot", {"email": "nobody@example.org"})
    limits = list(own.client.scan_iter("limit:*"))
    assert limits
    assert all(3590 < own.client.ttl(key) <= 3600 for key in limits)


# --- Redis away at the ending ------------------------------------------------------------------------------------


@pytest.fixture(params=["stopped", "hung"])
def away(request: Any, own: Own) -> Callable[[], Any]:
    """A context in which Redis is away. One that was stopped comes back with what it held, as in production."""

    @contextmanager
    def leave() -> Iterator[None]:
        if request.param == "stopped":
            own.stack.close()
            yield
            own.start()
        else:
            own.process.send_signal(signal.SIGSTOP)
            yield
            own.process.send_signal(signal.SIGCONT)
        awake()

    leave.is_stopped = request.param == "stopped"  # type: ignore[attr-defined]
    return leave


@pytest.mark.parametrize("ending", ["log-out by the refresh token", "a new password", "deactivation", "deletion"])
def test_a_key_that_lingers_lets_nobody_in_and_expires(
    api: ApiClient, own: Own, away: Any, settings: Any, ending: str
) -> None:
    settings.SESSION_IDLE_SECONDS = 8
    scene = Scene(api)
    mine = key_of(scene.pair)
    with away():
        started = time.monotonic()
        if ending == "a new password":
            body = {"current_password": PASSWORD, "new_password": NEW}
            here = log_in(api, scene.user)
            assert api.put("/users/me/password", body, token=here["access"]).status_code == 204
        else:
            ENDINGS[ending](scene)
        assert time.monotonic() - started < 5
        assert api.get("/users/me", token=scene.pair["access"]).status_code == 401
    if away.is_stopped:  # a hung one may have got the word in its buffer, and obeys when it wakes up
        assert mine in own.sessions(), "it was away, so nobody could take the key"
    assert api.get("/users/me", token=scene.pair["access"]).status_code == 401
    assert api.post("/auth/refresh", {"refresh": scene.pair["refresh"]}).status_code == 401
    assert Session.objects.get(pk=scene.sid).ended_at
    left = own.client.pttl(mine)
    assert left <= 8000
    time.sleep(max(0, left) / 1000 + 0.3)
    assert mine not in own.sessions()


def test_a_key_that_came_late_is_taken_away_by_the_next_carrying_over(api: ApiClient, own: Own) -> None:
    """A refresh and an ending at once: the refresh may write its key last."""
    pair = log_in(api, UserFactory())
    session = Session.objects.get()
    api.post("/auth/logout", {"refresh": pair["refresh"]})
    presence.appear(session)
    assert key_of(pair) in own.sessions()
    presence.carry_over()
    assert own.sessions() == set()


def test_emptying_redis_brings_no_token_back_and_ends_none(api: ApiClient, own: Own) -> None:
    scene = Scene(api)
    ENDINGS["log-out by the refresh token"](scene)
    own.client.flushall()
    assert api.get("/users/me", token=scene.pair["access"]).status_code == 401
    assert api.post("/auth/refresh", {"refresh": scene.pair["refresh"]}).status_code == 401
    assert api.get("/users/me", token=scene.others["access"]).status_code == 200
    assert own.sessions() == set(), "a request alone makes no key: it would be one without an end"
    refreshed = api.post("/auth/refresh", {"refresh": scene.others["refresh"]}).json()
    assert own.sessions() == {key_of(refreshed)}


def test_a_forged_key_opens_nothing(api: ApiClient, own: Own) -> None:
    scene = Scene(api)
    ENDINGS["deletion"](scene)
    own.client.set(key_of(scene.pair), int(time.time()) + 9999, ex=1000)
    own.client.sadd("used-sessions", scene.sid)
    assert api.get("/users/me", token=scene.pair["access"]).status_code == 401
    presence.carry_over()
    assert own.sessions().isdisjoint({key_of(scene.pair)})


# --- Django's own sessions ---------------------------------------------------------------------------------------


def staff() -> Any:
    return administrator(is_staff=True)


def sign_in(api: ApiClient, user: User) -> Any:
    return api.client.post("/admin/login/?next=/admin/", {"username": user.email, "password": PASSWORD})


def pages_of(own: Own) -> set[str]:
    return {key for key in own.client.scan_iter("*") if "sessions.cached_db" in key}


def test_a_page_session_stands_there_under_a_hash_and_leaves_with_the_log_out(api: ApiClient, own: Own) -> None:
    assert sign_in(api, staff()).status_code == 302
    [page] = pages_of(own)
    [cookie] = [morsel.value for name, morsel in api.client.cookies.items() if name.endswith("session")]
    assert cookie not in page
    assert own.client.ttl(page) > 1000
    assert len(own.sessions()) == 1, "and the Session row behind it has its key like any other"
    api.client.post("/admin/logout/")
    assert pages_of(own) == set()
    assert own.sessions() == set()


def test_the_panel_works_while_redis_is_away(api: ApiClient, own: Own, away: Any) -> None:
    with away():
        started = time.monotonic()
        assert sign_in(api, staff()).status_code == 302
        assert api.client.get("/admin/").status_code == 200
        assert api.client.post("/admin/logout/").status_code == 200
        assert api.client.get("/admin/").status_code == 302
        assert time.monotonic() - started < 6


def test_a_page_session_that_could_not_be_taken_away_lets_nobody_in(api: ApiClient, own: Own) -> None:
    assert sign_in(api, staff()).status_code == 302
    cookies = api.client.cookies.copy()
    assert api.client.get("/admin/").status_code == 200
    own.stack.close()
    api.client.post("/admin/logout/")
    own.start()
    awake()
    assert pages_of(own), "it was away, so nobody could take it"
    api.client.cookies = cookies
    assert api.client.get("/admin/").status_code == 302
