"""`.env.example`, the code, and what we promise name the same variables."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from config.settings import SAMPLE_SECRET

ROOT = Path(settings.BASE_DIR)
READERS = {"text", "flag", "number", "one_of", "words", "url"}  # of config/settings.py
# What operators may rely on. Adding a name, or taking one away, is a change of our interface.
PROMISED = set(
    """
    SECRET_KEY DEBUG SITE_NAME SUPPORT_EMAIL DATABASE_URL DATABASE_POOLED DATABASE_REPLICA_URL REDIS_URL
    CELERY_BROKER_URL CELERY_RESULT_BACKEND CACHE_URL EMAIL_URL DEFAULT_FROM_EMAIL PUBLIC_URL ALLOWED_HOSTS
    CORS_ALLOWED_ORIGINS LOG_LEVEL LOG_FORMAT LOG_FILE CODE_SECONDS LINK_SECONDS UNVERIFIED_DAYS
    AUDIT_DAYS DOCS METRICS_ALLOW TRUSTED_PROXIES ACCESS_TOKEN_SECONDS SESSION_IDLE_SECONDS
    SESSION_MAX_SECONDS REFRESH_GRACE_SECONDS PASSWORD_MIN_LENGTH PASSWORD_HASHER RATE_LIMITS
    TOKEN_ALGORITHM
    LEAVING_SECONDS SENTRY_DSN OTEL_EXPORTER_OTLP_ENDPOINT
    """.split()
)
# Beside the settings, only `createsuperuser` reads the environment, by the names that Django gave these.
DJANGOS_OWN = {"DJANGO_SUPERUSER_EMAIL", "DJANGO_SUPERUSER_USERNAME", "DJANGO_SUPERUSER_PASSWORD"}
# Not for operators: `serve` sets it for its workers, by the name that the client library gave it.
INTERNAL = {"PROMETHEUS_MULTIPROC_DIR"}
LINE = re.compile(r"^(?P<off># )?(?P<name>[A-Z][A-Z0-9_]+)=(?P<value>.*)$")


def example() -> list[tuple[str, "re.Match[str] | None"]]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return [(line, LINE.match(line)) for line in lines]


def in_example() -> dict[str, "re.Match[str]"]:
    return {found["name"]: found for _, found in example() if found}


def calls(file: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]


def first_text(call: ast.Call) -> Any:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) else None


def read_by_settings() -> dict[str, ast.Call]:
    """By name, the first call that reads it with a default of its own, or else any that reads it."""
    found: dict[str, ast.Call] = {}
    for call in calls(ROOT / "config" / "settings.py"):
        name = first_text(call)
        is_read = isinstance(call.func, ast.Name) and call.func.id in READERS
        if is_read and isinstance(name, str) and (name not in found or len(found[name].args) < len(call.args)):
            found[name] = call
    return found


def test_the_example_names_what_the_settings_read() -> None:
    assert set(in_example()) == set(read_by_settings())


def test_the_settings_read_what_is_promised() -> None:
    assert set(read_by_settings()) == PROMISED


def test_nothing_else_reads_the_environment() -> None:
    """`os.environ.get("NAME")` anywhere in the applications; a new setting belongs into config/settings.py."""
    apps = ("accounts", "audit", "core", "mail", "rbac", "config")
    files = [f for app in apps for f in (ROOT / app).rglob("*.py") if "tests" not in f.parts]
    names = {
        first_text(call)
        for file in files
        for call in calls(file)
        if ast.unparse(call.func) in ("os.environ.get", "os.getenv", "environ.get")
    }
    assert names - INTERNAL == DJANGOS_OWN


def test_each_variable_stands_once_under_one_comment() -> None:
    lines = example()
    variables = [index for index, (_, found) in enumerate(lines) if found]
    assert len(variables) == len(in_example())
    for index in variables:
        comment, found = lines[index - 1]
        assert comment.startswith("# "), lines[index][0]
        assert found is None, lines[index][0]
        assert lines[index - 2][0] == "", lines[index][0]


def test_all_but_the_secret_are_optional_and_commented_out() -> None:
    assert [name for name, found in in_example().items() if not found["off"]] == ["SECRET_KEY"]


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_the_default_shown_is_that_of_the_code(name: str) -> None:
    """Only defaults written as such can be compared: those that are made of others are told in words."""
    shown, call = in_example()[name]["value"], read_by_settings()[name]
    default = eval(ast.unparse(call.args[1]), {}) if is_plain(call) else None
    if default is None:
        assert shown in ("", SAMPLE_SECRET) or name in ("PUBLIC_URL", "LOG_FORMAT")
    elif isinstance(default, bool):
        yes, no = (str(ast.literal_eval(a)) for a in call.args[2:4]) if len(call.args) > 3 else ("true", "false")
        assert shown == (yes if default else no)
    else:
        assert shown == str(default)


def is_plain(call: ast.Call) -> bool:
    """Whether the second argument is made of literals only, such as 15 * 60."""
    parts = ast.walk(call.args[1]) if len(call.args) > 1 else []
    names = [part for part in parts if isinstance(part, (ast.Name, ast.Call, ast.Attribute, ast.JoinedStr))]
    return len(call.args) > 1 and not names


def test_the_example_left_as_it_is_refuses_to_start() -> None:
    assert in_example()["SECRET_KEY"]["value"] == SAMPLE_SECRET
    environment = {"PATH": os.environ["PATH"], "SECRET_KEY": SAMPLE_SECRET}
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert done.stderr.strip() == (
        "Muster cannot start: SECRET_KEY is the sample. Set it to 50 or more random characters of your own."
    )
