"""Whom and what a round needs, and what it left. Each of these runs inside a process of the crowd."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from unittest.mock import patch
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction
from django.db.models.functions import Now
from django.test import override_settings
from psycopg.errors import DeadlockDetected

from accounts import challenges
from accounts.hashers import Argon2idPasswordHasher
from accounts.limits import account_key
from accounts.models import Challenge, FailedLogIns, Session, SigningKey, User
from accounts.services.keys import rotate
from accounts.services.sessions import log_in
from core import errors
from core.actor import Actor
from core.secrets import code_for, link_token
from rbac.models import Role, RoleGrant

PASSWORD = "Correct-horse-9"
Purpose = Challenge.Purpose
_numbers = count()


@dataclass(frozen=True, slots=True)
class Person:
    id: str
    email: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    id: str
    session: str
    access: str
    refresh: str


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail carried."""

    email: str
    code: str
    token: str


def new_address() -> str:
    return f"{uuid4().hex}@example.org"


def person(*, is_verified: bool = True, has_password: bool = True) -> Person:
    user = _user(is_verified, has_password)
    return Person(str(user.pk), user.email)


def _user(is_verified: bool = True, has_password: bool = True) -> User:
    email = new_address()
    password = _hash(settings.PASSWORD_HASHERS[0]) if has_password else make_password(None)
    return User.objects.create(email=email, email_key=email, password=password, is_verified=is_verified)


@lru_cache
def _hash(hasher: str) -> str:
    return make_password(PASSWORD)


def weaken_hash(person: Person) -> None:
    """The next log-in replaces it."""
    weaker = Argon2idPasswordHasher()
    weaker.time_cost = 1
    User.objects.filter(pk=person.id).update(password=weaker.encode(PASSWORD, weaker.salt()))


def signed_in() -> SignedIn:
    return sign_in(person().email)


def sign_in(email: str) -> SignedIn:
    done = log_in(Actor(ip=f"172.16.0.{next(_numbers) % 250 + 1}", device="Test"), email, PASSWORD)
    session, pair = done.session, done.pair
    return SignedIn(str(session.user_id), str(session.pk), pair.access, pair.refresh)


def retire_all_keys() -> int:
    """No key signs, as at the very first start; how many there have been."""
    SigningKey.objects.update(retired_at=Now())
    return how_many_keys()


def how_many_keys() -> int:
    return SigningKey.objects.count()


def rotate_key() -> None:
    rotate(Actor.system("test"))


@lru_cache(maxsize=1)
def a_hundred_signed_in() -> list[SignedIn]:
    """The same in each round: what they do there does not sign them out."""
    return [signed_in() for _ in range(100)]


def administrators(number: int) -> list[SignedIn]:
    """Signed in, and the only ones."""
    RoleGrant.objects.all().delete()
    people = [signed_in() for _ in range(number)]
    for one in people:
        RoleGrant.objects.create(user_id=UUID(one.id), role=Role.objects.get(name="admin"))
    return people


def how_many_administrators() -> int:
    return RoleGrant.objects.of_administrators().count()


def role_called(name: str) -> str:
    return str(Role.objects.get(name=name).pk)


def letter(purpose: str) -> Letter:
    """To a new person: one who waits to be verified, was invited, or forgot the password."""
    user = _user(is_verified=purpose == Purpose.RESET, has_password=purpose != Purpose.INVITATION)
    return _write(user, purpose, user.email)


@transaction.atomic
def letters_about(email: str, people: list[SignedIn]) -> list[Letter]:
    """Each of these people asked to move to one and the same address."""
    users = User.objects.in_bulk([UUID(one.id) for one in people])
    return [_write(users[UUID(one.id)], Purpose.EMAIL_CHANGE, email) for one in people]


def _write(user: User, purpose: str, email: str) -> Letter:
    with transaction.atomic():
        challenge = challenges.ask(User.objects.select_for_update().get(pk=user.pk), Purpose(purpose), email)
    return Letter(email, code_for(challenge.pk, purpose), link_token(challenge.pk, purpose))


def holders_of(email: str) -> list[str]:
    return [str(pk) for pk in User.objects.filter(email_key=email).values_list("pk", flat=True)]


def has_password(email: str, password: str) -> bool:
    return check_password(password, User.objects.get(email_key=email).password)


def generation_of(session: str) -> int:
    return Session.objects.get(pk=session).gen


def failures_of(email: str) -> int:
    account = account_key(User.objects.get(email_key=email), email)
    return sum(FailedLogIns.objects.filter(account=account, network="").values_list("count", flat=True))


@contextmanager
def no_limits() -> Iterator[None]:
    with override_settings(RATE_LIMITS=False):
        yield


@contextmanager
def bcrypt() -> Iterator[None]:
    hashers = ["django.contrib.auth.hashers.BCryptSHA256PasswordHasher", *settings.PASSWORD_HASHERS]
    with override_settings(PASSWORD_HASHERS=hashers):
        yield


@contextmanager
def deadlocks_as_failures() -> Iterator[None]:
    """They end in a 503, which a caller repeats, and so nobody would notice them."""
    usual = errors.as_problem

    def as_problem(error: Exception) -> errors.Problem:
        return errors.Problem() if isinstance(error.__cause__, DeadlockDetected) else usual(error)

    with patch.object(errors, "as_problem", as_problem):
        yield
