"""Every operation of the schema against everything in `tests.battery`: never a crash, never HTML, never a change."""

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.core.signals import request_started
from django.db import close_old_connections, transaction
from django.test import Client, RequestFactory

from accounts.models import User
from accounts.tests.factories import signed_in
from tests import battery
from tests.operations import PUBLIC, Operation, operations, schema
from tests.snapshot import contents
from tests.world import FORM, World, build, is_problem

JSON = "application/json"
Answer = Any


@pytest.fixture
def world(settings: Any, db: None) -> World:
    settings.RATE_LIMITS = False
    return build()


class Attack:
    """Sends one bad request after another, each into the same world, and writes down what was wrong."""

    def __init__(self, world: World, operation: Operation) -> None:
        self.world, self.operation, self.faults = world, operation, list[str]()
        self.caller: User | None = None
        self.token = ""
        if operation.expected.needs != PUBLIC:
            self.caller = world.admin
            self.token = signed_in(world.admin).pair.access
        self.client = Client(REMOTE_ADDR="192.0.2.9", HTTP_HOST="127.0.0.1", raise_request_exception=False)
        self.body = operation.expected.body(world, self.caller)
        self.url = operation.url(world, self.caller)
        self.before = contents()

    def encoded(self, body: Any) -> bytes:
        if body is None:
            return b""
        if self.operation.expected.form:
            return urlencode(body, errors="replace").encode()
        return _json(body)

    def send(
        self,
        name: str,
        data: bytes | None = None,
        *,
        media_type: str | None = None,
        url: str | None = None,
        headers: dict[str, str] | None = None,
        accept: Callable[[Answer], bool] = lambda answer: answer.status_code < 500,
        **environ: str,
    ) -> None:
        """One request; afterwards the database is as it was before."""
        point = transaction.savepoint()
        data = self.encoded(self.body) if data is None else data
        media_type = media_type if media_type is not None else FORM if self.operation.expected.form else JSON
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})} if self.token else headers or {}
        for key, value in sent.items():
            environ[_key(key)] = value
        answer = self.client.generic(self.operation.method, url or self.url, data, media_type, **environ)
        try:
            self.judge(answer, accept)
        except AssertionError as fault:
            why = str(fault).partition("\n")[0]
            self.faults.append(f"{name}: {answer.status_code}, {why}: {answer.content[:160]!r}")
        transaction.savepoint_rollback(point)

    def judge(self, answer: Answer, accept: Callable[[Answer], bool]) -> None:
        assert answer.status_code < 500, "a crash"
        assert accept(answer), "not refused as it should be"
        assert not answer.get("Content-Type", "").startswith("text/html"), "HTML"
        assert "Set-Cookie" not in answer, "a cookie"
        if answer.status_code >= 400:
            body = answer.json()
            if self.operation.expected.form and "error" in body:
                assert set(body) == {"error", "error_description"}
            else:
                is_problem(answer)
            assert "Traceback" not in answer.content.decode()
            assert contents() == self.before, "a change"
        elif self.operation.method == "GET":
            assert contents() == self.before, "a change"

    def report(self) -> None:
        assert contents() == self.before
        assert not self.faults, "\n" + "\n".join(self.faults)


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


def _key(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{name}"


def is_400(answer: Answer) -> bool:
    return bool(answer.status_code == 400)


def is_refused(answer: Answer) -> bool:
    return 400 <= answer.status_code < 500


WITH_BODY = [o for o in operations() if o.takes_body()]
WITH_JSON = [o for o in WITH_BODY if not o.expected.form]
WITH_PATH = [o for o in operations() if "{" in o.path]

every_operation = pytest.mark.parametrize("operation", operations(), ids=lambda o: o.name)


@pytest.fixture
def attack(world: World, operation: Operation) -> Attack:
    return Attack(world, operation)


# --- Bodies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", WITH_JSON, ids=lambda o: o.name)
def test_a_body_that_is_no_json_object_is_400(attack: Attack) -> None:
    for name, data in battery.UNREADABLE:
        attack.send(name, data, accept=is_400)
    attack.report()


@every_operation
def test_an_odd_body_crashes_nothing(attack: Attack) -> None:
    ignored = [] if attack.operation in WITH_JSON else battery.UNREADABLE[::5]
    for name, data in [*battery.ODD, *ignored]:
        attack.send(name, data)
    attack.report()


@every_operation
def test_a_body_over_one_mebibyte_is_413_unread(attack: Attack) -> None:
    for size in (battery.MIB + 1, 3 * battery.MIB, 30 * battery.MIB):
        attack.send(f"{size} bytes", b" " * size, accept=lambda answer: answer.status_code == 413)
    attack.send("exactly one MiB", b'{"a": "' + b"x" * (battery.MIB - 9) + b'"}')
    attack.report()


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda o: o.name)
def test_a_body_of_another_media_type_is_415(attack: Attack) -> None:
    ours = FORM if attack.operation.expected.form else JSON
    for media_type in [*battery.MEDIA_TYPES, FORM, JSON]:
        if media_type != ours:
            attack.send(media_type, media_type=media_type, accept=lambda answer: answer.status_code == 415)
    attack.report()


