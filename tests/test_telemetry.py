"""What goes to Sentry and to a collector of traces, caught by a real server here, and what never goes there."""

import json
import subprocess
import sys
import urllib.request
from typing import Any

import pytest

from core.telemetry import scrub
from tests.serving import ROOT, serving, settings_for
from tests.sink import Sink, sink

SECRETS = {
    "password": "Correct-horse-9",
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTlhOGYzZSJ9.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZw",
    "address": "ann.lee+x@example.org",
    "code": "271828",
    "link": "bcdfghjkmnpqrstv" * 5,
    "cookie": "0123456789abcdef" * 3,
    "hash": "$2b$12$abcdefghijklmnopqrstuuJ1i0dOBrZ9Jr0WmQqJ2M4mN3cTqVxyz",
    "username": "annie-the-unique",
}

# A view of ours breaks in the worst way: with everything private in the request, in variables and in the message.
BROKEN = """
import json, os, sys
sys.path.insert(0, os.getcwd())
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django
django.setup()
from django.test import Client
from accounts.views.auth import LogInView
secrets = json.loads(sys.stdin.read())

def post(self, request, *args, **kwargs):
    body, copy = request.data, dict(secrets)
    try:
        raise KeyError(f"lost in the depth: {secrets['address']}")
    except KeyError as cause:
        told = " ".join(value for name, value in secrets.items() if name not in ("password", "username"))
        raise RuntimeError(f"it broke: {told}; Key (username)=({secrets['username']}) exists") from cause

LogInView.post = post
client = Client(HTTP_HOST="127.0.0.1", HTTP_X_REQUEST_ID="abc-123")
client.cookies["__Host-session"] = secrets["cookie"]
answer = client.post(
    f"/api/v1/auth/login?token={secrets['link']}", json.dumps(secrets), "application/json",
    HTTP_AUTHORIZATION=f"Bearer {secrets['token']}", HTTP_USER_AGENT=secrets["username"],
)
assert answer.status_code == 500, answer.content
import sentry_sdk
sentry_sdk.flush(5)
"""


def events(kept: Sink) -> list[Any]:
    """Each envelope is lines of JSON: a header, and then header and content of each item."""
    found = []
    for _, body in kept.bodies:
        items = [json.loads(line) for line in body.splitlines() if line.startswith(b"{")]
        found += [item for item in items if "exception" in item]
    return found


