"""What is JSON to us (RFC 8259), and what is not."""

import io
import json

import pytest
from django.test import Client

from core.errors import InvalidInput, MalformedBody
from core.parsers import StrictJSONParser


def parse(body, media_type="application/json"):
    return StrictJSONParser().parse(io.BytesIO(body), media_type)


def test_an_object_in_utf_8_is_read():
    assert parse('{"a": "é\u2028", "b": [1, null]}'.encode()) == {"a": "é\u2028", "b": [1, None]}


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", 'application/json;charset="UTF-8"', "application/json; a=b"]
)
def test_the_charset_may_be_named(media_type):
    assert parse(b"{}", media_type) == {}


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "utf-7", "nonsense"])
def test_another_charset_is_refused(charset):
    with pytest.raises(MalformedBody):
        parse(b"{}", f"application/json; charset={charset}")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1,}',
        b'{"a": 1} x',
        b"\xff\xfe{\x00}\x00",
        "{}".encode("utf-16"),
        "{}".encode("utf-32"),
        b"\xef\xbb\xbf{}",
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": "\n"}',
    ],
    ids=range(18),
)
def test_what_is_no_json_is_refused(body):
    with pytest.raises(MalformedBody):
        parse(body)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"1", b"true", b"[{}]"])
def test_what_is_no_object_is_refused(body):
    with pytest.raises(InvalidInput) as refusal:
        parse(body)
    assert [entry["code"] for entry in refusal.value.errors or []] == ["not_an_object"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"email": "\\ud800", "password": "\\ud800"}', "application/json", 400),
        (b'{"email": "a\\u0000", "password": "x"}', "application/json", 400),
        (b'{"email": 1e400, "password": "x"}', "application/json", 400),
        (b"email=a&password=b", "application/x-www-form-urlencoded", 415),
        (b"x", "text/plain", 415),
        (b"x", "multipart/form-data", 415),
        (b"x", "multipart/form-data; boundary=b", 415),
        (b"{}", "application/vnd.api+json", 415),
        (b"{}", "nonsense", 415),
        (b"{" + b" " * 1024 * 1024 + b"}", "application/json", 413),
    ],
    ids=range(13),
)
def test_a_body_that_means_nothing_is_refused_over_http(body, content_type, status):
    response = Client(HTTP_HOST="127.0.0.1").generic("POST", "/api/v1/auth/login", body, content_type=content_type)
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.django_db
def test_fields_that_nobody_knows_are_ignored():
    body = json.dumps({"email": "a@example.org", "password": "x", "colour": {"deep": [1] * 1000}, "__proto__": {}})
    response = Client(HTTP_HOST="127.0.0.1").generic(
        "POST", "/api/v1/auth/login", body, content_type="application/json"
    )
    assert response.json()["code"] == "invalid_credentials"