@pytest.mark.parametrize("operation", WITH_JSON, ids=lambda o: o.name)
def test_a_body_in_another_charset_is_refused(attack: Attack) -> None:
    for charset in battery.CHARSETS:
        if charset not in ("", '"'):
            attack.send(charset[:20], media_type=f"{JSON}; charset={charset}", accept=is_refused)
    attack.report()


def through_wsgi(media_type: str, query: str) -> tuple[str, dict[str, str], bytes]:
    """As the server calls us; Django's test client makes its requests in a way of its own."""
    from config.wsgi import application

    seen: list[Any] = []
    environ = RequestFactory().post(f"/api/v1/auth/login?{query}", b"{}", content_type=JSON).environ
    environ |= {"CONTENT_TYPE": media_type, "HTTP_HOST": "127.0.0.1"}
    request_started.disconnect(close_old_connections)  # the test's own connection stays
    try:
        body = b"".join(application(environ, lambda *started: seen.extend(started[:2])))
    finally:
        request_started.connect(close_old_connections)
    return seen[0], dict(seen[1]), body


@pytest.mark.django_db
@pytest.mark.parametrize("charset", battery.CHARSETS, ids=lambda c: repr(c[:20]))
@pytest.mark.parametrize("media_type", [JSON, FORM, "text/plain"])
def test_an_unknown_charset_crashes_nothing_that_reads_a_query(media_type: str, charset: str) -> None:
    """Django decodes the query with the charset of the body, and looks for it before any middleware."""
    status, headers, body = through_wsgi(f"{media_type}; charset={charset}", "search=%C3%A9&x=1")
    assert status.startswith("4")
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["request_id"] == headers["X-Request-ID"]


@pytest.mark.django_db
@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
def test_thousands_of_parameters_beside_a_charset_crash_nothing(charset: str) -> None:
    query = "&".join(f"a{n}=1" for n in range(300))
    status, headers, _ = through_wsgi(f"{JSON}; charset={charset}", query)
    assert status.startswith("4")
    assert headers["Content-Type"] == "application/problem+json"


# RFC 2231 lets a parameter name a charset of its own.
EXTENDED = [
    "a*=x''b", "a*=idna''%ff", "charset*=utf-8''hex", "charset*=x''utf-8", "charset*0=he; charset*1=x", "a*=utf-8''%ff",
    "a*=hex''b", "a*=''", "a*=b", "charset*=utf-8''utf-8",
]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("parameter", EXTENDED)
def test_a_parameter_of_a_media_type_in_any_spelling_crashes_nothing(parameter: str) -> None:
    query = "&".join(f"a{n}=%C3%A9" for n in range(300))
    for asked in ("", query):
        status, headers, _ = through_wsgi(f"{JSON}; {parameter}", asked)
        assert status.startswith("4")
        assert headers["Content-Type"] == "application/problem+json"


# --- Fields -------------------------------------------------------------------------------------------------------


def properties(operation: Operation) -> dict[str, Any]:
    """Name and schema of each field of the body."""
    if "requestBody" not in operation.spec:
        return {"password": {"type": "string"}}  # DELETE /users/me
    [media] = operation.spec["requestBody"]["content"].values()
    found = media["schema"]
    if "$ref" in found:
        found = schema()["components"]["schemas"][found["$ref"].rpartition("/")[2]]
    return dict(found["properties"])


def types_of(spec: Any) -> set[str]:
    if "$ref" in spec:
        spec = schema()["components"]["schemas"][spec["$ref"].rpartition("/")[2]]
    kinds = spec.get("type", [])
    found = {kinds} if isinstance(kinds, str) else set(kinds)
    for part in [*spec.get("oneOf", []), *spec.get("anyOf", []), *spec.get("allOf", [])]:
        found |= types_of(part)
    return found


