import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from accounts.tests.factories import UserFactory
from rbac.models import Role
from rbac.tests.factories import GrantFactory, RoleFactory


@pytest.fixture
def admin(db: None) -> Any:
    return GrantFactory(role=Role.objects.get(name="admin")).user


@pytest.fixture
def holder(db: None) -> Callable[..., Any]:
    """`holder("user:read", …)` makes a user who holds just these."""

    def make(*permissions: str, **user: Any) -> Any:
        return GrantFactory(user=UserFactory(**user), role=RoleFactory(permissions=permissions)).user

    return make


@pytest.fixture
def call() -> Callable[..., Any]:
    """`call(user, "GET", "roles")` is one request of a signed-in user, who is read anew as in any request."""

    def send(user: Any, method: str, path: str, body: Any = None) -> Any:
        client = APIClient()
        if user is not None:
            client.force_authenticate(get_user_model().objects.get(pk=user.pk))
        return client.generic(method, f"/api/v1/{path}", json.dumps(body), content_type="application/json")

    return send
