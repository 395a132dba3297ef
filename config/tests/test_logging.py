"""One line for the outcome of each operation, and nothing that somebody sends makes two of it."""

import gzip
import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.scene import access_of, log_in
from core import logs
from core.outcome import log

SOURCE = Path(__file__).resolve().parent.parent.parent
ODD = "a\r\nb\x1b[31mred\u2028c\u2029d\x85e\x00f\x0bg"


class Lines:
    """What is written, in one of the two styles."""

    def __init__(self, style):
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(logs.formatter(style))

    def __enter__(self):
        self.root, self.level = logging.getLogger(), logging.getLogger().level
        self.root.addHandler(self.handler)
        self.root.setLevel("INFO")
        return self

    def __exit__(self, *_):
        self.root.removeHandler(self.handler)
        self.root.setLevel(self.level)

    @property
    def text(self):
        return self.stream.getvalue()

    @property
    def all(self):
        """As strict as can be: every character counts that any reader takes for the end of a line."""
        return self.text.splitlines()

    def of_requests(self):
        return [line for line in map(json.loads, self.all) if line["event"] == "request"]


@pytest.fixture
def lines():
    with Lines("json") as written:
        yield written


@pytest.fixture
def text():
    with Lines("text") as written:
        yield written


# --- One line an operation ---------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_operation_is_one_line_of_json_that_tells_how_it_ended(api, lines):
    user = UserFactory()
    response = api.post("/auth/login", {"email": user.email, "password": PASSWORD}, X_Request_ID="abc-1")
    [line] = lines.of_requests()
    assert len(lines.all) == 1
    assert {k: line[k] for k in ("request_id", "operation", "method", "path", "status", "outcome", "ip", "level")} == {
        "request_id": "abc-1",
        "operation": "log-in",
        "method": "POST",
        "path": "/api/v1/auth/login",
        "status": 200,
        "outcome": "success",
        "ip": "192.0.2.1",
        "level": "info",
    }
    assert line["at"].endswith("Z")
    assert line["ms"] >= 0
    assert response["X-Request-ID"] == "abc-1"


@pytest.mark.django_db
def test_a_refusal_is_one_line_with_its_code(api, lines):
    api.post("/auth/login", {"email": "nobody@example.org", "password": "x"})
    [line] = lines.of_requests()
    assert (line["status"], line["outcome"], line["code"]) == (401, "refusal", "invalid_credentials")
    assert len(lines.all) == 1


@pytest.mark.django_db
def test_a_line_names_who_was_signed_in(api, lines):
    user = UserFactory()
    api.get("/users/me", token=access_of(api, user))
    assert lines.of_requests()[-1]["user"] == str(user.pk)


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "status"), [("/api/v1/nothing", 404), ("/healthz", 200), ("/account/verify", 200)])
def test_plain_views_and_unknown_paths_have_their_line_too(api, lines, path, status):
    api.client.get(path)
    [line] = lines.of_requests()
    assert (line["path"], line["status"]) == (path, status)


@pytest.mark.django_db
def test_each_request_has_its_own_id_and_none_inherits_it(api, lines):
    for _ in range(3):
        api.get("/users/me")
    found = [line["request_id"] for line in lines.of_requests()]
    assert len(set(found)) == 3


@pytest.mark.django_db
def test_no_secret_stands_in_any_line(api, lines):
    user = UserFactory()
    pair = log_in(api, user)
    api.post("/auth/login", {"email": user.email, "password": "typed-by-mistake"})
    api.get("/users/me", token=pair["access"])
    refreshed = api.post("/auth/refresh", {"refresh": pair["refresh"]}).json()
    api.put("/users/me/password", {"current_password": "typed-by-mistake", "new_password": "x"}, token=pair["access"])
    secrets = [
        PASSWORD,
        "typed-by-mistake",
        user.email,
        *(p[k] for p in (pair, refreshed) for k in ("access", "refresh")),
    ]
    assert not [secret for secret in secrets if secret in lines.text]
    assert len(lines.of_requests()) == 5


def test_a_value_called_like_a_secret_is_hidden(lines):
    log.info("x", password="hunter2", token="hunter2", Authorization="hunter2", refresh="hunter2")
    assert "hunter2" not in lines.text


# --- Injection ---------------------------------------------------------------------------------------------------


def harmless(written):
    return "\x1b" not in written.text and all(c.isprintable() for line in written.all for c in line)


@pytest.mark.django_db
@pytest.mark.parametrize("style", ["json", "text"])
def test_a_path_of_line_ends_and_colours_stays_one_line(api, style):
    with Lines(style) as written:
        api.client.get("/api/v1/%0d%0aINFO%20forged%1b%5b31m%e2%80%a8%e2%80%a9%c2%85%00x")
    assert len(written.all) == 1
    assert harmless(written)


