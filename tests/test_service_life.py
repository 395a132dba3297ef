"""The whole life of an account on the real components: PostgreSQL, Redis, Celery's worker and beat, SMTP."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from tests.sent_mails import SentMails, eventually

ROOT = Path(__file__).resolve().parent.parent
NEEDED = [name for name in ("DATABASE_URL", "REDIS_URL") if not os.environ.get(name)]
ADMIN, PASSWORD = "admin@example.org", "Correct-horse-9"

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(
        bool(NEEDED), reason=f"{' and '.join(NEEDED)} missing: run ./run services ./run test -m service"
    ),
]


# The health check of a host whose worker is not there.
ELSEWHERE = """
import socket
from django.core.management import CommandError, call_command
socket.gethostname = lambda: "elsewhere"
try:
    call_command("ping_worker")
except CommandError as error:
    print(error)
"""


class Service:
    """Server, worker and beat as separate processes, over a database of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mailbox = SentMails()
        self.smtp = Controller(self.mailbox, hostname="127.0.0.1", port=free_port())
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "SECRET_KEY": "".join(f"{n:x}-long-enough-" for n in range(8)),
            "DEBUG": "false",
            "PUBLIC_URL": self.url,
            "EMAIL_URL": f"smtp://127.0.0.1:{self.smtp.port}",
            "DATABASE_URL": os.environ["DATABASE_URL"].rsplit("/", 1)[0] + "/muster_life",
            "DJANGO_SUPERUSER_EMAIL": ADMIN,
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "TMPDIR": str(folder),
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120)

    def begin(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, *command], cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT
                )
            )

    def start(self) -> None:
        self.smtp.start()
        assert self.manage("migrate", "-v0").returncode == 0
        made = self.manage("createsuperuser", "--noinput")
        assert made.returncode == 0, made.stderr
        celery = ("-m", "celery", "-A", "config")
        self.begin("serve", "manage.py", "serve", "--port", str(self.port), "--workers", "2")
        self.begin("worker", *celery, "worker", "--pool", "threads", "--concurrency", "2", "--loglevel", "INFO")
        self.begin("beat", *celery, "beat", "--schedule", str(self.folder / "beat"))
        eventually(lambda: self.call("GET", "/readyz")[0] == 200, seconds=60)

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(40)
        self.smtp.stop()

    def call(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
        except OSError:
            return 0, None

    def post(self, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        return self.call("POST", f"/api/v1{path}", body, token)

    def log_in(self, email: str, password: str) -> Any:
        status, answer = self.post("/auth/login", {"email": email, "password": password})
        assert status == 200, answer
        return answer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def service(tmp_path_factory: Any) -> Iterator[Service]:
    import psycopg

    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS muster_life")
        connection.execute("CREATE DATABASE muster_life")
        running = Service(tmp_path_factory.mktemp("service"))
        try:
            running.start()
            yield running
        finally:
            running.stop()
            connection.execute("DROP DATABASE muster_life")


@pytest.fixture(scope="module")
def redis(service: Service) -> Any:
    import redis as client

    return client.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


def signed_up(service: Service, email: str) -> None:
    assert service.post("/auth/signup", {"email": email, "password": PASSWORD})[0] == 202
    code = service.mailbox.code_for(email)
    assert service.post("/auth/verify", {"email": email, "code": code})[0] == 200


def test_a_person_signs_up_by_mail_and_is_locked_out_the_moment_somebody_says_so(service: Service) -> None:
    signed_up(service, "life@example.org")
    phone, laptop = (service.log_in("life@example.org", PASSWORD) for _ in range(2))
    admin = service.log_in(ADMIN, PASSWORD)["access"]
    user_id = phone["user"]["id"]
    status, role = service.post("/roles", {"name": "editor", "permissions": ["user:read"]}, admin)
    assert status == 201, role
    assert service.call("GET", "/api/v1/users", token=phone["access"])[0] == 403
    assert service.post(f"/users/{user_id}/roles", {"role": "editor"}, admin)[0] == 201
    assert service.call("GET", "/api/v1/users", token=phone["access"])[0] == 200
    assert service.call("DELETE", f"/api/v1/users/{user_id}", token=admin)[0] == 204
    for device in (phone, laptop):
        assert service.call("GET", "/api/v1/users/me", token=device["access"])[0] == 401
        assert service.post("/auth/refresh", {"refresh": device["refresh"]})[0] == 401


def test_a_live_session_stands_in_redis_and_leaves_with_its_ending(service: Service, redis: Any) -> None:
    signed_up(service, "redis@example.org")
    before = set(redis.scan_iter("session:*"))
    signed_in = service.log_in("redis@example.org", PASSWORD)
    key = next(iter(set(redis.scan_iter("session:*")) - before))
    assert 13 * 86400 < redis.ttl(key) <= 14 * 86400
    assert signed_in["access"] not in str(redis.get(key))
    redis.set(key, int(redis.get(key)) + 5000, keepttl=True)
    redis.sadd("used-sessions", key.removeprefix("session:"))
    looking = service.log_in("redis@example.org", PASSWORD)["access"]  # one that is looked at is used by that
    assert eventually(lambda: is_ahead(service, looking, key.removeprefix("session:")), seconds=90)
    assert service.post("/auth/logout", {"refresh": signed_in["refresh"]})[0] == 204
    assert not redis.exists(key)


def is_ahead(service: Service, token: str, session: str) -> bool:
    """Whether the periodic task has carried over the time that stood in Redis, which lies ahead of now."""
    status, answer = service.call("GET", "/api/v1/users/me/sessions", token=token)
    in_an_hour = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 3600))
    return status == 200 and any(s["id"] == session and s["last_used_at"] > in_an_hour for s in answer["results"])


