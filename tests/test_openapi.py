"""The documents: true to the contract, valid, complete, and served from nowhere but here."""

import re
from html.parser import HTMLParser
from io import StringIO
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from accounts.tests.factories import signed_in
from core.errors import CONTENT_TYPE
from tests.operations import EXPECTED, PUBLIC, Operation, operations, schema
from tests.world import World, build, holder, send

# Every call of the contract, sections 2 to 6, by hand. The rest of the schema is what §1 asks of any well-made API:
# a thing that one can make can also be read by its Location.
CONTRACT = """
POST /auth/signup
POST /auth/verify
POST /auth/verify/resend
GET /auth/csrf
POST /auth/login
POST /auth/refresh
POST /auth/logout
POST /auth/logout/all
POST /auth/token
POST /auth/password/forgot
POST /auth/password/reset
GET /users/me
PATCH /users/me
DELETE /users/me
PUT /users/me/password
POST /users/me/email
POST /users/me/email/confirm
GET /users/me/permissions
GET /users/me/sessions
DELETE /users/me/sessions/{session_id}
GET /users
POST /users
GET /users/{id}
PATCH /users/{id}
DELETE /users/{id}
POST /users/{id}/restore
GET /users/{id}/sessions
DELETE /users/{id}/sessions
POST /users/{id}/invitation
GET /sessions
DELETE /sessions/{id}
DELETE /sessions
GET /permissions
POST /permissions
DELETE /permissions/{id}
GET /roles
GET /roles/{id}
POST /roles
PATCH /roles/{id}
DELETE /roles/{id}
PUT /roles/{id}/permissions
GET /users/{user_id}/roles
POST /users/{user_id}/roles
DELETE /users/{user_id}/roles/{role_id}
POST /permissions/check
GET /audit/events
""".split("\n")[1:-1]
# What other services ask for, at the place where they look for it.
WELL_KNOWN = ["GET /.well-known/jwks.json"]
LOCATIONS = ["GET /permissions/{id}", "GET /users/{user_id}/roles/{role_id}"]
DOCUMENTS = ["/api/docs", "/api/redoc", "/docs", "/redoc", "/"]

every_operation = pytest.mark.parametrize("operation", operations(), ids=lambda o: o.name)


@pytest.fixture
def world(db: None) -> World:
    return build()


# --- The document -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_is_made_without_a_warning(tmp_path: Any) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "x.yml"), stderr=StringIO())


