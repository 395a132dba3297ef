"""Forget, reset and change passwords."""

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts import challenges, limits
from accounts.addresses import canonical
from accounts.challenges import Proof, Purpose
from accounts.errors import InvalidCode, InvalidLink, wrong_password
from accounts.hashing import make_password
from accounts.models import Session, User
from accounts.services.sessions import end_all_of, prove_password
from audit.services import record, record_failure
from core.actor import Actor
from core.errors import InvalidInput
from mail.services import send


def check_rules(password: str, user: User | None, field: str = "password") -> None:
    """Raise InvalidInput, one entry per broken rule."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidInput(errors=[_entry(e, field) for e in error.error_list]) from error


def _entry(error: Any, field: str) -> dict[str, str]:
    return {"field": field, "code": error.code or "invalid", "detail": " ".join(error.messages)}


def forgot(actor: Actor, typed: str) -> None:
    """Mail a way back in, if the address has an account. Says nothing about that; raises TooManyRequests."""
    limits.allow_mail_request(actor.ip)
    key = canonical(typed)
    may_mail = limits.allows_mail(key)
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).filter(email_key=key).first()
        if user and may_mail and user.is_active:
            challenges.ask(user, Purpose.RESET)
        elif user and may_mail:
            send("account_closed", user.email, user.language, user_id=user.pk)
        record_failure(actor, "password.reset_asked", user)


def reset(actor: Actor, proof: Proof, new_password: str) -> None:
    """Set a password by code or link, also the first one, by an invitation. All sessions end.

    Raises InvalidInput for a weak password, InvalidCode, InvalidLink.
    """
    purposes = (Purpose.RESET, Purpose.INVITATION)
    found = challenges.find(purposes, proof)
    check_rules(new_password, found.user if found else None, "new_password")
    encoded = make_password(new_password) if found else ""
    with transaction.atomic():
        challenge = challenges.meet(purposes, proof)
        is_good = challenge is not None and bool(encoded)
        if challenge and is_good:
            _take_over(actor, challenge.user_id, encoded, is_invitation=challenge.purpose == Purpose.INVITATION)
        else:
            record_failure(actor, "password.reset_failed", found and found.user)
    if not is_good:
        raise InvalidLink if proof.by_link else InvalidCode


def _take_over(actor: Actor, user_id: Any, encoded: str, *, is_invitation: bool) -> None:
    """Whoever has the address has the account: everything that another may hold of it ends."""
    user = User.objects.get(pk=user_id)  # locked by `meet`
    challenges.void(user)
    user.password, user.is_verified, user.password_contested = encoded, True, False
    user.save(update_fields=["password", "is_verified", "password_contested"])
    limits.forgive(user)
    end_all_of(actor, user, Session.Ended.PASSWORD)
    send("password_changed", user.email, user.language, user_id=user.pk, device=actor.device, ip=actor.ip)
    record(actor, "user.invitation_accepted" if is_invitation else "password.reset", user)


def change(actor: Actor, current: str, new: str) -> None:
    """The signed-in person's own password. The other sessions end, this one stays.

    Raises InvalidInput (`wrong_password`, weak), TooManyAttempts.
    """
    user: User = actor.user
    seen = user.password
    check_current(actor, current, "current_password")
    check_rules(new, user, "new_password")
    encoded = make_password(new)
    with transaction.atomic():
        locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if locked.password != seen:
            raise wrong_password("current_password")
        locked.password = encoded
        locked.save(update_fields=["password"])
        challenges.void(locked)
        end_all_of(actor, locked, Session.Ended.PASSWORD, but=actor.session_id)
        send("password_changed", user.email, user.language, user_id=user.pk, device=actor.device, ip=actor.ip)
        record(actor, "password.changed", locked)


def check_current(actor: Actor, password: str, field: str) -> None:
    """Ask a signed-in person for the password once more, under the same limits as at log-in."""
    if prove_password(actor, actor.user, "", password) is None:
        record_failure(actor, "password.refused", actor.user)
        raise wrong_password(field)
