"""Who is on stage, and what tests say about changes: that something happened, or that nothing did."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts.models import Challenge, KnownPlace, Session, SigningKey, User
from accounts.tests.factories import PASSWORD, UserFactory
from audit.models import Event
from core.secrets import code_for, link_token
from mail.letters import LETTERS
from mail.models import OutgoingMail
from rbac.models import Permission, Role, RoleGrant
from rbac.tests.factories import GrantFactory, RoleFactory

WITNESSED = (
    *(User, Session, SigningKey, Challenge, KnownPlace, OutgoingMail, Permission, Role, RoleGrant),
    *(OutstandingToken, BlacklistedToken),
)


def administrator(**user: Any) -> Any:
    return GrantFactory(user=UserFactory(**user), role=Role.objects.get(name="admin")).user


def holder(*permissions: str, **user: Any) -> Any:
    """A user who holds just these permissions."""
    return GrantFactory(user=UserFactory(**user), role=RoleFactory(permissions=permissions)).user


def log_in(api: Any, user: Any, password: str = PASSWORD, **headers: str) -> Any:
    """The body of a log-in that went well."""
    response = api.post("/auth/login", {"email": user.email, "password": password}, **headers)
    assert response.status_code == 200, response.content
    return response.json()


def access_of(api: Any, user: Any, password: str = PASSWORD) -> Any:
    return log_in(api, user, password)["access"]


def events(action: str) -> list[Event]:
    return list(Event.objects.filter(action=action).order_by("at", "id"))


def letters(to: str) -> list[str]:
    """The templates of the mails to this address, the oldest first."""
    return list(OutgoingMail.objects.filter(to=to).order_by("id").values_list("template", flat=True))


def letter(template: str, to: str) -> OutgoingMail:
    """The latest such mail."""
    return OutgoingMail.objects.filter(template=template, to=to).latest("id")


def code_in(mail: OutgoingMail) -> str:
    assert mail.challenge_id
    return code_for(mail.challenge_id, LETTERS[mail.template].purpose or "")


def wrong_code(mail: OutgoingMail) -> str:
    return f"{(int(code_in(mail)) + 1) % 1_000_000:06d}"


def link_in(mail: OutgoingMail) -> str:
    assert mail.challenge_id
    return link_token(mail.challenge_id, LETTERS[mail.template].purpose or "")


def state() -> dict[str, Any]:
    return {model._meta.db_table: list(model._default_manager.order_by("pk").values()) for model in WITNESSED}


@contextmanager
def nothing_changes(*recorded: str) -> Iterator[None]:
    """Nothing but these events is written."""
    before, known = state(), set(Event.objects.values_list("pk", flat=True))
    yield
    assert state() == before
    assert sorted(Event.objects.exclude(pk__in=known).values_list("action", flat=True)) == sorted(recorded)


def refusal(response: Any) -> tuple[int, str]:
    """Status and code of a problem that has the one shape of all problems."""
    assert response["Content-Type"] == "application/problem+json", response.content
    body = response.json()
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(body)
    assert body["status"] == response.status_code
    assert body["request_id"] == response["X-Request-ID"]
    return response.status_code, body["code"]


def wrong_fields(response: Any) -> dict[str, str]:
    """Field and code of each entry of a validation error."""
    assert refusal(response) == (400, "validation_error"), response.content
    return {entry["field"]: entry["code"] for entry in response.json()["errors"]}
