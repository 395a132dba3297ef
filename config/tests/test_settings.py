"""What a start refuses: in at most three lines that name the variable, without a traceback.

Each start is a process of its own over a copy of the code, so neither `.env` nor `var/` of the developer count.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent.parent
GOOD_KEY = "k3Y-for-tests-only-0123456789-abcdefghijklmnopqrstuvwxyz"
SETTINGS = [sys.executable, "-c", "import config.settings"]
# Loads what takes long once, then reads the settings in a fork of its own for each line that it is told.
NURSERY = """
import json, os, sys
import celery, environ, structlog, django.conf, concurrent_log_handler
for line in sys.stdin:
    case = json.loads(line)
    child = os.fork()
    if not child:
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(case[name], os.O_CREAT | os.O_TRUNC | os.O_WRONLY), stream)
        os.environ.clear()
        os.environ.update(case["env"])
        exec(case["code"])
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
STARTS = {
    "manage.py": [sys.executable, "manage.py", "check"],
    "celery": [sys.executable, "-m", "celery", "-A", "config", "worker"],
    "wsgi": [sys.executable, "-c", "import config.wsgi"],
}


@pytest.fixture(scope="module")
def code():
    """The code alone, in a folder that others may read too."""
    folder = Path(tempfile.mkdtemp(prefix="muster-settings-"))
    for app in ("config", "core", "audit", "mail", "rbac", "accounts"):
        shutil.copytree(SOURCE / app, folder / app, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    shutil.copy(SOURCE / "manage.py", folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def tree(code):
    """The same, without what an earlier start left there."""
    for left in (code / ".env", code / "var"):
        if left.is_dir():
            left.chmod(0o700)
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)
    return code


@pytest.fixture(scope="module")
def nursery(code):
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY], cwd=code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.communicate(timeout=10)


@pytest.fixture
def start(tree, nursery, tmp_path):
    def in_nursery(code, env):
        out, err = tmp_path / "out", tmp_path / "err"
        case = {"code": code, "env": env, "out": str(out), "err": str(err)}
        print(json.dumps(case), file=nursery.stdin, flush=True)
        return subprocess.CompletedProcess(code, int(nursery.stdout.readline()), out.read_text(), err.read_text())

    def run(command=SETTINGS, *, prefix=(), **environment):
        """`None` for a value leaves the variable out."""
        known = {"PATH": os.environ["PATH"], "SECRET_KEY": GOOD_KEY}
        env = {name: value for name, value in {**known, **environment}.items() if value is not None}
        if command[1] == "-c" and "wsgi" not in command[2] and not prefix:
            return in_nursery(command[2], env)
        return subprocess.run(
            [*prefix, *command], cwd=tree, env=env, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def value_of(start, expression, **environment):
    done = start([sys.executable, "-c", f"from config import settings as s; print({expression})"], **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def assert_refused(done, name):
    assert done.returncode not in (0, None), done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert 1 <= len(lines) <= 3, done.stderr
    assert name in done.stderr
    assert GOOD_KEY not in done.stderr


# --- However it is started ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", STARTS)
@pytest.mark.parametrize(
    ("name", "environment"),
    [
        ("SECRET_KEY", {"SECRET_KEY": "short", "DEBUG": "false"}),
        ("DATABASE_URL", {"DATABASE_URL": "mysql://a/b"}),
        ("DEBUG", {"DEBUG": "true", "PUBLIC_URL": "https://id.example.com"}),
    ],
)
def test_every_way_to_start_refuses_in_one_line(start, how, name, environment):
    assert_refused(start(STARTS[how], **environment), name)


@pytest.mark.parametrize("how", ["manage.py", "wsgi"])
def test_a_good_configuration_starts(start, how):
    done = start(STARTS[how])
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", ["celery", "wsgi"])
def test_servers_and_workers_never_run_with_a_key_that_nobody_set(start, tree, how):
    (tree / "var").mkdir()
    (tree / "var" / "secret_key").write_text(GOOD_KEY)
    assert_refused(start(STARTS[how], SECRET_KEY=None), "SECRET_KEY")
    assert_refused(start([sys.executable, "manage.py", "serve", "--port", "1"], SECRET_KEY=None), "SECRET_KEY")


def test_by_hand_a_key_is_made_once_and_kept_for_the_owner_alone(start, tree):
    migrate = [sys.executable, "manage.py", "migrate", "--help"]
    for _ in range(2):
        assert start(migrate, SECRET_KEY=None).returncode == 0
        kept = tree / "var" / "secret_key"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
        assert len(kept.read_text()) >= 50
    assert start(STARTS["manage.py"], SECRET_KEY=None).returncode == 0


def test_by_hand_in_production_no_key_is_made(start, tree):
    migrate = [sys.executable, "manage.py", "migrate", "--check"]
    assert_refused(start(migrate, SECRET_KEY=None, DEBUG="false"), "SECRET_KEY")
    assert not (tree / "var" / "secret_key").exists()


# --- The secret --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "   ",
        "short",
        "x" * 49,
        "x" * 100,
        "ab" * 40,
        "replace-me-with-50-or-more-random-characters-0000000000",
        "replace-me-" + "abcdefghijklmnopqrstuvwxyz0123456789" * 2,
        "django-insecure-" + "abcdefghijklmnopqrstuvwxyz0123456789" * 2,
    ],
)
def test_a_missing_sample_or_weak_secret_is_refused(start, value):
    assert_refused(start(SECRET_KEY=value), "SECRET_KEY")


