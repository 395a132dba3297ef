"""What people do, one line each, through the API."""

from typing import Any

from accounts.addresses import parse_address
from accounts.models import User
from accounts.services.users import create_user
from accounts.tests.factories import PASSWORD
from accounts.tests.mailbox import code_in_mail
from core.actor import Actor
from tests.client import ApiClient

ANN = "ann@example.org"
OTHER_PASSWORD = "Battery-staple-7"


def sign_up(api: ApiClient, email: str = ANN, password: str = PASSWORD, **rest: Any) -> Any:
    return api.post("/auth/signup", {"email": email, "password": password, **rest})


def verify(api: ApiClient, email: str = ANN, **rest: Any) -> Any:
    """With the code of the latest mail."""
    return api.post("/auth/verify", {"email": email, "code": code_in_mail(email), **rest})


def log_in(api: ApiClient, email: str = ANN, password: str = PASSWORD) -> Any:
    return api.post("/auth/login", {"email": email, "password": password})


def gets_in(email: str = ANN, password: str = PASSWORD, ip: str = "198.51.100.200") -> bool:
    """Whether this password opens the account, asked from an address of its own."""
    response = log_in(ApiClient(ip), email, password)
    assert response.status_code in (200, 401), response.content
    return bool(response.status_code == 200)


def signed_up(api: ApiClient, email: str = ANN, password: str = PASSWORD, **rest: Any) -> User:
    assert sign_up(api, email, password, **rest).status_code == 202
    return User.objects.get(email_key=email.casefold())


def invited(email: str = ANN, password: str | None = None, **rest: Any) -> User:
    """As an administrator's POST /users leaves it, mail included."""
    return create_user(Actor.system("test"), parse_address(email), password, {}, **rest)