def type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return "null" if value is None else names[type(value)]


@pytest.mark.parametrize("operation", WITH_JSON, ids=lambda o: o.name)
def test_a_field_of_another_type_is_400(attack: Attack) -> None:
    """An array of addresses is no address (CVE-2023-7028)."""
    for field, spec in properties(attack.operation).items():
        for name, value in [*battery.OTHERS, ("a string", "x")]:
            if type_of(value) not in types_of(spec):
                data = _json({**(attack.body or {}), field: value})
                attack.send(f"{field} is {name}", data, accept=is_400)
    attack.report()


@pytest.mark.parametrize("operation", WITH_BODY, ids=lambda o: o.name)
def test_a_hostile_value_in_any_field_crashes_nothing(attack: Attack) -> None:
    body = attack.body or {}
    for field in properties(attack.operation):
        for name, value in [*battery.STRINGS, *battery.OTHERS]:
            in_list = isinstance(body.get(field), list)
            attack.send(f"{field}: {name}", attack.encoded({**body, field: [value] if in_list else value}))
    for name, value in battery.HUGE:
        everywhere = dict.fromkeys(properties(attack.operation), value)
        attack.send(f"everywhere {name}", attack.encoded({**body, **everywhere}))
    attack.report()


@pytest.mark.parametrize("operation", WITH_JSON, ids=lambda o: o.name)
def test_a_nul_or_half_a_surrogate_pair_is_400_in_every_text(attack: Attack) -> None:
    for field, spec in properties(attack.operation).items():
        if "string" in types_of(spec):
            for value in ("a\x00b", "\x00", "\ud800", "a\udfff"):
                data = _json({**(attack.body or {}), field: value})
                attack.send(f"{field}: {value!r}", data, accept=is_400)
    attack.report()


# --- The query ----------------------------------------------------------------------------------------------------


@every_operation
def test_a_hostile_query_crashes_nothing(attack: Attack) -> None:
    url = attack.url
    for parameter in attack.operation.parameters("query"):
        name = parameter["name"]
        for value in battery.QUERY_VALUES:
            attack.send(f"{name}={value[:30]}", url=f"{url}?{name}={quote(value, '%')}")
        attack.send(f"{name} twice", url=f"{url}?{name}=true&{name}=%00")
    for name in battery.QUERY_NAMES if attack.operation in LISTS else battery.QUERY_NAMES[::6]:
        for value in ("%00", "1" * 5000):
            attack.send(f"{name}={value[:30]}", url=f"{url}?{quote(name)}={quote(value, '%')}")
    attack.report()


@every_operation
def test_thousands_of_parameters_crash_nothing(attack: Attack) -> None:
    url = attack.url
    attack.send("2,000 names", url=f"{url}?" + "&".join(f"a{n}=1" for n in range(2000)))
    attack.send("2,000 times one", url=f"{url}?" + "&".join(["is_active=true"] * 2000))
    attack.send("5,000 separators", url=f"{url}?" + "&" * 5000)
    attack.send("only a question mark", url=f"{url}?")
    attack.send("no names", url=f"{url}?=&==&=1")
    attack.report()


LISTS = [o for o in operations() if any(p["name"] == "cursor" for p in o.parameters("query"))]


def wrong_values(operation: Operation) -> Iterable[tuple[str, str]]:
    for parameter in operation.parameters("query"):
        spec, name = parameter["schema"], parameter["name"]
        if name == "search":
            continue
        yield name, "b%20n@na!"
        if "enum" in spec or spec.get("type") == "boolean" or spec.get("format") == "uuid":
            yield name, "True "
            yield name, "0"
        if name in ("page_size", "cursor", "count", "ordering"):
            yield from ((name, value) for value in ("", "0", "-1", "%00", "1.0", "٣"))


@pytest.mark.parametrize("operation", LISTS, ids=lambda o: o.name)
def test_unknown_filter_values_orderings_and_cursors_are_400(attack: Attack) -> None:
    url = attack.url
    for name, value in wrong_values(attack.operation):

        def names_it(answer: Answer, name: str = name) -> bool:
            return is_400(answer) and name in [error["field"] for error in answer.json().get("errors", [])]

        attack.send(f"{name}={value}", url=f"{url}?{name}={value}", accept=names_it)
    attack.report()