def test_the_secret_is_never_quoted(start):
    done = start(SECRET_KEY="hunter2hunter2")
    assert "hunter2" not in done.stderr


# --- URLs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "banana"),
        ("DATABASE_URL", "mysql://a/b"),
        ("DATABASE_URL", "postgres://host/"),
        ("DATABASE_URL", "postgres://host"),
        ("DATABASE_URL", "postgres://u:p@host:port/name"),
        ("DATABASE_URL", "postgres://u:p@host:99999/name"),
        ("DATABASE_URL", "http://host/name"),
        pytest.param("DATABASE_URL", "postgres://[x/name"),
        ("REDIS_URL", "banana"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "http://localhost:6379"),
        pytest.param("REDIS_URL", "redis://[x"),
        pytest.param("REDIS_URL", "redis://host:port/0"),
        pytest.param("REDIS_URL", "redis://host:99999/0"),
        ("CACHE_URL", "banana"),
        ("CACHE_URL", "memcached://x"),
        pytest.param("CACHE_URL", "redis://[x"),
        pytest.param("CACHE_URL", "redis://host:port"),
        pytest.param("CELERY_BROKER_URL", "banana"),
        pytest.param("CELERY_BROKER_URL", "redis://host:port/0"),
        pytest.param("CELERY_RESULT_BACKEND", "banana"),
        ("EMAIL_URL", "banana"),
        ("EMAIL_URL", "http://host"),
        ("EMAIL_URL", "smtp://host:port"),
        ("EMAIL_URL", "smtp://[x"),
        ("PUBLIC_URL", "banana"),
        ("PUBLIC_URL", "id.example.com"),
        ("PUBLIC_URL", "ftp://id.example.com"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://id.example.com/path"),
        ("PUBLIC_URL", "https://id.example.com?x=1"),
        ("PUBLIC_URL", "https://id.example.com#x"),
        ("PUBLIC_URL", "https://user:secret@id.example.com"),
        pytest.param("PUBLIC_URL", "http://[::1"),
        pytest.param("PUBLIC_URL", "http://host:port"),
        ("CORS_ALLOWED_ORIGINS", "banana"),
        ("CORS_ALLOWED_ORIGINS", "*"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example.com/path"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example.com,b.example.com"),
        pytest.param("CORS_ALLOWED_ORIGINS", "https://[x"),
    ],
)
def test_a_bad_url_is_refused_by_name(start, name, value):
    assert_refused(start(**{name: value}), name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgres://u:s3cret-pw@host:port/name"),
        ("EMAIL_URL", "smtp://u:s3cret-pw@host:port"),
        ("PUBLIC_URL", "https://u:s3cret-pw@id.example.com"),
    ],
)
def test_a_password_in_a_url_is_not_quoted(start, name, value):
    assert "s3cret-pw" not in start(**{name: value}).stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgres://u:p@host:5432/name"),
        ("DATABASE_URL", "postgresql://host/name"),
        ("REDIS_URL", "redis://localhost:6379/0"),
        ("REDIS_URL", "rediss://u:p@host:6380/1"),
        ("EMAIL_URL", "smtp+tls://u:p@host:587"),
        ("EMAIL_URL", "consolemail://"),
        ("PUBLIC_URL", "https://id.example.com"),
        ("PUBLIC_URL", "https://id.example.com:8443/"),
        ("PUBLIC_URL", "http://[::1]:8000"),
        ("CORS_ALLOWED_ORIGINS", " https://a.example.com , http://localhost:3000 "),
        ("METRICS_ALLOW", "10.0.0.0/8, ::1/128"),
        ("METRICS_ALLOW", "192.0.2.7"),
    ],
)
def test_a_good_value_is_taken(start, name, value):
    done = start(**{name: value})
    assert done.returncode == 0, done.stderr


