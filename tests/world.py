"""A small installation in which every operation of the API finds what it acts upon."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.test import Client

from accounts.challenges import Purpose, ask
from accounts.models import Challenge, Session, User
from accounts.services import users
from accounts.tests.factories import UserFactory, signed_in
from accounts.tokens import TokenPair
from core.actor import Actor
from rbac.models import Permission, Role
from rbac.tests.factories import GrantFactory, PermissionFactory, RoleFactory

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class World:
    admin: User
    target: User
    """Somebody ordinary, whom the others' calls are about; holds `role`, and is signed in by `pair`."""
    pending: User
    invited: User
    closed: User
    role: Role
    """Holds no permission, so that whoever may write roles may touch it."""
    permission: Permission
    session: Session
    pair: TokenPair
    verification: Challenge
    forgotten: Challenge


def build() -> World:
    admin = GrantFactory(user=UserFactory(first_name="Ada"), role=Role.objects.get(name="admin")).user
    role = RoleFactory(name="clerk")
    RoleFactory(name="spare")
    target = GrantFactory(user=UserFactory(email="target@example.org", username="target"), role=role).user
    pending = UserFactory(email="pending@example.org", is_verified=False)
    here = signed_in(target)
    return World(
        admin=admin,
        target=target,
        pending=pending,
        invited=UserFactory(email="invited@example.org", password=None, is_verified=False, joined_by="administrator"),
        closed=UserFactory(email="closed@example.org", is_active=False),
        role=role,
        permission=PermissionFactory(resource="order", action="refund"),
        session=here.session,
        pair=here.pair,
        verification=ask(pending, Purpose.VERIFY),
        forgotten=ask(target, Purpose.RESET),
    )


def anonymous(world: World, permission: str | None) -> tuple[None, None]:
    return None, None


def without_role(world: World, permission: str | None) -> tuple[User, str]:
    user = UserFactory()
    return user, signed_in(user).pair.access


def holder(world: World, permission: str | None) -> tuple[User, str]:
    """Holds exactly `permission`."""
    user = UserFactory()
    if permission:
        GrantFactory(user=user, role=RoleFactory(permissions=[permission]))
    return user, signed_in(user).pair.access


def deactivated(world: World, permission: str | None) -> tuple[User, str]:
    """Held the permission and was signed in, until an administrator deactivated the account."""
    user, access = holder(world, permission)
    users.delete_user(Actor(user=world.admin), user)
    user.refresh_from_db()
    return user, access


def unverified(world: World, permission: str | None) -> tuple[User, str]:
    """Held the permission and was signed in, until an administrator changed the address."""
    from accounts.addresses import parse_address

    user, access = holder(world, permission)
    users.change_user(Actor(user=world.admin), user, {"email": parse_address("other@example.org")})
    user.refresh_from_db()
    return user, access


CALLERS = {
    "anonymous": anonymous,
    "without a role": without_role,
    "with exactly the permission": holder,
    "deactivated": deactivated,
    "unverified": unverified,
}


def send(method: str, url: str, body: Any = None, token: str | None = None, *, form: bool = False, **more: Any) -> Any:
    """One request, whose answer comes back whatever happened, also for a crash."""
    client = Client(REMOTE_ADDR="192.0.2.77", HTTP_HOST="127.0.0.1", raise_request_exception=False)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= more.pop("headers", {})
    if body is None:
        return client.generic(method, url, headers=headers, **more)
    data = urlencode(body) if form else json.dumps(body)
    return client.generic(method, url, data, FORM if form else "application/json", headers=headers, **more)


def is_problem(response: Any, status: int | None = None, code: str | None = None) -> None:
    """Assert that this is problem details (RFC 9457) of that status and code, with the id of the request."""
    assert response["Content-Type"] == "application/problem+json", response.content[:300]
    body = response.json()
    assert body["status"] == response.status_code
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(body)
    assert body["request_id"] == response["X-Request-ID"]
    assert status is None or response.status_code == status, body
    assert code is None or body["code"] == code, body