@pytest.mark.django_db
@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("header", ["HTTP_USER_AGENT", "HTTP_X_REQUEST_ID", "HTTP_X_FORWARDED_FOR", "HTTP_REFERER"])
def test_a_header_of_line_ends_and_colours_stays_one_line(api, style, header):
    user = UserFactory()
    with Lines(style) as written:
        body = json.dumps({"email": user.email, "password": PASSWORD})
        api.client.generic("POST", "/api/v1/auth/login", body, "application/json", **{header: ODD})
    assert len(written.all) == 1
    assert harmless(written)
    assert "red" not in written.text


@pytest.mark.parametrize(
    "asked", ["", " ", "a b", "a\r\nX-Evil: 1", "a\n", "é", "x" * 65, "a/b", '"><script>', "\u2028", "%0a"]
)
@pytest.mark.django_db
def test_a_request_id_that_we_would_not_make_is_replaced(api, lines, asked):
    response = api.client.get("/api/v1/users/me", HTTP_X_REQUEST_ID=asked)
    given = response["X-Request-ID"]
    assert given != asked
    assert given.isalnum()
    assert lines.of_requests()[0]["request_id"] == response.json()["request_id"] == given


@pytest.mark.parametrize("asked", ["a", "A-Z_0.9", "x" * 64])
@pytest.mark.django_db
def test_a_good_request_id_is_taken_over(api, lines, asked):
    response = api.client.get("/api/v1/users/me", HTTP_X_REQUEST_ID=asked)
    assert response["X-Request-ID"] == response.json()["request_id"] == lines.of_requests()[0]["request_id"] == asked


@pytest.mark.parametrize("style", ["json", "text"])
def test_lines_of_libraries_stay_one_line_too(style):
    with Lines(style) as written:
        logging.getLogger("some.library").warning("said %s", ODD, extra={"more": ODD})
        log.info(ODD, value=ODD)
    assert len(written.all) == 2
    assert harmless(written)


NESTED = "core.logs._one_line looks at plain values only: JSON writes U+2028 in lists, dicts and exceptions as it is"


def test_what_stands_in_a_list_stays_one_line_too(lines):
    log.info("x", values=[ODD], more={"key": ODD})
    assert len(lines.all) == 1


def test_an_exception_is_one_line_of_json(lines):
    log.error("failed", exc_info=ValueError(ODD))
    assert len(lines.all) == 1
    assert "ValueError" in json.loads(lines.all[0])["exception"]


def test_an_exception_of_several_lines_is_one_line_of_json(lines):
    log.error("failed", exc_info=ValueError("first\nsecond"))
    assert len(lines.all) == 1
    assert "second" in json.loads(lines.all[0])["exception"]


# --- Text, levels, files -----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_in_development_a_line_is_readable(api, text):
    api.get("/users/me", X_Request_ID="abc-1")
    [line] = text.all
    assert "request" in line
    assert "status=401" in line
    assert "request_id=abc-1" in line
    assert not line.startswith("{")


@pytest.mark.parametrize("style", ["json", "text"])
def test_everything_goes_through_the_same_formatter(style):
    config = logs.dict_config("INFO", style, "")
    assert config["root"] == {"handlers": ["out"], "level": "INFO"}
    assert config["handlers"]["out"]["formatter"] == "line"
    assert config["formatters"]["line"]["style"] == style
    for name, logger in config["loggers"].items():
        assert set(logger.get("handlers", ["out"])) == {"out"}, name


WRITER = """
import logging.config, sys
sys.path.insert(0, sys.argv[1])
from core import logs
from core.outcome import log
logs.configure()
config = logs.dict_config("INFO", "json", sys.argv[2])
config["handlers"]["out"]["maxBytes"] = 20_000  # instead of megabytes, so that it happens here
logging.config.dictConfig(config)
for number in range(int(sys.argv[4])):
    log.info("line", writer=sys.argv[3], number=number, filling="x" * 100)
"""


def test_a_log_file_is_rotated_and_compressed_and_loses_nothing_between_two_processes(tmp_path):
    file, each = tmp_path / "muster.log", 300
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(SOURCE), str(file), name, str(each)]) for name in "ab"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    packed = sorted(tmp_path.glob("muster.log.*.gz"))
    assert len(packed) >= 2
    texts = [file.read_text()] + [gzip.decompress(one.read_bytes()).decode() for one in packed]
    found = [(line["writer"], line["number"]) for text in texts for line in map(json.loads, text.splitlines())]
    assert sorted(found) == [(name, number) for name in "ab" for number in range(each)]
    assert all(len(text) < 25_000 for text in texts)


def test_a_log_file_is_kept_within_bounds():
    handler = logs.dict_config("INFO", "json", "/somewhere/muster.log")["handlers"]["out"]
    assert handler["maxBytes"] > 0
    assert handler["backupCount"] > 0
    assert handler["use_gzip"] is True
