"""Who may enter what: every URL says it, and every operation of the schema is tried by everybody."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.permissions import BasePermission

from accounts.pages.page import PUBLIC as PUBLIC_PAGES
from accounts.tests.factories import signed_in
from core.access import Public, SignedIn
from rbac.tests.factories import GrantFactory, RoleFactory
from tests.operations import EXPECTED, PUBLIC, SIGNED_IN, Operation, operations
from tests.snapshot import contents, nothing_changes
from tests.world import CALLERS, World, build, holder, is_problem, send, without_role

# Views that are no operations of the API, and why anybody may open them.
PAGES = {
    "": "the front page: links and nothing else",
    "healthz": "whether the process lives",
    "readyz": "whether the stores answer; names no more than their kind",
    "metrics": "figures, for the networks of METRICS_ALLOW only",
    "account/signup": "a page for strangers",
    "account/verify": "a page for strangers; behind a mailed link its token is the key",
    "account/verify/resend": "a page for strangers",
    "account/login": "a page for strangers",
    "account/logout": "a page for strangers too: signing out twice is no refusal",
    "account/forgot": "a page for strangers",
    "account/reset": "a page for strangers; behind a mailed link its token is the key",
    "account": "leads strangers to log-in",
    "account/": "leads to the account",
    "account/password": "leads strangers to log-in",
    "account/email": "leads strangers to log-in",
    "account/email/confirm": "leads strangers to log-in",
    "account/devices": "leads strangers to log-in",
    "account/close": "leads strangers to log-in",
    "api/schema": "the documents, public unless DOCS=off",
    "api/docs": "the documents, public unless DOCS=off",
    "api/redoc": "the documents, public unless DOCS=off",
    "api/redoc.js": "the documents, public unless DOCS=off",
    "admin": "leads to the panel",
    "docs": "leads to the documents",
    "redoc": "leads to the documents",
}
CATCH_ALL = "not_found"
# The panel's own doors, which are for those who are not signed in yet or any more.
PANEL_DOORS = {"admin/login/", "admin/logout/", "admin/jsi18n/"}


def walk(resolver: Any, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from walk(pattern, prefix + str(pattern.pattern))
        else:
            yield prefix + str(pattern.pattern), pattern


ALL = list(walk(get_resolver()))
URLS = dict(ALL)
API = {path: pattern for path, pattern in URLS.items() if path.startswith(("api/v1/", ".well-known/"))}
PANEL = sorted(path for path in URLS if path.startswith("admin/"))
MATRIX = [(operation, caller) for operation in operations() for caller in CALLERS]


@pytest.fixture
def world(db: None) -> World:
    return build()


def permissions_of(view_class: Any, actions: dict[str, str] | None) -> Iterator[BasePermission]:
    """Those of each method."""
    names = actions or {m: m for m in ("get", "post", "put", "patch", "delete") if hasattr(view_class, m)}
    for method, name in names.items():
        view = view_class()
        view.action, view.action_map, view.request = name, names, None
        found = view.get_permissions()
        assert found, f"{view_class.__name__}.{method} lets anybody in"
        yield from found


@pytest.mark.parametrize("path", sorted(API))
def test_every_view_of_the_api_states_who_may_enter(path: str) -> None:
    callback: Any = API[path].callback
    for permission in permissions_of(callback.cls, getattr(callback, "actions", None)):
        states_it = isinstance(permission, (Public, SignedIn)) or isinstance(getattr(permission, "required", 0), str)
        assert states_it, f"{type(permission)} is not one of core.access"
        if isinstance(permission, Public):
            assert not callback.cls.authentication_classes, "a stale token must not keep anybody out"


def test_every_other_url_stands_in_the_list_of_pages() -> None:
    *others, (_, last) = [(path, url) for path, url in ALL if path not in API and not path.startswith("admin/")]
    assert last.callback.__name__ == CATCH_ALL
    assert {path for path, _ in others} == set(PAGES)


@pytest.mark.django_db
@pytest.mark.parametrize("path", [path for path in PAGES if path.startswith("account")])
def test_a_page_is_for_strangers_or_leads_them_to_log_in(path: str) -> None:
    with nothing_changes():
        response = Client(HTTP_HOST="127.0.0.1").get(f"/{path}")
    if f"/{path}" in PUBLIC_PAGES:
        assert response.status_code == 200
    else:
        assert response.status_code == 302
        assert response["Location"] in (f"/account/login?next=%2F{path.replace('/', '%2F')}", "/account")


@pytest.mark.django_db
@pytest.mark.parametrize("path", [path for path in PANEL if path not in PANEL_DOORS])
def test_the_panel_shows_a_stranger_nothing_but_its_log_in(path: str) -> None:
    url = "/" + path.replace("<path:object_id>", "x").replace("<path:content_type_id>", "1")
    url = re.sub(r"<uuid:\w+>", "019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e", url)
    url = url.replace(r"^(?P<app_label>audit|mail|rbac|accounts|auth|token_blacklist)/$", "accounts/")
    url = url.replace(r"(?P<url>.*)$", "whatever")
    with nothing_changes():
        for method in ("GET", "POST"):
            response = send(method, url, {} if method == "POST" else None)
            if response.status_code == 302:
                assert response["Location"].startswith(("/admin/login/", "/admin/accounts/", f"{url}x"[:-1]))
                assert not response.content
            else:
                is_problem(response)
                assert response.status_code in (403, 404)


def test_the_table_of_expectations_holds_exactly_the_operations_of_the_schema() -> None:
    assert {operation.name for operation in operations()} == set(EXPECTED)
    assert len(operations()) == len(EXPECTED) == 49
    assert len(MATRIX) == 49 * 5 == 245


def expectation(operation: Operation, caller: str) -> tuple[int, str | None]:
    expected = operation.expected
    if expected.needs == PUBLIC:
        return expected.ok, None
    if caller == "anonymous":
        return 401, "not_authenticated"
    if caller in ("deactivated", "unverified"):
        return 401, "invalid_token"
    if caller == "without a role" and expected.needs != SIGNED_IN:
        return 403, "permission_denied"
    return expected.ok, None


@pytest.mark.parametrize(("operation", "caller"), MATRIX, ids=lambda part: getattr(part, "name", part))
def test_each_operation_lets_in_whom_the_contract_names(world: World, operation: Operation, caller: str) -> None:
    expected = operation.expected
    permission = expected.needs if ":" in expected.needs else None
    user, token = CALLERS[caller](world, permission)
    url, body = operation.url(world, user), expected.body(world, user)
    status, code = expectation(operation, caller)
    before = contents()

    response = send(operation.method, url, body, token, form=expected.form)

    assert response.status_code == status, response.content
    if status < 400:
        return
    is_problem(response, status, code)
    assert contents() == before
    if status == 401:
        challenge = response["WWW-Authenticate"]
        assert challenge.startswith("Bearer ")
        assert ('error="invalid_token"' in challenge) == (code == "invalid_token")
    if code == "permission_denied":
        assert response.json()["required"] == permission
        for secret in (world.target.email, world.target.first_name, str(world.target.pk)):
            assert secret not in response.content.decode()


# --- What belongs to another (fine print of the contract) ---------------------------------------------------------

WITH_ID = [o for o in operations() if "{" in o.path and o.expected.needs not in (PUBLIC, SIGNED_IN)]


@pytest.mark.parametrize("operation", WITH_ID, ids=lambda o: o.name)
def test_permission_comes_before_existence(world: World, operation: Operation) -> None:
    _, token = without_role(world, None)
    body = operation.expected.body(world, None)
    nobody = "019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e"
    names = [p["name"] for p in operation.parameters("path")]
    with nothing_changes():
        there = send(operation.method, operation.url(world, None), body, token)
        not_there = send(operation.method, operation.path.format(**dict.fromkeys(names, nobody)), body, token)
    assert there.status_code == not_there.status_code == 403
    ours, theirs = there.json(), not_there.json()
    assert {**ours, "request_id": ""} == {**theirs, "request_id": ""}


@pytest.mark.parametrize("operation", WITH_ID, ids=lambda o: o.name)
def test_who_may_ask_is_told_404_for_what_is_not_there(world: World, operation: Operation) -> None:
    _, token = holder(world, operation.expected.needs)
    body = operation.expected.body(world, None)
    names = [p["name"] for p in operation.parameters("path")]
    path = operation.path.format(**dict.fromkeys(names, "019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e"))
    with nothing_changes():
        is_problem(send(operation.method, path, body, token), 404, "not_found")


def test_anothers_session_under_my_sessions_is_404_and_lives_on(world: World) -> None:
    _, token = without_role(world, None)
    with nothing_changes():
        response = send("DELETE", f"/api/v1/users/me/sessions/{world.session.pk}", token=token)
    is_problem(response, 404, "not_found")
    assert send("GET", "/api/v1/users/me", token=world.pair.access).status_code == 200


def test_even_an_administrator_ends_only_own_sessions_under_my_sessions(world: World) -> None:
    token = signed_in(world.admin).pair.access
    with nothing_changes():
        response = send("DELETE", f"/api/v1/users/me/sessions/{world.session.pk}", token=token)
    is_problem(response, 404, "not_found")


def test_one_reads_and_changes_oneself_by_id_without_any_permission(world: World) -> None:
    user, token = without_role(world, None)
    assert send("GET", f"/api/v1/users/{user.pk}", token=token).json()["email"] == user.email
    assert send("GET", f"/api/v1/users/{str(user.pk).upper()}", token=token).status_code in (200, 404)
    assert send("PATCH", f"/api/v1/users/{user.pk}", {"first_name": "Io"}, token).json()["first_name"] == "Io"


# What people must never be able to set about themselves (OWASP ASVS 8.2.3).
FORBIDDEN_FIELDS = {
    "id": "019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e",
    "email": "thief@example.org",
    "email_key": "thief@example.org",
    "is_active": False,
    "is_verified": False,
    "is_staff": True,
    "is_superuser": True,
    "password": "Another-horse-5",
    "password_contested": True,
    "joined_by": "import",
    "roles": ["admin"],
    "grants": ["admin"],
    "permissions": ["user:read"],
    "created_at": "2001-01-01T00:00:00Z",
    "updated_at": "2001-01-01T00:00:00Z",
    "last_login": "2001-01-01T00:00:00Z",
    "search_text": "x",
    "__class__": "x",
}


@pytest.mark.parametrize("field", FORBIDDEN_FIELDS)
@pytest.mark.parametrize("path", ["me", "by id"])
def test_nobody_sets_of_themselves_what_only_others_may(world: World, path: str, field: str) -> None:
    user, token = without_role(world, None)
    url = "/api/v1/users/me" if path == "me" else f"/api/v1/users/{user.pk}"
    with nothing_changes():
        response = send("PATCH", url, {field: FORBIDDEN_FIELDS[field]}, token)
    assert response.status_code == 200


@pytest.mark.parametrize("field", sorted(set(FORBIDDEN_FIELDS) - {"email", "password"}))
def test_a_sign_up_sets_nothing_but_the_profile(world: World, field: str) -> None:
    body = {"email": "new@example.org", "password": "Correct-horse-9", field: FORBIDDEN_FIELDS[field]}
    assert send("POST", "/api/v1/auth/signup", body).status_code == 202
    user = type(world.target).objects.get(email_key="new@example.org")
    assert (user.is_active, user.is_verified, user.is_staff, user.joined_by) == (True, False, False, "signup")
    assert str(user.pk) != FORBIDDEN_FIELDS["id"]
    assert [grant.role.name for grant in user.grants.all()] == ["user"]
    assert user.created_at.year > 2001


def test_no_answer_about_people_holds_a_password_or_what_is_ours_alone(world: World) -> None:
    token = signed_in(world.admin).pair.access
    shown = {
        "id", "email", "username", "first_name", "middle_name", "last_name", "language", "is_active",
        "is_verified", "is_staff", "roles", "created_at", "updated_at", "last_login",
    }  # fmt: skip
    for path in ("/users/me", f"/users/{world.target.pk}"):
        assert set(send("GET", f"/api/v1{path}", token=token).json()) == shown
    for person in send("GET", "/api/v1/users", token=token).json()["results"]:
        assert set(person) == shown


def test_what_a_role_gives_counts_and_ends_on_the_next_request(world: World) -> None:
    user, token = without_role(world, None)
    assert send("GET", "/api/v1/users", token=token).status_code == 403
    grant = GrantFactory(user=user, role=RoleFactory(permissions=["user:read"]))
    assert send("GET", "/api/v1/users", token=token).status_code == 200
    grant.delete()
    assert send("GET", "/api/v1/users", token=token).status_code == 403


def test_nobody_without_role_read_learns_what_another_may_do(world: World) -> None:
    _, token = without_role(world, None)
    for user_id in (world.admin.pk, "019a8f3e-5c7d-7b3e-9d2c-1f0a5b6c7d8e"):
        body = {"checks": ["user:read"], "user": str(user_id)}
        with nothing_changes():
            response = send("POST", "/api/v1/permissions/check", body, token)
        is_problem(response, 403, "permission_denied")
        assert response.json()["required"] == "role:read"


@pytest.mark.parametrize("method", ["TRACE", "FOO", "PUT", "POST", "PATCH", "DELETE", "GET"])
@pytest.mark.parametrize("path", sorted({o.path for o in operations()}))
def test_a_method_that_is_not_there_is_405_before_anybody_is_asked_who_they_are(
    world: World, path: str, method: str
) -> None:
    there = {o.method for o in operations() if o.path == path}
    if method in there:
        return
    example = next(o for o in operations() if o.path == path)
    with nothing_changes():
        response = send(method, example.url(world, None))
    is_problem(response, 405, "method_not_allowed")
    allowed = {name.strip() for name in response["Allow"].split(",")}
    assert allowed - {"HEAD", "OPTIONS"} == there


@pytest.mark.parametrize("operation", [o for o in operations() if o.method == "GET"], ids=lambda o: o.name)
def test_head_answers_like_get_without_the_body(world: World, operation: Operation) -> None:
    """RFC 9110 §9.1: GET and HEAD are for every server."""
    permission = operation.expected.needs if ":" in operation.expected.needs else None
    _, token = holder(world, permission)
    url = operation.url(world, None)
    head, got = send("HEAD", url, token=token), send("GET", url, token=token)
    assert head.status_code == got.status_code == operation.expected.ok
    assert not head.content
    assert head.get("Content-Type") == got.get("Content-Type")
