"""Sign up, and prove the address.

Whether an address is taken shows in no answer: every sign-up costs one hash and ends in the same words, and
the mail tells the owner what only the owner may know.
"""

from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction

from accounts import challenges, limits
from accounts.addresses import Address, canonical
from accounts.challenges import Proof, Purpose
from accounts.errors import InvalidCode, InvalidLink, taken
from accounts.hashing import check_password, hash_beside, make_password
from accounts.models import Challenge, User
from accounts.services.passwords import check_rules
from audit.services import record, record_failure
from core.actor import Actor
from mail.services import send
from rbac.services.grants import grant_default_role

PROFILE = ("username", "first_name", "middle_name", "last_name", "language")
RACES = 3


@dataclass(frozen=True, slots=True)
class Verified:
    email: str
    password_needed: bool


class _Changed(Exception):
    """Another sign-up for the address was faster; look again."""


def sign_up(actor: Actor, address: Address, password: str, profile: dict[str, Any]) -> None:
    """Make an account that waits for its address to be proved, or tell the address that it has one.

    Raises InvalidInput for a weak password or a taken username, TooManyRequests.
    """
    limits.allow_mail_request(actor.ip)
    check_rules(password, User(email=address.email, **profile))
    if profile.get("username") and _name_is_taken(profile["username"], address):
        raise taken("username")
    may_mail = limits.allows_mail(address.key)
    for _ in range(RACES):
        seen = User.objects.filter(email_key=address.key).first()
        encoded = hash_beside(password, seen.password) if seen and is_pending(seen) else make_password(password)
        if not may_mail:
            return
        try:
            with transaction.atomic():
                _register(actor, address, encoded, profile, seen)
            return
        except _Changed:
            continue
        except IntegrityError as error:
            if seen or not User.objects.filter(email_key=address.key).exists():
                raise taken("username") from error


def is_pending(user: User) -> bool:
    return User.objects.pending().filter(pk=user.pk).exists()


def _name_is_taken(username: str, address: Address) -> bool:
    own = User.objects.pending().filter(email_key=address.key)
    return User.objects.called(username).exclude(pk__in=own).exists()


def _register(actor: Actor, address: Address, encoded: str, profile: dict[str, Any], seen: User | None) -> None:
    user = User.objects.select_for_update(no_key=True).filter(email_key=address.key).first()
    if (user.password if user else None) != (seen.password if seen else None):
        raise _Changed
    if user is None:
        user = User(email=address.email, email_key=address.key, password=encoded, **profile)
        user.save(force_insert=True)
        grant_default_role(actor, user)
    elif is_pending(user):
        _sign_up_again(user, address, encoded, profile)
    else:
        _tell_owner(user)
        record_failure(actor, "user.sign_up_refused", user, why="taken")
        return
    challenges.ask(user, Purpose.VERIFY, anew=True)
    record(actor, "user.signed_up", user)


def _sign_up_again(user: User, address: Address, encoded: str, profile: dict[str, Any]) -> None:
    """The newest name and password count; nobody has proved anything yet.

    If the passwords differ, neither may survive on the word of whoever typed it: see `verify`.
    """
    challenges.void(user)
    user.password_contested = user.password_contested or user.password != encoded
    user.email, user.password = address.email, encoded
    unsaid = User()
    for name in PROFILE:
        setattr(user, name, profile.get(name, getattr(unsaid, name)))
    user.save(update_fields=["email", "password", "password_contested", *PROFILE])


def _tell_owner(user: User) -> None:
    if not user.is_active:
        send("account_closed", user.email, user.language, user_id=user.pk)
    elif user.is_verified and user.has_usable_password():
        send("already_registered", user.email, user.language, user_id=user.pk)
    else:
        welcome(user)


def welcome(user: User) -> Challenge:
    """The mail that lets somebody in whom others made an account for: prove the address, or set a password."""
    needs_proof_only = user.has_usable_password() and not user.is_verified
    return challenges.ask(user, Purpose.VERIFY if needs_proof_only else Purpose.INVITATION)


def resend(actor: Actor, typed: str) -> None:
    """The mail again, for an address that waits to be proved. Says nothing about the address."""
    limits.allow_mail_request(actor.ip)
    key = canonical(typed)
    with transaction.atomic():
        is_due = _is_waiting(User.objects.select_for_update(no_key=True).filter(email_key=key).first())
    if not is_due or not limits.allows_mail(key):
        return
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).filter(email_key=key).first()
        if user and _is_waiting(user):
            welcome(user)


def _is_waiting(user: User | None) -> bool:
    """Whether a mail is due; for nobody's address too, so that those are counted alike."""
    return user is None or (user.is_active and not user.is_verified and not challenges.was_sent_just_now(user))


def verify(actor: Actor, proof: Proof, password: str | None) -> Verified:
    """Make the account of a proven address usable. Raises InvalidCode or InvalidLink.

    Where sign-ups with different passwords met, or another password comes with the proof, only one that comes with
    it stays: whoever proves the address owns the account, and must not inherit the password of a stranger.
    """
    found = challenges.find((Purpose.VERIFY,), proof)
    seen = found.user.password if found else ""
    keeps = _keeps(found.user, password) if found else False
    with transaction.atomic():
        challenge = challenges.meet((Purpose.VERIFY,), proof)
        user = _make_usable(challenge, keeps, seen) if challenge else None
        if user:
            record(actor, "user.verified", user)
        else:
            record_failure(actor, "user.verification_failed", found and found.user)
    if user is None:
        raise InvalidLink if proof.by_link else InvalidCode
    return Verified(user.email, not user.has_usable_password())


def _keeps(user: User, password: str | None) -> bool:
    return check_password(password, user.password) if password else not user.password_contested


def _make_usable(challenge: Challenge, keeps_password: bool, seen: str) -> User:
    user = User.objects.get(pk=challenge.user_id)  # locked by `meet`
    if not keeps_password or user.password != seen:
        user.set_unusable_password()
    challenges.void(user)
    user.is_verified, user.password_contested = True, False
    user.save(update_fields=["is_verified", "password", "password_contested"])
    return user
