"""Every operation of the API: read from the schema, and what the contract expects of each.

`EXPECTED` is written by hand, from the contract; the schema is generated from the code. A test holds one against
the other, so an operation that is new, or lost, shows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator

from accounts.challenges import Purpose, ask
from accounts.models import User
from accounts.tests.factories import PASSWORD
from core.secrets import code_for, link_token
from tests.world import World

PREFIX = "/api/v1"
METHODS = ("get", "post", "put", "patch", "delete")
NEW_PASSWORD = "Wholly-new-horse-7"

PUBLIC = "anybody"
SIGNED_IN = "signed in"

Fill = Callable[[World, User | None], Any]


@dataclass(frozen=True)
class Expected:
    """`needs` is PUBLIC, SIGNED_IN or a permission; `ok` what a call that may be made is answered."""

    needs: str
    ok: int
    body: Fill = lambda world, caller: None
    path: Fill = lambda world, caller: {}
    or_oneself: bool = False
    form: bool = False


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    spec: dict[str, Any] = field(hash=False, compare=False, repr=False)

    @property
    def name(self) -> str:
        return f"{self.method} {self.path.removeprefix(PREFIX)}"

    @property
    def expected(self) -> Expected:
        return EXPECTED[self.name]

    def parameters(self, place: str) -> list[dict[str, Any]]:
        return [p for p in self.spec.get("parameters", []) if p["in"] == place]

    def url(self, world: World, caller: User | None) -> str:
        return self.path.format(**self.expected.path(world, caller))

    def takes_body(self) -> bool:
        """Whether it reads a body at all. OpenAPI has no word for that of a DELETE."""
        return "requestBody" in self.spec or self.name == "DELETE /users/me"


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return document


@lru_cache(maxsize=1)
def operations() -> tuple[Operation, ...]:
    return tuple(
        Operation(method.upper(), path, spec)
        for path, methods in schema()["paths"].items()
        for method, spec in methods.items()
        if method in METHODS
    )


def named(name: str) -> Operation:
    return next(operation for operation in operations() if operation.name == name)


def target(world: World, caller: Any) -> Any:
    return {"id": world.target.pk}


def code_of_email_change(world: World, caller: User | None) -> Any:
    if caller is None or not caller.is_active:
        return {"code": "123456"}
    challenge = ask(caller, Purpose.EMAIL_CHANGE, "moved@example.org")
    return {"code": code_for(challenge.pk, "email_change")}


def own_session(world: World, caller: User | None) -> Any:
    found = caller and caller.sessions.first()
    return {"session_id": found.pk if found else world.session.pk}


EXPECTED: dict[str, Expected] = {
    "POST /auth/signup": Expected(
        PUBLIC, 202, lambda w, c: {"email": "new@example.org", "password": PASSWORD, "username": "newcomer"}
    ),
    "POST /auth/verify": Expected(
        PUBLIC, 200, lambda w, c: {"email": w.pending.email, "code": code_for(w.verification.pk, "verify")}
    ),
    "POST /auth/verify/resend": Expected(PUBLIC, 202, lambda w, c: {"email": w.pending.email}),
    "GET /auth/csrf": Expected(PUBLIC, 204),
    "POST /auth/login": Expected(PUBLIC, 200, lambda w, c: {"email": w.target.email, "password": PASSWORD}),
    "POST /auth/refresh": Expected(PUBLIC, 200, lambda w, c: {"refresh": w.pair.refresh}),
    "POST /auth/logout": Expected(PUBLIC, 204, lambda w, c: {"refresh": w.pair.refresh}),
    "POST /auth/logout/all": Expected(SIGNED_IN, 204),
    "POST /auth/token": Expected(
        PUBLIC,
        200,
        lambda w, c: {"grant_type": "password", "username": w.target.email, "password": PASSWORD},
        form=True,
    ),
    "POST /auth/password/forgot": Expected(PUBLIC, 202, lambda w, c: {"email": w.target.email}),
    "POST /auth/password/reset": Expected(
        PUBLIC, 204, lambda w, c: {"token": link_token(w.forgotten.pk, "reset"), "new_password": NEW_PASSWORD}
    ),
    "GET /users/me": Expected(SIGNED_IN, 200),
    "PATCH /users/me": Expected(SIGNED_IN, 200, lambda w, c: {"first_name": "Zoë"}),
    "DELETE /users/me": Expected(SIGNED_IN, 204, lambda w, c: {"password": PASSWORD}),
    "PUT /users/me/password": Expected(
        SIGNED_IN, 204, lambda w, c: {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    ),
    "POST /users/me/email": Expected(
        SIGNED_IN, 202, lambda w, c: {"new_email": "moved@example.org", "password": PASSWORD}
    ),
    "POST /users/me/email/confirm": Expected(SIGNED_IN, 200, code_of_email_change),
    "GET /users/me/permissions": Expected(SIGNED_IN, 200),
    "GET /users/me/sessions": Expected(SIGNED_IN, 200),
    "DELETE /users/me/sessions/{session_id}": Expected(SIGNED_IN, 204, path=own_session),
    "GET /users": Expected("user:read", 200),
    "POST /users": Expected("user:write", 201, lambda w, c: {"email": "made@example.org", "first_name": "Max"}),
    "GET /users/{id}": Expected("user:read", 200, path=target, or_oneself=True),
    "PATCH /users/{id}": Expected("user:write", 200, lambda w, c: {"first_name": "Zoë"}, path=target, or_oneself=True),
    "DELETE /users/{id}": Expected("user:delete", 204, path=target),
    "POST /users/{id}/restore": Expected("user:delete", 200, path=lambda w, c: {"id": w.closed.pk}),
    "POST /users/{id}/invitation": Expected("user:write", 202, path=lambda w, c: {"id": w.invited.pk}),
    "GET /users/{id}/sessions": Expected("session:read", 200, path=target),
    "DELETE /users/{id}/sessions": Expected("session:revoke", 204, path=target),
    "GET /sessions": Expected("session:read", 200),
    "DELETE /sessions": Expected("session:revoke", 204),
    "DELETE /sessions/{id}": Expected("session:revoke", 204, path=lambda w, c: {"id": w.session.pk}),
    "GET /permissions": Expected("permission:read", 200),
    "POST /permissions": Expected("permission:write", 201, lambda w, c: {"resource": "order", "action": "ship"}),
    "GET /permissions/{id}": Expected("permission:read", 200, path=lambda w, c: {"id": w.permission.pk}),
    "DELETE /permissions/{id}": Expected("permission:write", 204, path=lambda w, c: {"id": w.permission.pk}),
    "POST /permissions/check": Expected(SIGNED_IN, 200, lambda w, c: {"checks": ["order:refund"]}),
    "GET /roles": Expected("role:read", 200),
    "POST /roles": Expected("role:write", 201, lambda w, c: {"name": "packer", "permissions": []}),
    "GET /roles/{id}": Expected("role:read", 200, path=lambda w, c: {"id": w.role.pk}),
    "PATCH /roles/{id}": Expected(
        "role:write", 200, lambda w, c: {"description": "Other words"}, path=lambda w, c: {"id": w.role.pk}
    ),
    "DELETE /roles/{id}": Expected("role:write", 204, path=lambda w, c: {"id": w.role.pk}),
    "PUT /roles/{id}/permissions": Expected(
        "role:write", 200, lambda w, c: {"permissions": []}, path=lambda w, c: {"id": w.role.pk}
    ),
    "GET /users/{user_id}/roles": Expected("role:read", 200, path=lambda w, c: {"user_id": w.target.pk}),
    "POST /users/{user_id}/roles": Expected(
        "role:assign", 201, lambda w, c: {"role": "spare"}, path=lambda w, c: {"user_id": w.target.pk}
    ),
    "GET /users/{user_id}/roles/{role_id}": Expected(
        "role:read", 200, path=lambda w, c: {"user_id": w.target.pk, "role_id": w.role.pk}
    ),
    "DELETE /users/{user_id}/roles/{role_id}": Expected(
        "role:assign", 204, path=lambda w, c: {"user_id": w.target.pk, "role_id": w.role.pk}
    ),
    "GET /audit/events": Expected("audit:read", 200),
    "GET /.well-known/jwks.json": Expected(PUBLIC, 200),
}
