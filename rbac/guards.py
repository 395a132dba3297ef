"""The guard rails: each rule once, for API, staff panel and commands alike.

A service that may be refused is `@guarded`. The system itself (a command, a task) passes every rail but
the last: not even a command takes the last administrator away.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Model

from audit.services import record
from core.actor import Actor
from core.errors import LastAdministrator, OwnAccount, PrivilegeEscalation
from core.transactions import serialised
from rbac.holdings import forget, granted, holdings
from rbac.models import Role, RoleGrant

P = ParamSpec("P")
R = TypeVar("R")

REFUSALS = (OwnAccount, PrivilegeEscalation, LastAdministrator)


def guarded(service: Callable[Concatenate[Actor, P], R]) -> Callable[Concatenate[Actor, P], R]:
    """Run the service in a transaction; when a guard rail refuses, undo it, then record `guard.refused`.

    The event is committed after the rollback, so it survives. Inside somebody else's transaction it does
    only if that somebody is `@guarded` too, or catches the refusal. What the actor holds is read anew, since
    it may have been withdrawn after the view had asked.
    """

    @wraps(service)
    def run(actor: Actor, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with transaction.atomic():
                forget(actor.user)
                return service(actor, *args, **kwargs)
        except REFUSALS as refusal:
            forget(actor.user)
            target = next((value for value in args if isinstance(value, Model)), None)
            with transaction.atomic():
                record(actor, "guard.refused", target, code=refusal.code, operation=service.__name__)
            raise

    return run


def not_own_account(actor: Actor, user: AbstractBaseUser) -> None:
    """Raise OwnAccount when somebody does to himself what administrators do to others."""
    if not actor.is_system and actor.user_id == user.pk:
        raise OwnAccount


def outranks(actor: Actor, user: AbstractBaseUser) -> None:
    """Raise PrivilegeEscalation when `user` was given a permission that the actor lacks.

    Deactivated users count with what they were given: restoring an administrator takes one.
    """
    if actor.user_id != user.pk:
        forget(user)
        holds_all(actor, granted(user).permissions)


def holds_all(actor: Actor, permissions: Iterable[str]) -> None:
    """Raise PrivilegeEscalation unless the actor holds each: nobody gives, takes or changes more."""
    if not actor.is_system and not holdings(actor.user).permissions.issuperset(permissions):
        raise PrivilegeEscalation


may_give = holds_all


def may_grant(actor: Actor, role: Role) -> None:
    """Raise PrivilegeEscalation when the role holds more than the actor.

    `admin` also holds what does not exist yet, so only an administrator has enough to give it.
    """
    if role.is_admin and not actor.is_system and not holdings(actor.user).has_role(role.name):
        raise PrivilegeEscalation
    holds_all(actor, role.permission_names())


@contextmanager
def gains_nothing(actor: Actor) -> Iterator[None]:
    """Raise PrivilegeEscalation when the change gave the actor more, or the same for longer.

    So an administrator for a day cannot make himself one for ever.
    """
    before = holdings(actor.user)
    yield
    forget(actor.user)
    after = holdings(actor.user)
    if any(after.held_until(name) > before.held_until(name) for name in after.permissions):
        raise PrivilegeEscalation


def one_at_a_time() -> None:
    """Changes of roles and grants, and whatever may take an administrator away, happen one after another.

    They are rare, and two that look at different rows would each believe the other away.
    """
    serialised("administrators")


@contextmanager
def keeps_an_administrator() -> Iterator[None]:
    """Raise LastAdministrator when the change takes the last one away.

    Locks first and looks after the change, inside the transaction: a look before it proves nothing, because
    two administrators who demote each other both see two. Comes before any row is locked, so that no two
    services wait for each other.
    """
    one_at_a_time()
    there_was_one = RoleGrant.objects.of_administrators().exists()
    yield
    if there_was_one and not RoleGrant.objects.of_administrators().exists():
        raise LastAdministrator