def test_it_is_valid_openapi_3_1() -> None:
    assert schema()["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(schema()).validate()


def test_its_operations_are_those_of_the_contract() -> None:
    assert len(CONTRACT) == 46
    assert sorted(operation.name for operation in operations()) == sorted([*CONTRACT, *LOCATIONS, *WELL_KNOWN])


def test_every_operation_has_a_name_of_its_own_a_tag_and_words() -> None:
    names = [operation.spec["operationId"] for operation in operations()]
    assert len(set(names)) == len(names)
    for name in names:
        assert not name[-1].isdigit(), f"{name} had to be numbered"
    assert all(operation.spec.get("tags") for operation in operations())


@every_operation
def test_only_public_operations_need_no_token(operation: Operation) -> None:
    assert ("security" in operation.spec) == (operation.expected.needs != PUBLIC)


@every_operation
def test_it_lists_each_status_with_the_problem_and_an_example_per_code(operation: Operation) -> None:
    answers = operation.spec["responses"]
    assert str(operation.expected.ok) in answers
    expected = {"400", "406", "411", "413", "431", "503"}
    if operation.expected.needs != PUBLIC:
        expected.add("401")
    if ":" in operation.expected.needs:
        expected.add("403")
    if "{" in operation.path:
        expected.add("404")
    if operation.takes_body():
        expected.add("415")
    assert expected <= set(answers)
    for status, answer in answers.items():
        if int(status) >= 400 and CONTENT_TYPE in answer["content"]:
            content = answer["content"][CONTENT_TYPE]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert content["examples"]
            for code, example in content["examples"].items():
                assert example["value"]["code"] == code
                assert example["value"]["status"] == int(status)
                assert not list(validator("Problem").iter_errors(example["value"]))


def test_the_token_endpoint_documents_the_errors_of_rfc_6749() -> None:
    spec = next(o for o in operations() if o.name == "POST /auth/token").spec
    for status in ("400", "429"):
        assert spec["responses"][status]["content"]["application/json"]["schema"]["$ref"].endswith("/TokenError")


def test_refusals_with_a_time_to_wait_say_so() -> None:
    for operation in operations():
        for status in {"429", "503"} & set(operation.spec["responses"]):
            if (operation.name, status) != ("POST /auth/token", "429"):
                assert "Retry-After" in operation.spec["responses"][status]["headers"]


def test_a_flag_in_a_query_can_be_given_as_the_schema_says() -> None:
    """`type: boolean` with `enum: ["true", "false"]` allows no value at all."""
    for operation in operations():
        for parameter in operation.parameters("query"):
            spec = parameter["schema"]
            if "enum" in spec:
                validate = Draft202012Validator(spec)
                assert all(validate.is_valid(value) for value in spec["enum"]), (operation.name, parameter["name"])


# --- Answers and their schemas -------------------------------------------------------------------------------------


def validator(component: str) -> Draft202012Validator:
    return validator_of({"$ref": f"urn:api#/components/schemas/{component}"})


def validator_of(spec: Any) -> Draft202012Validator:
    registry: Any = Registry()
    registry = registry.with_resource("urn:api", Resource.from_contents(schema(), default_specification=DRAFT202012))
    return Draft202012Validator(spec, registry=registry)


def absolute(spec: Any) -> Any:
    """References as seen from outside the document."""
    if isinstance(spec, dict):
        return {k: f"urn:api{v}" if k == "$ref" else absolute(v) for k, v in spec.items()}
    return [absolute(item) for item in spec] if isinstance(spec, list) else spec


@every_operation
def test_what_it_answers_fits_its_schema(world: World, operation: Operation) -> None:
    expected = operation.expected
    user, token = holder(world, expected.needs if ":" in expected.needs else None)
    url, body = operation.url(world, user), expected.body(world, user)
    response = send(operation.method, url, body, token if expected.needs != PUBLIC else None, form=expected.form)
    documented = operation.spec["responses"][str(response.status_code)]
    if "content" not in documented:
        assert not response.content
        return
    spec = documented["content"]["application/json"]["schema"]
    faults = [f"{list(e.path)}: {e.message[:200]}" for e in validator_of(absolute(spec)).iter_errors(response.json())]
    assert not faults


@pytest.mark.parametrize("operation", [o for o in operations() if o.takes_body()], ids=lambda o: o.name)
def test_what_we_send_in_tests_fits_the_schema_of_the_body(world: World, operation: Operation) -> None:
    [media] = operation.spec["requestBody"]["content"].values()
    body = operation.expected.body(world, world.admin)
    assert not list(validator_of(absolute(media["schema"])).iter_errors(body))


# --- The pages ------------------------------------------------------------------------------------------------------


class Links(HTMLParser):
    """Collects what a browser would fetch by itself: not `<a href>`, which waits for a click."""

    FETCHED = {
        "script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src",
        "embed": "src", "object": "data", "input": "src", "track": "src", "redoc": "spec-url", "base": "href",
    }  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if address := values.get(self.FETCHED.get(tag, "")):
            self.found.append(address)
        if "srcset" in values or any(name.startswith("on") for name in values):
            self.inline += 1
        if tag == "script" and "src" not in values:
            self.inline += 1
        if values.get("style"):
            self.found += urls_of_css(values["style"] or "")


def urls_of_css(text: str) -> list[str]:
    return re.findall(r"""(?:url\(\s*["']?|@import\s+["'])([^"')]+)""", text)


def opened(path: str) -> Any:
    return Client(HTTP_HOST="127.0.0.1").get(path, follow=True, headers={"Accept": "text/html,*/*;q=0.8"})


def body_of(response: Any) -> str:
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return str(content.decode())


def is_ours(address: str) -> bool:
    return (address.startswith(("/", "data:", "#", "./")) and not address.startswith("//")) or ":" not in address


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_page_of_ours_asks_no_other_host_for_anything(path: str) -> None:
    response = opened(path)
    assert response.status_code == 200
    links = Links()
    links.feed(body_of(response))
    assert links.found
    assert [address for address in links.found if not is_ours(address)] == []
    for address in links.found:
        if address.startswith("/") and address.partition("?")[0].endswith(".css"):
            sheet = opened(address)
            assert sheet.status_code == 200
            assert [url for url in urls_of_css(body_of(sheet)) if not is_ours(url)] == []


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_page_of_ours_runs_under_a_policy_that_lets_only_our_files_in(path: str) -> None:
    response = opened(path)
    rules = [rule.split() for rule in response["Content-Security-Policy"].split(";") if rule.strip()]
    policy = {rule[0]: set(rule[1:]) for rule in rules}
    assert policy["default-src"] == {"'none'"}
    assert policy["script-src"] == {"'self'"}
    assert policy["connect-src"] == {"'self'"}
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == {"'none'"}
    for sources in policy.values():
        assert sources <= {"'none'", "'self'", "data:", "blob:", "'unsafe-inline'"}
    links = Links()
    links.feed(body_of(response))
    assert links.inline == 0, "the policy would stop it"
    assert response["X-Content-Type-Options"] == "nosniff"


def scripts_of(path: str) -> dict[str, str]:
    links = Links()
    links.feed(body_of(opened(path)))
    scripts = [a for a in links.found if ".js" in a or "script=" in a]
    return {address: body_of(opened(address)) for address in scripts}


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/api/docs", "/api/redoc"])
def test_no_script_of_the_documents_names_a_host_that_it_would_ask(path: str) -> None:
    scripts = scripts_of(path)
    assert scripts
    asked = {
        url
        for text in scripts.values()
        for url in re.findall(r"""["'`(](https?://[a-z0-9.-]+\.[a-z]{2,}[^"'`)\s\\]*)""", text)
        if "raw.githubusercontent.com/ajv-validator" not in url  # the name of a JSON schema
        and re.search(r"validator|cdn|unpkg|jsdelivr|googleapis|gstatic|gravatar|badge|\.(svg|png|woff2?|css|js)$", url)
    }
    if path == "/api/docs":  # the bundle's default, which our page switches off
        page_script = next(text for address, text in scripts.items() if "script=" in address)
        assert re.search(r"""["']?validatorUrl["']?:\s*(null|["']none["']|["']{2})""", page_script)
        asked = {url for url in asked if "validator.swagger.io" not in url}
    assert asked == set()


def test_the_script_of_redoc_is_the_bundle_that_we_ship() -> None:
    bundle = finders.find("drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js")
    assert isinstance(bundle, str)
    response = opened("/api/redoc.js")
    assert response["Content-Type"].startswith("text/javascript")
    assert b"cdn.redoc.ly" not in response.content


@pytest.mark.parametrize("accept", ["application/json", "application/vnd.oai.openapi+json", "*/*", "application/yaml"])
def test_the_schema_is_served_to_anybody(accept: str) -> None:
    response = Client(HTTP_HOST="127.0.0.1").get("/api/schema", headers={"Accept": accept})
    assert response.status_code in (200, 406)
    if "json" in accept:
        assert response.json()["openapi"].startswith("3.1")


@pytest.mark.parametrize("path", ["/api/schema", "/api/docs", "/api/redoc"])
def test_what_cannot_be_shown_as_asked_is_a_problem_like_any_other(path: str) -> None:
    response = Client(HTTP_HOST="127.0.0.1").get(path, headers={"Accept": "image/png"})
    assert response.status_code == 406
    assert response["Content-Type"] == CONTENT_TYPE
    assert response.json()["code"] == "not_acceptable"


def test_the_token_of_somebody_signed_in_changes_nothing_about_the_documents(world: World) -> None:
    token = signed_in(world.admin).pair.access
    mine = send("GET", "/api/schema", token=token, headers={"Accept": "application/json"})
    assert set(mine.json()["paths"]) == set(schema()["paths"])
    assert len(EXPECTED) == 49


@pytest.mark.parametrize("accept", ["application/vnd.oai.openapi", "application/vnd.oai.openapi+json"])
def test_the_schema_is_made_once_for_each_media_type(client: Client, monkeypatch: Any, accept: str) -> None:
    first = client.get("/api/schema", headers={"Accept": accept})
    assert (first.status_code, first["Content-Type"].partition(";")[0]) == (200, accept)
    assert "Accept" in first["Vary"]
    monkeypatch.delattr("drf_spectacular.generators.SchemaGenerator.get_schema")
    assert client.get("/api/schema", headers={"Accept": accept}).content == first.content
