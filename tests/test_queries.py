"""How many questions to the database an answer costs. A number here is a promise: raise it with a reason only."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Session, User
from accounts.tests.factories import UserFactory, signed_in
from audit.models import Event
from rbac.models import Permission, Role
from rbac.tests.factories import GrantFactory, PermissionFactory, RoleFactory
from tests.world import World, build, send

pytestmark = pytest.mark.django_db


class Questions(CaptureQueriesContext):
    def __init__(self) -> None:
        from django.db import connection

        super().__init__(connection)

    def told(self) -> str:
        return "\n".join(query["sql"][:200] for query in self.captured_queries)


def questions(method: str, path: str, token: str | None = None, body: Any = None) -> int:
    """How many, transaction control left out."""
    send(method, path, body, token)  # what is cached for the process is cached
    with Questions() as asked:
        response = send(method, path, body, token)
    assert response.status_code < 300, response.content
    control = ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT", "ROLLBACK")
    return sum(not query["sql"].startswith(control) for query in asked.captured_queries)


@pytest.fixture
def world() -> World:
    return build()


@pytest.fixture
def admin(world: World) -> str:
    return signed_in(world.admin).pair.access


def test_oneself_with_roles_costs_one(world: World) -> None:
    """Session, user and roles together."""
    assert questions("GET", "/api/v1/users/me", world.pair.access) == 1


def test_ones_permissions_cost_two(world: World, admin: str) -> None:
    assert questions("GET", "/api/v1/users/me/permissions", admin) == 2


def test_a_question_about_permissions_costs_two(world: World, admin: str) -> None:
    body = {"checks": [f"order{n}:refund" for n in range(100)]}
    assert questions("POST", "/api/v1/permissions/check", admin, body) == 2


def test_a_refresh_costs_its_one_write(world: World) -> None:
    with Questions() as asked:
        response = send("POST", "/api/v1/auth/refresh", {"refresh": world.pair.refresh})
    assert response.status_code == 200
    assert len(asked) == 1, asked.told()
    assert asked.captured_queries[0]["sql"].lstrip().startswith("UPDATE")


def test_a_repeated_refresh_costs_at_most_two(world: World) -> None:
    send("POST", "/api/v1/auth/refresh", {"refresh": world.pair.refresh})
    with Questions() as asked:
        send("POST", "/api/v1/auth/refresh", {"refresh": world.pair.refresh})
    assert len(asked) <= 2, asked.told()


def people(count: int) -> list[User]:
    role = RoleFactory()
    made = User.objects.bulk_create(
        User(email=f"p{n}@x.example", email_key=f"p{n}@x.example", password="!") for n in range(count)
    )
    for user in made[::3]:
        GrantFactory(user=user, role=role)
    return made


def test_a_page_of_fifty_people_costs_three(world: World, admin: str) -> None:
    people(60)
    assert questions("GET", "/api/v1/users?page_size=50", admin) == 3


@pytest.mark.parametrize(
    "query", ["search=p1", "is_active=true", "ordering=-last_login", "created_after=2001-01-01T00:00:00Z"]
)
def test_a_filtered_page_of_people_costs_no_more(world: World, admin: str, query: str) -> None:
    people(60)
    asks_how_many = query.startswith("search") and connection.vendor == "postgresql"
    assert questions("GET", f"/api/v1/users?page_size=50&{query}", admin) == 3 + asks_how_many


def test_the_second_page_costs_what_the_first_does(world: World, admin: str) -> None:
    people(120)
    page = send("GET", "/api/v1/users?page_size=50", token=admin).json()
    address = page["next"].partition("127.0.0.1")[2]
    assert questions("GET", address, admin) == 3
    assert questions("GET", f"{address}&count=exact", admin) == 4


@pytest.mark.parametrize(
    ("path", "most"), [("/sessions", 3), ("/audit/events", 3), ("/permissions", 3), ("/roles", 5), ("/users", 3)]
)
def test_a_list_costs_the_same_however_much_stands_in_it(world: World, admin: str, path: str, most: int) -> None:
    few = questions("GET", f"/api/v1{path}", admin)
    for number in range(12):
        user = UserFactory()
        signed_in(user, ip=f"192.0.2.{number}")
        GrantFactory(user=user, role=RoleFactory(permissions=[f"thing{number}:use", "user:read"]))
        PermissionFactory()
    many = questions("GET", f"/api/v1{path}", admin)
    assert few == many <= most


def test_the_devices_and_roles_of_somebody_cost_the_same_however_many(world: World, admin: str) -> None:
    paths = [f"/users/{world.target.pk}/sessions", f"/users/{world.target.pk}/roles", f"/users/{world.target.pk}"]
    few = [questions("GET", f"/api/v1{path}", admin) for path in paths]
    for number in range(8):
        signed_in(world.target, ip=f"198.51.100.{number}")
        GrantFactory(user=world.target, role=RoleFactory(permissions=["user:read"]))
    many = [questions("GET", f"/api/v1{path}", admin) for path in paths]
    assert few == many
    assert max(many) <= 4


def test_ones_own_devices_cost_two(world: World) -> None:
    for number in range(5):
        signed_in(world.target, ip=f"198.51.100.{number}")
    assert questions("GET", "/api/v1/users/me/sessions", world.pair.access) == 2


def test_reading_writes_nothing(world: World, admin: str) -> None:
    """Neither `last_used_at` nor anything else, so a read never waits for a writer."""
    with Questions() as asked:
        for path in ("/users/me", "/users", "/roles", "/permissions", "/sessions", "/audit/events"):
            assert send("GET", f"/api/v1{path}", token=admin).status_code == 200
    assert all(query["sql"].lstrip("(").startswith("SELECT") for query in asked.captured_queries), asked.told()
    assert Session.objects.count() >= 2
    assert Event.objects.exists()
    assert Role.objects.exists()
    assert Permission.objects.exists()


def test_a_refused_token_costs_at_most_one(world: World) -> None:
    with Questions() as asked:
        assert send("GET", "/api/v1/users/me", token="a.b.c").status_code == 401
    assert len(asked) == 0, "what is no token of ours asks nobody"
    send("POST", "/api/v1/auth/logout", {"refresh": world.pair.refresh})
    with Questions() as asked:
        assert send("GET", "/api/v1/users/me", token=world.pair.access).status_code == 401
    assert len(asked) == 1