def test_emptying_redis_lets_nobody_back_in_and_nobody_out(service: Service, redis: Any) -> None:
    signed_up(service, "flush@example.org")
    ended, kept = (service.log_in("flush@example.org", PASSWORD) for _ in range(2))
    service.post("/auth/logout", {"refresh": ended["refresh"]})
    redis.flushall()
    assert service.call("GET", "/api/v1/users/me", token=ended["access"])[0] == 401
    assert service.call("GET", "/api/v1/users/me", token=kept["access"])[0] == 200


def test_revocation_counts_in_every_process_on_the_next_request(service: Service) -> None:
    signed_up(service, "every@example.org")
    for _ in range(5):
        signed_in = service.log_in("every@example.org", PASSWORD)
        assert service.post("/auth/logout/all", token=signed_in["access"])[0] == 204
        answers = {service.call("GET", "/api/v1/users/me", token=signed_in["access"])[0] for _ in range(20)}
        assert answers == {401}


def test_the_doctor_finds_everything_in_order(service: Service) -> None:
    def healthy() -> bool:
        found = service.manage("doctor")
        return found.returncode == 0 and "Redis: answers" in found.stdout and "Background work: alive" in found.stdout

    assert eventually(healthy, seconds=60)


def test_the_worker_of_this_host_answers_its_health_check(service: Service) -> None:
    assert eventually(lambda: service.manage("ping_worker").returncode == 0)
    elsewhere = service.manage("shell", "-c", ELSEWHERE)
    assert "celery@elsewhere does not answer" in elsewhere.stdout


def test_a_worker_is_well_while_redis_is_away(service: Service) -> None:
    """Starting it again would not bring Redis back."""
    away = {**service.environment, "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    command = [sys.executable, "manage.py", "ping_worker"]
    done = subprocess.run(command, cwd=ROOT, env=away, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "The queue does not answer; the worker waits for it.\n")


def test_beat_shows_that_it_sends(service: Service) -> None:
    seen = eventually(
        lambda: (service.folder / "beat-sent").exists() and (service.folder / "beat-sent").stat().st_mtime
    )
    assert eventually(lambda: (service.folder / "beat-sent").stat().st_mtime > seen, seconds=60)


def test_all_lines_of_server_and_celery_are_json(service: Service) -> None:
    for name in ("serve", "worker"):
        lines = (service.folder / f"{name}.log").read_text().splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{")]
        assert events, name
        assert PASSWORD not in "\n".join(lines)
    strange = [line for line in (service.folder / "serve.log").read_text().splitlines() if not line.startswith("{")]
    assert not strange