def test_what_is_not_set_follows_from_redis_url(start):
    names = "s.CELERY_BROKER_URL, s.CELERY_RESULT_BACKEND, s.CACHE_URL"
    assert value_of(start, names, REDIS_URL="redis://h:1/0") == "redis://h:1/0 redis://h:1/0 redis://h:1/0"


# --- DEBUG and hosts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["https://id.example.com", "http://192.0.2.7:8000", "http://localhost.example.com"])
def test_debug_is_refused_in_public(start, url):
    assert_refused(start(DEBUG="true", PUBLIC_URL=url), "DEBUG")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000", "http://a.localhost"]
)
def test_debug_is_fine_at_home(start, url):
    assert start(DEBUG="true", PUBLIC_URL=url).returncode == 0


@pytest.mark.parametrize("command", [["serve", "--port", "8765"], ["runserver", "--noreload", "0.0.0.0:8765"]])
def test_debug_is_refused_on_an_address_that_others_can_reach(start, command):
    host = ["--host", "0.0.0.0"] if command[0] == "serve" else []
    done = start([sys.executable, "manage.py", *command, *host], DEBUG="true")
    assert_refused(done, "DEBUG")


def test_any_host_is_refused_in_public(start):
    assert_refused(start(ALLOWED_HOSTS="*", PUBLIC_URL="https://id.example.com"), "ALLOWED_HOSTS")


def test_the_host_of_the_public_url_is_the_one_allowed(start):
    assert value_of(start, "s.ALLOWED_HOSTS", PUBLIC_URL="https://id.example.com") == "['id.example.com']"


# --- Numbers, flags, choices -------------------------------------------------------------------------------------

