"""Whether `tests.observed` watches, and would notice."""

from typing import Any

import pytest

from accounts.tests.factories import UserFactory
from core.errors import Conflict
from tests import observed
from tests.operations import operations
from tests.world import send


@pytest.fixture
def watched(answers_are_declared: list[str]) -> list[str]:
    """The plugin's own fixture: an error here means that conftest.py does not name the plugin."""
    return answers_are_declared


def test_every_operation_of_the_schema_is_known_by_its_route() -> None:
    assert set(observed.documented()) == {f"{o.method} {o.path}" for o in operations()}


def test_an_answer_as_declared_raises_no_objection() -> None:
    assert observed.objection("GET /api/v1/users/me", 200, None) is None
    assert observed.objection("GET /api/v1/users/me", 401, "invalid_token") is None


@pytest.mark.parametrize(
    ("status", "code"), [(418, None), (409, "conflict"), (401, "invalid_refresh_token"), (200, "not_found")]
)
def test_an_answer_that_is_not_declared_raises_one(status: int, code: str | None) -> None:
    assert observed.objection("GET /api/v1/users/me", status, code)


@pytest.mark.django_db
def test_it_sees_what_a_client_is_answered(watched: list[str]) -> None:
    observed.seen.discard(("GET /api/v1/users/me", 401, "not_authenticated"))
    assert send("GET", "/api/v1/users/me").status_code == 401
    assert ("GET /api/v1/users/me", 401, "not_authenticated") in observed.seen
    assert watched == []


@pytest.mark.django_db
def test_it_sees_a_path_with_an_id() -> None:
    user = UserFactory()
    observed.seen.clear()
    assert send("GET", f"/api/v1/users/{user.pk}").status_code == 401
    assert send("GET", f"/api/v1/users/{user.pk}/roles").status_code == 401
    assert send("DELETE", f"/api/v1/users/{user.pk}/roles/{user.pk}").status_code == 401
    assert send("DELETE", f"/api/v1/sessions/{user.pk}").status_code == 401
    assert {operation for operation, _, _ in observed.seen} == {
        "GET /api/v1/users/{id}",
        "GET /api/v1/users/{user_id}/roles",
        "DELETE /api/v1/users/{user_id}/roles/{role_id}",
        "DELETE /api/v1/sessions/{id}",
    }


@pytest.mark.django_db
def test_an_undeclared_answer_makes_the_test_fail(watched: list[str], monkeypatch: Any) -> None:
    from accounts.views.auth import LogInView

    def conflicts(*args: Any, **kwargs: Any) -> Any:
        raise Conflict

    monkeypatch.setattr(LogInView, "post", conflicts)
    assert send("POST", "/api/v1/auth/login", {}).status_code == 409
    [fault] = watched
    assert "POST /api/v1/auth/login answered 409 conflict" in fault
    watched.clear()


@pytest.mark.django_db
def test_a_wrong_method_is_no_answer_of_an_operation(watched: list[str]) -> None:
    assert send("PUT", "/api/v1/users/me").status_code == 405
    assert watched == []
