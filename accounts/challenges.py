"""Making and meeting challenges: who knows the code or the link has the address.

Locks are always taken in the order user, challenge.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from accounts import limits
from accounts.addresses import canonical
from accounts.models import Challenge, User
from core.clock import database_now
from core.secrets import code_for, read_link_token
from mail.services import send

Purpose = Challenge.Purpose
TEMPLATES = {
    Purpose.VERIFY: "verify",
    Purpose.RESET: "reset",
    Purpose.EMAIL_CHANGE: "email_change",
    Purpose.INVITATION: "invitation",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """What somebody typed or clicked: the code that went to an address, or the token of a link."""

    email: str = ""
    code: str = ""
    token: str = ""
    user: User | None = None
    """Where the person is signed in: the account whose code it is, instead of the address."""

    @property
    def by_link(self) -> bool:
        return bool(self.token) or not self.code


def ask(user: User, purpose: Purpose, email: str | None = None, *, anew: bool = False) -> Challenge:
    """Mail a challenge: the open one while its code lives and has tries left, else (or `anew`) a fresh one.

    The caller holds the lock on the user.
    """
    now = database_now()
    email = email or user.email
    challenge = open_challenges(user).filter(purpose=purpose).first()
    if challenge is None or anew or not _still_good(challenge, email, now):
        challenge = _replace(user, purpose, email, now)
    else:
        Challenge.objects.filter(pk=challenge.pk).update(sent_at=now)
    _mail(user, challenge, now)
    return challenge


def ask_again(user: User, challenge_id: Any, to: str) -> bool:
    """Mail this very challenge once more, to the address that it is for; False when it has ended.

    The caller holds the lock on the user.
    """
    now = database_now()
    challenge = open_challenges(user).filter(pk=challenge_id, email=to, link_expires_at__gt=now).first()
    if challenge is None:
        return False
    Challenge.objects.filter(pk=challenge.pk).update(sent_at=now)
    _mail(user, challenge, now)
    return True


def open_challenges(user: User) -> QuerySet[Challenge]:
    return Challenge.objects.filter(user=user, used_at=None, voided_at=None)


def void(user: User) -> None:
    """Any change of credentials ends every code and link of the account."""
    open_challenges(user).update(voided_at=database_now())


def find(purposes: tuple[Purpose, ...], proof: Proof) -> Challenge | None:
    """The challenge that `proof` meets, without spending or counting anything."""
    challenge = _aimed_at(purposes, proof)
    return challenge if challenge and _met(challenge, proof) else None


def meet(purposes: tuple[Purpose, ...], proof: Proof) -> Challenge | None:
    """Spend the challenge that `proof` meets; None, and the try counted, if it meets none.

    Inside a transaction that the caller commits either way; the challenge's user is locked from here on.
    """
    _lock_user(purposes, proof)
    challenge = _aimed_at(purposes, proof)
    now = database_now()
    if challenge and _met(challenge, proof):
        Challenge.objects.filter(pk=challenge.pk).update(used_at=now)
        return challenge
    if not proof.by_link:
        limits.wrong_code(_code_key(proof))
        if challenge:
            Challenge.objects.filter(pk=challenge.pk).update(attempts=challenge.attempts + 1)
    return None


def _still_good(challenge: Challenge, email: str, now: datetime) -> bool:
    return challenge.email == email and _code_counts(challenge, now) and challenge.link_expires_at > now


def _code_counts(challenge: Challenge, now: datetime) -> bool:
    return challenge.code_expires_at > now and challenge.attempts < Challenge.MAX_ATTEMPTS


def _replace(user: User, purpose: Purpose, email: str, now: datetime) -> Challenge:
    open_challenges(user).filter(purpose=purpose).update(voided_at=now)
    is_invitation = purpose == Purpose.INVITATION
    lifetime = settings.INVITATION_SECONDS if is_invitation else settings.LINK_SECONDS
    return Challenge.objects.create(
        user=user,
        purpose=purpose,
        email=email,
        created_at=now,
        sent_at=now,
        code_expires_at=now + timedelta(seconds=lifetime if is_invitation else settings.CODE_SECONDS),
        link_expires_at=now + timedelta(seconds=lifetime),
    )


def _mail(user: User, challenge: Challenge, now: datetime) -> None:
    send(
        TEMPLATES[Purpose(challenge.purpose)],
        challenge.email,
        user.language,
        user_id=user.pk,
        challenge_id=challenge.pk,
        expires_at=challenge.link_expires_at,
        with_code=_code_counts(challenge, now) and limits.codes_count(user.email_key),
        code_seconds=_seconds(challenge.code_expires_at - now),
        link_seconds=_seconds(challenge.link_expires_at - now),
    )


def _seconds(left: timedelta) -> int:
    return max(0, int(left.total_seconds()))


def _code_key(proof: Proof) -> str:
    return proof.user.email_key if proof.user else canonical(proof.email)


def _token_id(purposes: tuple[Purpose, ...], proof: Proof) -> Any:
    return next((found for p in purposes if (found := read_link_token(proof.token, p))), None)


def _lock_user(purposes: tuple[Purpose, ...], proof: Proof) -> None:
    users = User.objects.select_for_update(of=("self",), no_key=True)
    if proof.by_link:
        if found := _token_id(purposes, proof):
            users.filter(challenges__pk=found).first()
    else:
        users.filter(email_key=_code_key(proof)).first()


def _aimed_at(purposes: tuple[Purpose, ...], proof: Proof) -> Challenge | None:
    """The open, living challenge that the proof is about, whether met or not. A closed account has none."""
    now = database_now()
    found = Challenge.objects.select_related("user").filter(used_at=None, voided_at=None, user__is_active=True)
    if proof.user:
        found = found.filter(user=proof.user)
    if proof.by_link:
        return found.filter(pk=_token_id(purposes, proof), purpose__in=purposes, link_expires_at__gt=now).first()
    if not limits.codes_count(_code_key(proof)):
        return None
    return found.filter(
        user__email_key=_code_key(proof),
        purpose__in=[p for p in purposes if p != Purpose.INVITATION],
        code_expires_at__gt=now,
        attempts__lt=Challenge.MAX_ATTEMPTS,
    ).first()


def _met(challenge: Challenge, proof: Proof) -> bool:
    if proof.by_link:  # the token was checked when its id was read
        return True
    return compare_digest(code_for(challenge.pk, challenge.purpose).encode(), proof.code.encode())


def was_sent_just_now(user: User) -> bool:
    limit = database_now() - timedelta(seconds=settings.RESEND_SECONDS)
    waiting = open_challenges(user).filter(purpose__in=[Purpose.VERIFY, Purpose.INVITATION])
    return waiting.filter(sent_at__gt=limit).exists()
