"""Whatever is raised, ours or not, ends in one and the same shape."""

import json

import pytest
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from django.test import Client, RequestFactory
from rest_framework import exceptions
from rest_framework.exceptions import ErrorDetail, ValidationError

from core import errors
from core.errors import Problem, as_problem, exception_handler, field_error, flatten, problem_response


def all_problems(kind=Problem):
    yield kind
    for sub in kind.__subclasses__():
        yield from all_problems(sub)


PROBLEMS = sorted(set(all_problems()), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", PROBLEMS, ids=lambda kind: kind.__name__)
def test_every_problem_has_all_that_the_contract_asks_for(kind):
    body = kind().body("abc")
    assert body["type"] == f"urn:muster:problem:{body['code']}"
    assert body["status"] == kind.status_code >= 400
    assert body["code"] == body["code"].lower()
    assert " " not in body["code"]
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == "abc"


def test_no_two_problems_share_a_code():
    codes = [kind.code for kind in PROBLEMS]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", [k for k in PROBLEMS if k.status_code == 401], ids=lambda kind: kind.__name__)
def test_every_401_challenges(kind):
    assert kind().headers["WWW-Authenticate"].startswith("Bearer realm=")


def test_a_503_says_when_to_come_back():
    assert int(errors.ServiceUnavailable().headers["Retry-After"]) >= 1


@pytest.mark.parametrize("seconds", [0, -5, 0.2])
def test_retry_after_is_a_second_at_least(seconds):
    assert errors.TooManyRequests(retry_after=int(seconds)).headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (exceptions.ParseError(), 400, "malformed_body"),
        (exceptions.NotAuthenticated(), 401, "not_authenticated"),
        (exceptions.AuthenticationFailed(), 401, "invalid_token"),
        (exceptions.PermissionDenied(), 403, "permission_denied"),
        (DjangoPermissionDenied(), 403, "permission_denied"),
        (exceptions.NotFound(), 404, "not_found"),
        (Http404(), 404, "not_found"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (exceptions.NotAcceptable(), 406, "not_acceptable"),
        (RequestDataTooBig(), 413, "body_too_large"),
        (exceptions.UnsupportedMediaType("x"), 415, "unsupported_media_type"),
        (SuspiciousOperation(), 400, "bad_request"),
        (DataError("secret value"), 400, "bad_request"),
        (OperationalError("secret host"), 503, "service_unavailable"),
        (InterfaceError("secret host"), 503, "service_unavailable"),
        (ZeroDivisionError("secret"), 500, "internal_error"),
    ],
)
def test_foreign_errors_become_ours_and_their_words_stay_inside(error, status, code):
    request = RequestFactory().get("/")
    request.request_id = "abc"
    response = exception_handler(error, {"request": request})
    assert (response.status_code, json.loads(response.content)["code"], json.loads(response.content)["request_id"]) == (
        status,
        code,
        "abc",
    )
    assert "secret" not in response.content.decode()
    assert response["Content-Type"] == "application/problem+json"
    assert request.problem_code == code


def test_a_plain_view_answers_in_the_same_shape():
    request = RequestFactory().get("/")
    request.request_id = "abc"
    response = problem_response(request, errors.NotFound())
    assert json.loads(response.content) == errors.NotFound().body("abc")
    assert response["Content-Type"] == "application/problem+json"


def test_nested_errors_are_named_by_their_path():
    detail = ErrorDetail("Wrong.", "wrong")
    error = ValidationError(
        {"name": [detail], "roles": {0: [detail]}, "a": {"b": {"c": [detail]}}, "l": [{}, {"x": [detail]}]}
    )
    found = [entry["field"] for entry in as_problem(error).errors or []]
    assert found == ["name", "roles.0", "a.b.c", "l.1.x"]


def test_an_error_of_the_whole_body_is_called_body():
    error = ValidationError({"non_field_errors": [ErrorDetail("Wrong.", "wrong")]})
    assert list(flatten(error.get_full_details())) == [{"field": "body", "code": "wrong", "detail": "Wrong."}]


def test_one_wrong_field_is_one_entry():
    assert field_error("email", "taken", "x").errors == [{"field": "email", "code": "taken", "detail": "x"}]


def test_what_is_required_stands_in_the_body_only_where_it_is():
    assert errors.PermissionDenied(required="user:read").body("")["required"] == "user:read"
    assert "required" not in errors.NotFound().body("")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/nothing", "/api/v1/nothing", "/api/v1/users/me/", "/api/v2/users", "/%ff", "/static/x", "/api"]
)
def test_an_unknown_address_is_a_problem_and_no_page(path):
    response = Client(HTTP_HOST="127.0.0.1").get(path)
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "not_found"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/v1/auth/login"), ("TRACE", "/api/v1/users/me"), ("FOO", "/api/v1/users/me")]
)
def test_a_wrong_method_is_a_problem_that_names_the_right_ones(method, path):
    response = Client(HTTP_HOST="127.0.0.1").generic(method, path)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response["Allow"]
    assert method not in response["Allow"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/account/verify", "/account/reset"])
def test_a_wrong_method_on_a_page_is_a_problem_too(path):
    response = Client(HTTP_HOST="127.0.0.1").generic("PUT", path)
    assert response.status_code == 405
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/xml"])
def test_an_answer_that_nobody_can_take_is_406(accept):
    response = Client(HTTP_HOST="127.0.0.1").get("/api/v1/users/me", headers={"Accept": accept})
    assert response.json()["code"] in ("not_acceptable", "not_authenticated")
    assert response["Content-Type"] == "application/problem+json"
