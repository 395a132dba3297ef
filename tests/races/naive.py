"""What one writes who thinks of one caller at a time. Each is put in the place of the real thing, inside every
process of the crowd, and the race that guards the real thing must notice it.
"""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from django.contrib.auth.hashers import make_password

from accounts import challenges, keys, limits, tokens
from accounts.addresses import Address
from accounts.errors import AddressTaken, taken
from accounts.models import FailedLogIns, User
from accounts.services import passwords, profile, registration, sessions, users
from core.client import network
from core.clock import database_now
from core.errors import LastAdministrator
from rbac.models import Role, RoleGrant
from rbac.views import grants, roles

GAP = 0.2  # seconds between looking and doing


def _gap() -> None:
    time.sleep(GAP)


@contextmanager
def refresh_that_reads_then_saves() -> Iterator[None]:
    """Slowly, because the times in a token are whole seconds: two pairs of one second are the same."""

    def rotate(claims: Any, kid: str, asked_from: str) -> Any:
        session = sessions.refreshable_session(claims)
        if session is None or session.gen != claims.gen:
            return None
        time.sleep(random.uniform(0, 2))
        session.now = database_now()
        sessions._set_generation_times(session, session.now)
        session.gen += 1
        session.save()
        return tokens.sign_pair(session, session.now)

    with patch.object(sessions, "rotate", rotate):
        yield


@contextmanager
def refresh_that_signs_whoever_won() -> Iterator[None]:
    """What it wanted to write, not what stands there."""
    rotate_really = sessions.rotate

    def rotate(claims: Any, kid: str, asked_from: str) -> Any:
        session = sessions.refreshable_session(claims)
        if session is None or session.gen != claims.gen:
            return None
        return rotate_really(claims, kid, asked_from) or tokens.sign_pair(session, session.now)

    with patch.object(sessions, "rotate", rotate):
        yield


@contextmanager
def log_in_that_looks_only_before_hashing() -> Iterator[None]:
    def start(actor: Any, user: User, seen: str, upgraded: str) -> Any:
        _gap()
        now = database_now()
        session = sessions._open(actor, user, now)
        return sessions.SignedIn(session, tokens.sign_pair(session, now))

    with patch.object(sessions, "_start", start):
        yield


@contextmanager
def sign_up_that_looks_then_creates() -> Iterator[None]:
    def sign_up(actor: Any, address: Address, password: str, profile: dict[str, Any]) -> None:
        if "username" in profile and User.objects.filter(username=profile["username"]).exists():
            raise taken("username")
        if User.objects.filter(email_key=address.key).exists():
            return
        encoded = make_password(password)
        User.objects.create(email=address.email, email_key=address.key, password=encoded, **profile)

    with patch.object(registration, "sign_up", sign_up):
        yield


@contextmanager
def letters_spent_without_lock() -> Iterator[None]:
    """The real thing, with its transaction and its lock left out."""
    met = challenges._met

    def slowly_met(*args: Any) -> bool:
        _gap()
        return met(*args)

    no_transaction = SimpleNamespace(atomic=nullcontext)
    with ExitStack() as stack:
        stack.enter_context(patch.object(challenges, "_met", slowly_met))
        stack.enter_context(patch.object(challenges, "_lock_user", lambda *args: None))
        for service in (registration, passwords):
            stack.enter_context(patch.object(service, "transaction", no_transaction))
        yield


@contextmanager
def move_that_looks_then_saves() -> Iterator[None]:
    def move(actor: Any, proof: Any) -> User:
        challenge = challenges.find((challenges.Purpose.EMAIL_CHANGE,), proof)
        if challenge is None or User.objects.filter(email_key=challenge.email).exists():
            raise AddressTaken
        _gap()
        challenge.user.email = challenge.user.email_key = challenge.email
        challenge.user.save()
        return challenge.user

    with patch.object(profile, "confirm_email_change", move):
        yield


@contextmanager
def administrators_counted_before() -> Iterator[None]:
    def somebody_else_is_left(user: User) -> None:
        if not RoleGrant.objects.of_administrators().exclude(user=user).exists():
            raise LastAdministrator
        _gap()

    def withdraw(actor: Any, user: Any, role: Role) -> None:
        somebody_else_is_left(user)
        RoleGrant.objects.filter(user=user, role=role).delete()

    def deactivate(actor: Any, user: User, *args: Any) -> User:
        somebody_else_is_left(user)
        User.objects.filter(pk=user.pk).update(is_active=False)
        return user

    with (
        patch.object(grants, "withdraw", withdraw),
        patch.object(users, "change_user", deactivate),
        patch.object(users, "delete_user", deactivate),
        patch.object(profile, "_close", deactivate),
    ):
        yield


@contextmanager
def failures_counted_by_reading_then_writing() -> Iterator[None]:
    def settle(account: str, ip: str | None, user: User | None, *, success: bool) -> None:
        if success:
            return
        now = database_now()
        row, _ = FailedLogIns.objects.get_or_create(account=account, network=network(ip), defaults={"updated_at": now})
        _gap()
        row.count += 1
        if row.count >= limits.FAILURES_BEFORE_WAITING:
            row.wait_until = now + timedelta(minutes=1)
        row.save()

    with patch.object(limits, "settle_attempt", settle):
        yield


@contextmanager
def role_that_is_looked_for_then_made() -> Iterator[None]:
    def create(actor: Any, name: str, **rest: Any) -> Role:
        if Role.objects.filter(name__iexact=name).exists():
            raise taken("name")
        _gap()
        return Role.objects.create(name=name)

    with patch.object(roles, "create_role", create):
        yield


@contextmanager
def first_key_without_waiting_for_others() -> Iterator[None]:
    def make() -> Any:
        _gap()
        return keys.succeed(keys.generated("HS256"), "HS256", database_now())

    with patch.object(keys, "_make_missing", make):
        yield