@pytest.mark.slow
def test_an_unexpected_error_reaches_sentry_and_nothing_private_with_it(tmp_path: Any) -> None:
    with sink() as kept:
        environment = {**settings_for(tmp_path), "SENTRY_DSN": f"http://key@{kept.address}/1"}
        done = subprocess.run(
            [sys.executable, "-c", BROKEN],
            cwd=ROOT,
            env=environment,
            input=json.dumps(SECRETS),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        [event] = kept.wait_for(lambda: events(kept))
    kinds = [value["type"] for value in event["exception"]["values"]]
    assert kinds == ["KeyError", "RuntimeError"]
    assert event["exception"]["values"][1]["value"].startswith("it broke: [hidden]")
    assert event["tags"]["request_id"] == "abc-123"
    frames = event["exception"]["values"][1]["stacktrace"]["frames"]
    assert any(frame["function"] == "post" for frame in frames)
    sent = b"".join(body for _, body in kept.bodies).decode()
    assert [name for name, secret in SECRETS.items() if secret in sent] == []
    assert not [frame for frame in frames if "vars" in frame]


def test_scrubbing_leaves_what_helps() -> None:
    event = {
        "event_id": "0" * 32,
        "user": {"email": "x@example.org"},
        "request": {"data": "x"},
        "message": "cannot open /srv/muster/file.py, 5 of 12 tried, status 503, took 1.5 s",
        "extra": [{"a": "see https://host/path?token=abc now"}, "a@b.example said 123456"],
    }
    assert scrub(event) == {
        "event_id": "0" * 32,
        "message": "cannot open /srv/muster/file.py, 5 of 12 tried, status 503, took 1.5 s",
        "extra": [{"a": "see https://host/path[hidden] now"}, "[hidden] said [hidden]"],
    }


@pytest.mark.slow
def test_a_request_is_a_span_within_its_callers_trace_and_names_nothing_private(tmp_path: Any) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    body = json.dumps({"email": SECRETS["address"], "password": SECRETS["password"]}).encode()
    headers = {
        "Content-Type": "application/json",
        "traceparent": f"00-{trace}-00f067aa0ba902b7-01",
        "X-Request-ID": "abc-123",
        "Authorization": f"Bearer {SECRETS['token']}",
        "User-Agent": SECRETS["username"],
    }
    with sink() as kept:
        with serving(tmp_path, "--workers", "1", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{kept.address}") as server:
            url = f"{server.url}/api/v1/auth/login?token={SECRETS['link']}"
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30)
            assert refused.value.code == 401
            mine = kept.wait_for(lambda: [span for span in spans(kept) if span.trace_id.hex() == trace])
            kept.wait_for(lambda: [span for span in spans(kept) if span.name == "mail.tasks.sweep_mail"])
            lines = [json.loads(line) for line in server.log.read_text().splitlines()]
        [request] = [span for span in mine if span.name == "POST log-in"]
        told = {attribute.key: attribute.value for attribute in request.attributes}
        assert told["request_id"].string_value == "abc-123"
        assert told["http.response.status_code"].int_value == 401
        assert request.parent_span_id.hex() == "00f067aa0ba902b7"
        queries = [span for span in mine if span.parent_span_id == request.span_id]
        assert {span.name for span in queries} >= {"db SELECT", "db INSERT"}
        sent = b"".join(body for _, body in kept.bodies)
    assert {path for path, _ in kept.bodies} == {"/v1/traces"}
    assert [name for name, secret in SECRETS.items() if secret.encode() in sent] == []
    assert [line["trace_id"] for line in lines if line.get("request_id") == "abc-123"] == [trace]


def spans(kept: Sink) -> list[Any]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    found = []
    for _, body in list(kept.bodies):
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                found += scope.spans
    return found


@pytest.mark.slow
def test_a_collector_and_a_sentry_that_are_away_disturb_nobody(tmp_path: Any) -> None:
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "SENTRY_DSN": "http://key@127.0.0.1:1/1"}
    with serving(tmp_path, "--workers", "1", **away) as server:
        for _ in range(20):
            assert urllib.request.urlopen(f"{server.url}/readyz", timeout=5).status == 200
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("name", "value", "package"),
    [
        ("SENTRY_DSN", "https://key@sentry.example.org/1", "sentry_sdk"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example.org:4318", "opentelemetry"),
    ],
)
def test_without_its_packages_the_start_is_refused_in_one_line(
    tmp_path: Any, name: str, value: str, package: str
) -> None:
    without = f"import sys; sys.modules[{package!r}] = None; sys.argv = ['manage.py', 'check']; import config.settings"
    command = [sys.executable, "-c", without]
    environment = {**settings_for(tmp_path), name: value}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"Muster cannot start: {name} needs more packages: "
        "pip install --require-hashes -r requirements-observability.txt"
    )
    ours = subprocess.run(command, cwd=ROOT, env=settings_for(tmp_path), capture_output=True, text=True, timeout=60)
    assert ours.returncode == 0, "without the variable nobody needs the packages"


@pytest.mark.parametrize("dsn", ["https://sentry.example.org/1", "https://key@sentry.example.org", "sentry"])
def test_a_dsn_that_is_none_refuses_the_start(tmp_path: Any, dsn: str) -> None:
    command = [sys.executable, "manage.py", "check"]
    environment = {**settings_for(tmp_path), "SENTRY_DSN": dsn}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("Muster cannot start: SENTRY_DSN ")
    assert len(done.stderr.splitlines()) == 1
