from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.services import record
from core.actor import Actor
from core.clock import database_now
from core.errors import NotFound, field_error
from rbac.builtin import USER
from rbac.guards import gains_nothing, guarded, keeps_an_administrator, may_grant, outranks
from rbac.holdings import forget
from rbac.models import Role, RoleGrant
from rbac.services.locked import lock


@guarded
def grant(
    actor: Actor, user: AbstractBaseUser, role: Role, expires_at: datetime | None = None
) -> tuple[RoleGrant, bool]:
    """Give the role, or change until when `user` has it; True when he did not have it before.

    An expired grant counts as none. Deactivated users can be given roles; they hold them once restored.
    Raises InvalidInput (expires_at in the past), PrivilegeEscalation, LastAdministrator, NotFound.
    """
    with keeps_an_administrator(), gains_nothing(actor):
        if expires_at is not None and expires_at <= database_now():
            raise field_error("expires_at", "past", _("This must lie in the future."))
        lock(user)
        lock(role)
        outranks(actor, user)
        may_grant(actor, role)
        given, is_new = _give(actor, user, role, expires_at)
        forget(user)
        record(
            actor,
            "role.granted",
            user,
            role=role.name,
            expires_at=expires_at.isoformat() if expires_at else None,
        )
    return given, is_new


@guarded
def withdraw(actor: Actor, user: AbstractBaseUser, role: Role) -> None:
    """Take the role away, also from oneself.

    Raises PrivilegeEscalation, NotFound when `user` does not have it, LastAdministrator.
    """
    with keeps_an_administrator():
        outranks(actor, user)
        held = RoleGrant.objects.live().filter(user_id=user.pk, role=role)
        if not held.delete()[0]:
            raise NotFound
        forget(user)
        forget(actor.user)
        record(actor, "role.withdrawn", user, role=role.name)


def grant_default_role(actor: Actor, user: AbstractBaseUser) -> RoleGrant:
    """The role `user`, for a new account, inside the transaction that makes it.

    Unguarded: whoever signs up holds nothing, yet is given this.
    """
    role = Role.objects.get(name=USER)
    given = RoleGrant.objects.create(user_id=user.pk, role=role)
    forget(user)
    record(actor, "role.granted", user, role=role.name, expires_at=None)
    return given


def _give(actor: Actor, user: AbstractBaseUser, role: Role, expires_at: datetime | None) -> tuple[RoleGrant, bool]:
    had_it = RoleGrant.objects.live().filter(user_id=user.pk, role=role).update(expires_at=expires_at)
    if had_it:
        return RoleGrant.objects.get(user_id=user.pk, role=role), False
    given, _ = RoleGrant.objects.update_or_create(
        user_id=user.pk,
        role=role,
        defaults={"granted_by_id": actor.user_id, "granted_at": timezone.now(), "expires_at": expires_at},
    )
    return given, True
