"""What administrators do with the accounts of others. The guard rails stand in `rbac.guards`."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import challenges
from accounts.addresses import Address
from accounts.errors import AddressTaken, AlreadyAccepted, taken
from accounts.hashing import make_password
from accounts.models import Session, User
from accounts.services import sessions
from accounts.services.passwords import check_rules
from accounts.services.profile import PROFILE, deactivate, give_way, holder, lock, move, save_profile, touch
from accounts.services.registration import welcome
from audit.services import record
from core.actor import Actor
from core.clock import database_now
from core.errors import PermissionDenied, field_error
from mail.services import send
from rbac.guards import guarded, holds_all, keeps_an_administrator, not_own_account, outranks
from rbac.models import Role, RoleGrant
from rbac.services.grants import grant_default_role

JoinedBy = User.JoinedBy
ENDING_BATCH = 500


def create_user(
    actor: Actor,
    address: Address,
    password: str | None,
    profile: dict[str, Any],
    *,
    is_verified: bool = False,
    is_staff: bool = False,
    joined_by: JoinedBy = JoinedBy.ADMINISTRATOR,
) -> User:
    """An account made by others. Without a password its address gets an invitation to set one.

    Raises InvalidInput (taken or weak), PermissionDenied for `is_staff` without role:assign.
    """
    if is_staff:
        _may_assign(actor)
    user = User(email=address.email, email_key=address.key, is_verified=is_verified, is_staff=is_staff, **profile)
    user.joined_by = joined_by
    if password is not None:
        check_rules(password, user)
    user.password = make_password(password)
    with transaction.atomic():
        _insert(actor, user, address)
        grant_default_role(actor, user)
        record(actor, "user.created", user, joined_by=joined_by.value, is_staff=is_staff)
        if password is None or not is_verified:
            welcome(user)
    return user


def _insert(actor: Actor, user: User, address: Address) -> None:
    if holder(address):
        raise taken("email")
    give_way(actor, address, but=user)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as error:
        is_address = User.objects.filter(email_key=address.key).exists()
        raise taken("email" if is_address else "username") from error


def change_user(actor: Actor, user: User, changes: dict[str, Any], if_match: str | None = None) -> User:
    """Profile, address and flags of somebody else, or of oneself as far as administrators may.

    Raises PreconditionFailed, PermissionDenied, OwnAccount, PrivilegeEscalation, LastAdministrator,
    InvalidInput (taken).
    """
    if "is_staff" in changes and changes["is_staff"] != user.is_staff:
        _may_assign(actor)
    return _change_user(actor, user, changes, if_match)


@guarded
def _change_user(actor: Actor, user: User, changes: dict[str, Any], if_match: str | None) -> User:
    with keeps_an_administrator():
        locked = lock(user, if_match)
        if changes.get("is_active") is False:
            not_own_account(actor, locked)
        outranks(actor, locked)
        save_profile(actor, locked, {name: changes[name] for name in PROFILE if name in changes})
        if "email" in changes and changes["email"].email != locked.email:
            _readdress(actor, locked, changes["email"])
        _set_flags(actor, locked, changes)
    return locked


def _readdress(actor: Actor, user: User, address: Address) -> None:
    """Whoever read the old mailbox is out, until the new address is proved."""
    if user.pk == actor.user_id:
        return  # one's own address changes by proof only
    old = user.email
    if holder(address) not in (None, user):
        raise taken("email")
    try:
        move(actor, user, address)
    except AddressTaken as error:
        raise taken("email") from error
    user.is_verified = False
    user.joined_by = JoinedBy.ADMINISTRATOR  # no sign-up that may be replaced, moved over or cleaned up
    touch(user, "is_verified", "joined_by")
    sessions.end_all_of(actor, user, Session.Ended.EMAIL)
    send("email_changed", old, user.language, user_id=user.pk)
    welcome(user)
    record(actor, "email.changed", user)


def _set_flags(actor: Actor, user: User, changes: dict[str, Any]) -> None:
    if changes.get("is_staff", user.is_staff) != user.is_staff:
        _may_assign(actor)  # again, now that the row is locked
        save_profile(actor, user, {"is_staff": changes["is_staff"]})
    is_active = changes.get("is_active", user.is_active)
    if user.is_active and not is_active:
        deactivate(actor, user)
    elif is_active and not user.is_active:
        _reactivate(actor, user)


def _may_assign(actor: Actor) -> None:
    if not actor.is_system and not actor.user.has_perm("role:assign"):
        raise PermissionDenied(required="role:assign")


@guarded
def delete_user(actor: Actor, user: User) -> None:
    """Soft delete; again and again if you like. Raises OwnAccount, PrivilegeEscalation, LastAdministrator."""
    with keeps_an_administrator():
        locked = lock(user)
        not_own_account(actor, locked)
        outranks(actor, locked)
        if locked.is_active:
            deactivate(actor, locked)


@guarded
def restore_user(actor: Actor, user: User) -> User:
    """Raises PrivilegeEscalation."""
    locked = lock(user)
    outranks(actor, locked)
    if not locked.is_active:
        _reactivate(actor, locked)
    return locked


def _reactivate(actor: Actor, user: User) -> None:
    user.is_active = True
    touch(user, "is_active")
    record(actor, "user.restored", user)


@guarded
def invite(actor: Actor, user: User) -> None:
    """The invitation again. Raises AlreadyAccepted, PrivilegeEscalation."""
    locked = lock(user)
    outranks(actor, locked)
    if locked.has_usable_password() or not locked.is_active:
        raise AlreadyAccepted
    challenges.ask(locked, challenges.Purpose.INVITATION)
    record(actor, "user.invited", locked)


@guarded
def end_sessions_of(actor: Actor, user: User) -> None:
    """Raises PrivilegeEscalation."""
    outranks(actor, user)
    sessions.end_all_of(actor, user, Session.Ended.REVOKED)


@guarded
def end_session(actor: Actor, session: Session) -> None:
    """Anybody's session. Raises PrivilegeEscalation."""
    outranks(actor, session.user)
    sessions.end(actor, Session.objects.filter(pk=session.pk), Session.Ended.REVOKED)


def end_everyones_sessions(actor: Actor) -> int:
    """All but the actor's own. Raises PrivilegeEscalation when somebody above the actor is signed in.

    Batches are committed as they come: whoever is cut short by the end of time goes on by asking again.
    """
    others: QuerySet[Session] = Session.objects.live().exclude(user=actor.user).filter(created_at__lte=database_now())
    _outranks_all(actor, others)
    ended = 0
    while batch := list(others.order_by("pk").values_list("pk", flat=True)[:ENDING_BATCH]):
        ended += len(sessions.end(actor, Session.objects.filter(pk__in=batch), Session.Ended.REVOKED))
    return ended


@guarded
def _outranks_all(actor: Actor, theirs: QuerySet[Session]) -> None:
    given = RoleGrant.objects.live().filter(user_id__in=theirs.values("user_id"))
    for role in Role.objects.filter(pk__in=given.values("role_id")):
        holds_all(actor, role.permission_names())


def existing(key: str) -> User:
    """By address, username or id, for commands. Raises InvalidInput."""
    user = sessions.find_by_name(key)
    if user is None:
        with suppress(ValueError):
            user = User.objects.filter(pk=UUID(key)).first()
    if user is None:
        raise field_error("user", "unknown", _("Nobody has the address, username or id %(key)s.") % {"key": repr(key)})
    return user