NUMBERS = [
    *("ACCESS_TOKEN_SECONDS", "SESSION_IDLE_SECONDS", "SESSION_MAX_SECONDS", "REFRESH_GRACE_SECONDS"),
    *("CODE_SECONDS", "LINK_SECONDS", "UNVERIFIED_DAYS", "AUDIT_DAYS", "PASSWORD_MIN_LENGTH", "TRUSTED_PROXIES"),
]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["banana", "-1", "1.5", "1e3", "٣", "9" * 30])
def test_what_is_no_number_is_refused_by_name(start, name, value):
    assert_refused(start(**{name: value}), name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCESS_TOKEN_SECONDS", "0"),
        ("SESSION_IDLE_SECONDS", "0"),
        ("PASSWORD_MIN_LENGTH", "7"),
        ("TRUSTED_PROXIES", "11"),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(start, name, value):
    assert_refused(start(**{name: value}), name)


def test_lifetimes_of_a_few_seconds_are_legal(start):
    names = ("ACCESS_TOKEN_SECONDS", "SESSION_IDLE_SECONDS", "SESSION_MAX_SECONDS", "CODE_SECONDS", "LINK_SECONDS")
    assert start(**dict.fromkeys(names, "1"), REFRESH_GRACE_SECONDS="0").returncode == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", "banana"),
        ("DEBUG", "on"),
        ("DOCS", "true"),
        ("RATE_LIMITS", "false"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("PASSWORD_HASHER", "md5"),
        ("METRICS_ALLOW", "banana"),
        ("METRICS_ALLOW", "10.0.0.0/33"),
        ("METRICS_ALLOW", "127.0.0.1,x"),
        ("SITE_NAME", "two\nlines"),
        ("DEFAULT_FROM_EMAIL", "a@example.org\r\nBcc: b@example.org"),
        ("SUPPORT_EMAIL", "x" * 201),
        ("LOG_FILE", "/no/such/folder/muster.log"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(start, name, value):
    assert_refused(start(**{name: value}), name)


def test_a_value_that_begins_with_a_dollar_is_no_name_of_another(start):
    assert value_of(start, "s.SITE_NAME", SITE_NAME="$HOME") == "$HOME"


# --- Files -------------------------------------------------------------------------------------------------------


def test_a_value_may_stand_in_a_file(start, tmp_path):
    for name, text in (("SECRET_KEY", f"{GOOD_KEY}\n"), ("SITE_NAME", "From a file\n")):
        (tmp_path / name).write_text(text)
    files = {f"{name}_FILE": str(tmp_path / name) for name in ("SECRET_KEY", "SITE_NAME")}
    assert value_of(start, "s.SITE_NAME, s.SECRET_KEY", SECRET_KEY=None, **files) == f"From a file {GOOD_KEY}"


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "SITE_NAME", "ACCESS_TOKEN_SECONDS"])
def test_a_file_that_cannot_be_read_is_refused_by_name(start, tmp_path, name):
    assert_refused(start(**{f"{name}_FILE": str(tmp_path / "missing")}), f"{name}_FILE")
    assert_refused(start(**{f"{name}_FILE": str(tmp_path)}), f"{name}_FILE")


def test_a_file_of_bytes_that_are_no_text_is_refused_by_name(start, tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    assert_refused(start(SITE_NAME_FILE=str(tmp_path / "bytes")), "SITE_NAME_FILE")


def test_what_stands_in_a_file_is_checked_like_anything_else(start, tmp_path):
    (tmp_path / "key").write_text("short\n")
    assert_refused(start(SECRET_KEY=None, SECRET_KEY_FILE=str(tmp_path / "key")), "SECRET_KEY")


def test_dot_env_counts_and_the_environment_wins(start, tree):
    (tree / ".env").write_text(
        f"# a comment\nSITE_NAME='From dot env'\nACCESS_TOKEN_SECONDS=77\nSECRET_KEY={GOOD_KEY}\n"
    )
    asked = "s.SITE_NAME, s.ACCESS_TOKEN_SECONDS"
    assert value_of(start, asked, SECRET_KEY=None) == "From dot env 77"
    assert value_of(start, asked, SECRET_KEY=None, ACCESS_TOKEN_SECONDS="88") == "From dot env 88"


def test_a_bad_value_in_dot_env_is_refused_by_name(start, tree):
    (tree / ".env").write_text("ACCESS_TOKEN_SECONDS=soon\n")
    assert_refused(start(), "ACCESS_TOKEN_SECONDS")


def test_dot_env_may_name_files(start, tree, tmp_path):
    (tmp_path / "key").write_text(GOOD_KEY)
    (tree / ".env").write_text(f"SECRET_KEY_FILE={tmp_path / 'key'}\n")
    assert value_of(start, "s.SECRET_KEY", SECRET_KEY=None) == GOOD_KEY


def test_the_environment_wins_over_a_file_that_dot_env_names(start, tree, tmp_path):
    (tmp_path / "name").write_text("From a file")
    (tree / ".env").write_text(f"SITE_NAME_FILE={tmp_path / 'name'}\n")
    assert value_of(start, "s.SITE_NAME") == "From a file"
    assert value_of(start, "s.SITE_NAME", SITE_NAME="From outside") == "From outside"
    (tmp_path / "other").write_text("Another file")
    assert value_of(start, "s.SITE_NAME", SITE_NAME_FILE=str(tmp_path / "other")) == "Another file"


# --- var/ --------------------------------------------------------------------------------------------------------


@pytest.fixture
def powerless():
    """What to put before a command so that file modes count for it: nothing, unless we are root."""
    if os.getuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root without setpriv: file modes would not count")
    gone = "-dac_override,-dac_read_search,-fowner"
    prefix = ["setpriv", f"--bounding-set={gone}", f"--inh-caps={gone}", "--"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o500)
        try:
            tried = subprocess.run([*prefix, "touch", f"{folder}/x"], capture_output=True, check=False)
        finally:
            Path(folder).chmod(0o700)
    if tried.returncode == 0:
        pytest.skip("root that cannot be made powerless: file modes would not count")
    return prefix


@pytest.mark.parametrize("how", STARTS)
def test_a_var_that_cannot_be_written_is_refused(start, tree, powerless, how):
    (tree / "var").mkdir(mode=0o500)
    (tree / "var").chmod(0o500)
    assert_refused(start(STARTS[how], prefix=powerless), "var/")


def test_a_var_that_cannot_be_made_is_refused(start, tree, powerless):
    tree.chmod(0o500)
    try:
        assert_refused(start(prefix=powerless), "var/")
    finally:
        tree.chmod(0o700)


def test_a_file_in_the_place_of_var_is_refused(start, tree):
    (tree / "var").write_text("")
    try:
        assert_refused(start(), "var/")
    finally:
        (tree / "var").unlink()


def test_without_need_for_it_var_may_be_read_only(start, tree, powerless):
    (tree / "var").mkdir()
    (tree / "var").chmod(0o500)
    done = start(prefix=powerless, DATABASE_URL="postgres://u:p@host/name", EMAIL_URL="smtp://host:25")
    assert done.returncode == 0, done.stderr


def test_a_log_file_in_a_folder_that_cannot_be_written_is_refused(start, tmp_path, powerless):
    tmp_path.chmod(0o500)
    try:
        assert_refused(start(prefix=powerless, LOG_FILE=str(tmp_path / "muster.log")), "LOG_FILE")
    finally:
        tmp_path.chmod(0o700)


def test_a_kept_key_that_cannot_be_read_is_refused(start, tree, powerless):
    (tree / "var").mkdir()
    (tree / "var" / "secret_key").write_text(GOOD_KEY)
    (tree / "var" / "secret_key").chmod(0)
    assert_refused(start(STARTS["manage.py"], prefix=powerless, SECRET_KEY=None), "SECRET_KEY")


# --- PgBouncer and a replica -------------------------------------------------------------------------------------

PRIMARY, REPLICA = "postgres://u:p@host:5432/name", "postgres://u:p@other:5432/name"


def database_of(start, alias="default", **environment):
    return json.loads(value_of(start, f"__import__('json').dumps(s.DATABASES[{alias!r}])", **environment))


def test_a_pooled_connection_asks_for_nothing_that_needs_a_session(start):
    alone = database_of(start, DATABASE_URL=PRIMARY)
    pooled = database_of(start, DATABASE_URL=PRIMARY, DATABASE_POOLED="true")
    assert "statement_timeout" in alone["OPTIONS"]["options"]
    assert "options" not in pooled["OPTIONS"]
    assert pooled["OPTIONS"]["prepare_threshold"] is None
    assert pooled["DISABLE_SERVER_SIDE_CURSORS"] is True
    assert "DISABLE_SERVER_SIDE_CURSORS" not in alone


def test_sqlite_is_not_pooled(start):
    assert_refused(start(SETTINGS, DATABASE_POOLED="true"), "DATABASE_POOLED")


def test_a_replica_stands_beside_the_primary(start):
    replica = database_of(start, "replica", DATABASE_URL=PRIMARY, DATABASE_REPLICA_URL=REPLICA)
    assert (replica["HOST"], replica["ENGINE"]) == ("other", "core.replica")
    assert value_of(start, "list(s.DATABASES)", DATABASE_URL=PRIMARY) == "['default']"


@pytest.mark.parametrize("url", ["sqlite:////tmp/x.sqlite3", "banana", "postgres://host", "mysql://host/name"])
def test_a_replica_is_a_postgresql(start, url):
    assert_refused(start(SETTINGS, DATABASE_URL=PRIMARY, DATABASE_REPLICA_URL=url), "DATABASE_REPLICA_URL")


def test_sqlite_has_no_replica(start):
    assert_refused(start(SETTINGS, DATABASE_REPLICA_URL=REPLICA), "DATABASE_REPLICA_URL")
