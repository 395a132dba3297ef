"""A pytest plugin: whatever an operation of the API answers, in any test, must stand in the schema.

`conftest.py` names it in `pytest_plugins`. Each answer that `OutcomeMiddleware` tells of is compared with what
`core.openapi.declared` put into the schema; the test in which an undeclared one was seen fails.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from unittest import mock

import pytest
from django.http import HttpResponseBase

from core.errors import CONTENT_TYPE
from core.middleware import OutcomeMiddleware

API = "/api/v1/"
seen: set[tuple[str, int, str | None]] = set()
"""Operation, status and problem code of everything that was answered so far."""


@lru_cache(maxsize=1)
def documented() -> dict[str, dict[int, set[str] | None]]:
    """For each operation its statuses, each with the problem codes that it can have; None if it is no problem."""
    from tests.operations import operations

    return {
        f"{operation.method} {operation.path}": {
            int(status): codes_of(answer) for status, answer in operation.spec["responses"].items()
        }
        for operation in operations()
    }


def codes_of(answer: Any) -> set[str] | None:
    content = answer.get("content", {}).get(CONTENT_TYPE)
    return set(content["examples"]) if content else None


def operation_of(request: Any) -> str | None:
    """ "GET /api/v1/users/{id}", or None for what is no operation of the schema, a wrong method among them."""
    match = request.resolver_match
    if match is None or not request.path.startswith(API) or not hasattr(match.func, "cls"):
        return None
    path = "/" + match.route
    for name in match.captured_kwargs:
        path = path.replace(f"<uuid:{name}>", "{" + name + "}")
    path = path.replace("^", "").replace("$", "").replace("{pk}", "{id}")
    name = f"{'GET' if request.method == 'HEAD' else request.method} {path}"
    return name if name in documented() else None


def objection(operation: str, status: int, code: str | None) -> str | None:
    """What is wrong with such an answer; `code` is None unless it is a problem (RFC 9457)."""
    statuses = documented()[operation]
    if status not in statuses:
        return f"{operation} answered {status} {code or ''}, which the schema does not list"
    codes = statuses[status]
    if code is not None and code not in (codes or ()):
        return f"{operation} answered {status} {code}; the schema lists {sorted(codes or ())}"
    return None


def judge(request: Any, response: HttpResponseBase) -> str | None:
    operation = operation_of(request)
    if operation is None:
        return None
    is_problem = response.get("Content-Type", "") == CONTENT_TYPE
    code = getattr(request, "problem_code", None) if is_problem else None
    seen.add((operation, response.status_code, code))
    return objection(operation, response.status_code, code)


@pytest.fixture(autouse=True)
def answers_are_declared() -> Iterator[list[str]]:
    """Watches every answer of one test; a test that means to see an undeclared one empties the list."""
    faults: list[str] = []
    tell = OutcomeMiddleware.tell

    def watch(self: Any, request: Any, response: HttpResponseBase, seconds: float) -> None:
        if fault := judge(request, response):
            faults.append(fault)
        tell(self, request, response, seconds)

    with mock.patch.object(OutcomeMiddleware, "tell", watch):
        yield faults
    assert not faults, "\n".join(sorted(set(faults)))
