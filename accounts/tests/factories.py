"""People and their sessions, for tests."""

from typing import Any

import factory
from django.contrib.auth.hashers import make_password

from accounts.models import Session, User
from accounts.services.sessions import SignedIn, log_in
from core.actor import Actor

PASSWORD = "Correct-horse-9"


class UserFactory(factory.django.DjangoModelFactory[User]):
    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda n: f"person{n}@example.org")
    email_key = factory.LazyAttribute(lambda o: o.email.casefold())
    first_name = "Ann"
    last_name = "Lee"
    is_verified = True
    is_active = True

    @classmethod
    def _create(cls, model_class: Any, *args: Any, password: str | None = PASSWORD, **kwargs: Any) -> Any:
        """`password` in clear; None for none."""
        return super()._create(model_class, *args, password=make_password(password), **kwargs)


def signed_in(user: User, password: str = PASSWORD, ip: str = "192.0.2.1", device: str = "Test") -> SignedIn:
    return log_in(Actor(ip=ip, device=device), user.email, password)


def session_of(user: User) -> Session:
    return signed_in(user).session