@pytest.mark.parametrize("operation", LISTS, ids=lambda o: o.name)
def test_a_cursor_of_another_list_is_400(attack: Attack) -> None:
    url = attack.url
    for other in LISTS:
        if other.path == attack.operation.path:
            continue
        page = attack.client.get(f"{other.path}?page_size=1", headers={"Authorization": f"Bearer {attack.token}"})
        link = page.json()["next"]
        if link:
            cursor = link.partition("cursor=")[2]
            attack.send(f"a cursor of {other.name}", url=f"{url}?cursor={cursor}", accept=is_400)
    attack.report()


@pytest.mark.parametrize("operation", LISTS, ids=lambda o: o.name)
def test_a_page_never_holds_more_than_200(attack: Attack) -> None:
    """No caller makes us read a million rows."""
    from core.pagination import MAX_SIZE

    assert MAX_SIZE == 200
    url = attack.url
    for size in ("201", "100000", "9" * 30):
        attack.send(size, url=f"{url}?page_size={size}", accept=lambda a: a.status_code == 200)
    attack.report()


@pytest.mark.parametrize("operation", LISTS, ids=lambda o: o.name)
def test_no_filter_reaches_a_column_that_is_not_offered(attack: Attack) -> None:
    """CVE-2025-64459, and every lookup that Django knows."""
    url = attack.url
    plain = attack.client.get(url, headers={"Authorization": f"Bearer {attack.token}"}).json()["results"]
    for query in (
        "_connector=OR", "password__startswith=x", "email__regex=.*", "id=1", "pk__in=1",
        "user__password__contains=a", "grants__role__name=admin", "is_active__in=false", "_negated=true",
    ):  # fmt: skip
        attack.send(
            query,
            url=f"{url}?{query}",
            accept=lambda answer: answer.status_code == 200 and len(answer.json()["results"]) == len(plain),
        )
    attack.report()


# --- The path -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", WITH_PATH, ids=lambda o: o.name)
def test_an_id_that_is_none_is_404(attack: Attack) -> None:
    ids = attack.operation.expected.path(attack.world, attack.caller)
    for name in ids:
        for value in battery.PATH_VALUES:
            url = attack.operation.path.format(**{**ids, name: quote(value, "%/;.*-")})
            attack.send(f"{name}={value[:40]}", url=url, accept=lambda a: a.status_code in (404, 405))
    attack.report()


@every_operation
def test_no_other_spelling_of_the_path_leads_in(attack: Attack) -> None:
    url = attack.url
    for other in (
        f"{url}/",
        f"/{url}",
        url.upper(),
        f"{url}%00",
        f"{url}%20",
        f"{url};a=b",
        f"{url}.json",
        f"{url}%2f",
    ):
        attack.send(other, url=other, accept=lambda a: a.status_code in (404, 405))
    attack.report()


# --- Headers and cookies ------------------------------------------------------------------------------------------


@every_operation
def test_a_hostile_header_or_cookie_crashes_nothing(attack: Attack) -> None:
    for name, value in battery.HEADERS:
        attack.send(f"{name}: {value[:40]}", headers={name: value})
    attack.report()


@every_operation
def test_headers_over_32_kib_are_431(attack: Attack) -> None:
    for name in ("X-Long", "Cookie", "User-Agent", "Accept", "X-Request-ID"):
        attack.send(name, headers={name: "x" * 100_000}, accept=lambda a: a.status_code == 431)
    many = {f"X-{number}": "x" * 100 for number in range(400)}
    attack.send("400 of them", headers=many, accept=lambda a: a.status_code == 431)
    attack.report()


@every_operation
def test_a_broken_authorization_header_is_401_or_ignored(attack: Attack) -> None:
    is_public = attack.operation.expected.needs == PUBLIC
    for value in battery.AUTHORIZATIONS:
        attack.send(
            value[:40],
            headers={"Authorization": value},
            accept=lambda a: a.status_code != 401 if is_public else a.status_code == 401,
        )
    attack.report()


@every_operation
def test_a_host_that_we_are_not_is_400(attack: Attack) -> None:
    for host in battery.HOSTS:
        if host not in ("", "127.0.0.1:"):
            attack.send(host[:40], HTTP_HOST=host, accept=is_400)
    attack.report()


@every_operation
def test_a_chunked_body_is_read_or_411(attack: Attack) -> None:
    """Django under WSGI would take it for an empty one."""
    attack.send("chunked", headers={"Transfer-Encoding": "chunked"}, accept=lambda a: a.status_code == 411)
    attack.send("Chunked", headers={"Transfer-Encoding": "gzip, Chunked"}, accept=lambda a: a.status_code == 411)
    attack.report()
