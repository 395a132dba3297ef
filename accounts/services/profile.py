"""What people change about themselves."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts import challenges, limits
from accounts.addresses import Address
from accounts.challenges import Proof, Purpose
from accounts.errors import AddressTaken, InvalidCode, InvalidLink, taken
from accounts.etag import fits
from accounts.models import Challenge, Session, User
from accounts.services.passwords import check_current
from accounts.services.sessions import end_all_of
from audit.services import record, record_failure
from core.actor import Actor
from core.errors import PreconditionFailed, field_error
from mail.services import send
from rbac.guards import guarded, keeps_an_administrator

PROFILE = ("username", "first_name", "middle_name", "last_name", "language")


def change_profile(actor: Actor, user: User, changes: dict[str, Any], if_match: str | None = None) -> User:
    """Names, username, language. Raises InvalidInput (`username` taken), PreconditionFailed."""
    with transaction.atomic():
        locked = lock(user, if_match)
        save_profile(actor, locked, {name: changes[name] for name in PROFILE if name in changes})
    return locked


def lock(user: User, if_match: str | None = None) -> User:
    """The user as it stands now, locked. Raises PreconditionFailed unless it fits `if_match`."""
    locked: User = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if if_match is not None and not fits(if_match, locked):
        raise PreconditionFailed
    return locked


def save_profile(actor: Actor, user: User, changes: dict[str, Any]) -> None:
    different = {name: value for name, value in changes.items() if getattr(user, name) != value}
    if not different:
        return
    for name, value in different.items():
        setattr(user, name, value)
    try:
        with transaction.atomic():
            touch(user, *different)
    except IntegrityError as error:
        raise taken("username") from error
    record(actor, "user.changed", user, fields=sorted(different))


def touch(user: User, *fields: str) -> None:
    """Save `fields` and the time of the change."""
    user.updated_at = Now()
    user.save(update_fields=[*fields, "updated_at"])
    user.refresh_from_db(fields=["updated_at"])


def ask_email_change(actor: Actor, address: Address, password: str) -> None:
    """Send a code to the new address and word to the old one, which keeps working until the new one is proved.

    A taken address gets a mail that tells its owner, and the caller the same answer.
    Raises InvalidInput (`wrong_password`, unchanged), TooManyAttempts, TooManyRequests.
    """
    user: User = actor.user
    limits.allow_mail_request(actor.ip)
    check_current(actor, password, "password")
    if address.key == user.email_key:
        raise field_error("new_email", "unchanged", _("This is your address already."))
    may_mail = limits.allows_mail(address.key)
    with transaction.atomic():
        locked = lock(user)
        record(actor, "email.change_asked", locked)
        if not may_mail:
            return
        owner = holder(address)
        if owner:
            send("email_taken", owner.email, owner.language, user_id=owner.pk)
        else:
            challenges.ask(locked, Purpose.EMAIL_CHANGE, address.email)
        _tell(actor, "email_change_notice", locked.email, locked)


def _tell(actor: Actor, template: str, to: str, user: User) -> None:
    send(template, to, user.language, user_id=user.pk, device=actor.device, ip=actor.ip)


def holder(address: Address) -> User | None:
    """Whoever has this address for good; a sign-up that was never verified does not."""
    found = User.objects.filter(email_key=address.key)
    return found.exclude(pk__in=User.objects.pending().without_roles()).first()


def give_way(actor: Actor, address: Address, but: User) -> None:
    """Delete the sign-up for `address` that nobody verified: it must not block somebody who has the address."""
    others = User.objects.pending().without_roles().filter(email_key=address.key).exclude(pk=but.pk)
    # Under the lock that proving takes: one that is proved in this moment is found no more, and stays.
    for waiting in others.select_for_update(of=("self",)):
        record(actor, "user.gave_way", waiting)
        waiting.delete()


def confirm_email_change(actor: Actor, proof: Proof) -> User:
    """Move the account of a challenge to the address that was just proved.

    Raises InvalidCode, InvalidLink, AddressTaken.
    """
    with transaction.atomic():
        challenge = challenges.meet((Purpose.EMAIL_CHANGE,), proof)
        if challenge:
            return _moved(actor, challenge)
        record_failure(actor, "email.change_failed", proof.user)
    raise InvalidLink if proof.by_link else InvalidCode


def _moved(actor: Actor, challenge: Challenge) -> User:
    user = lock(challenge.user)
    old = user.email
    move(actor, user, Address(challenge.email, challenge.email.casefold()))
    _tell(actor, "email_changed", old, user)
    record(actor, "email.changed", user)
    return user


def move(actor: Actor, user: User, address: Address) -> None:
    """Give the account another address. Raises AddressTaken; all its codes and links end."""
    give_way(actor, address, but=user)
    user.email, user.email_key = address
    try:
        with transaction.atomic():
            touch(user, "email", "email_key")
    except IntegrityError as error:
        raise AddressTaken from error
    challenges.void(user)


def close_account(actor: Actor, password: str) -> None:
    """Deactivate oneself. Raises InvalidInput (`wrong_password`), TooManyAttempts, LastAdministrator."""
    check_current(actor, password, "password")
    _close(actor, actor.user)


@guarded
def _close(actor: Actor, user: User) -> None:
    with keeps_an_administrator():
        locked = lock(user)
        if locked.is_active:
            deactivate(actor, locked)


def deactivate(actor: Actor, user: User) -> None:
    """Soft delete: nobody signs in as `user` from now on, and nothing else is lost."""
    user.is_active = False
    touch(user, "is_active")
    challenges.void(user)
    end_all_of(actor, user, Session.Ended.DEACTIVATED)
    record(actor, "user.deactivated", user)
