"""Mails that staff sends to somebody: a way in, or what went out before once more.

Whoever may see the account may know how it stands, so these say why not, where the public ones keep silent. The
limit of mails is asked last: what was refused counts for nothing, and what is too much is undone.
"""

from uuid import UUID

from django.utils.translation import gettext_lazy as _

from accounts import challenges, limits
from accounts.addresses import canonical
from accounts.challenges import Purpose
from accounts.models import User
from accounts.services.profile import lock
from accounts.services.registration import welcome
from audit.services import record
from core.actor import Actor
from core.errors import Conflict
from mail.letters import LETTERS
from mail.models import OPEN, OutgoingMail
from mail.services import send
from rbac.guards import guarded, outranks


@guarded
def send_verification(actor: Actor, user: User) -> None:
    """What lets somebody prove the address, or set the first password where there is none yet.

    Raises PrivilegeEscalation, Conflict (deactivated, verified already), TooManyRequests.
    """
    locked = _reachable(actor, user)
    if locked.is_verified:
        raise Conflict(_("This address is verified already."))
    is_invitation = welcome(locked).purpose == Purpose.INVITATION
    record(actor, "user.invited" if is_invitation else "user.verification_sent", locked)
    limits.spend_mail(locked.email_key)


@guarded
def send_reset(actor: Actor, user: User) -> None:
    """A way to set a new password. Raises PrivilegeEscalation, Conflict (deactivated), TooManyRequests."""
    locked = _reachable(actor, user)
    challenges.ask(locked, Purpose.RESET)
    record(actor, "password.reset_sent", locked)
    limits.spend_mail(locked.email_key)


def _reachable(actor: Actor, user: User) -> User:
    locked = lock(user)
    outranks(actor, locked)
    if not locked.is_active:
        raise Conflict(_("This account is deactivated."))
    return locked


@guarded
def send_again(actor: Actor, user: User, mail_id: UUID) -> None:
    """The same letter, with the same code and link while they live.

    Raises PrivilegeEscalation, TooManyRequests, Conflict when that would tell what is no longer true.
    """
    locked = lock(user)
    outranks(actor, locked)
    mail = OutgoingMail.objects.filter(pk=mail_id, user_id=locked.pk).first()
    if mail is None or mail.template not in LETTERS:
        raise Conflict(_("This mail is no longer kept."))
    if mail.state in OPEN:
        raise Conflict(_("This mail is still on its way."))
    if LETTERS[mail.template].purpose:
        _challenge_again(locked, mail)
    else:
        _notice_again(locked, mail)
    record(actor, "mail.sent_again", locked, mail=str(mail.pk), template=mail.template)
    limits.spend_mail(canonical(mail.to))


def _challenge_again(user: User, mail: OutgoingMail) -> None:
    if not user.is_active or not challenges.ask_again(user, mail.challenge_id, mail.to):
        raise Conflict(_("Its code and link have ended. Send a new mail instead."))


def _notice_again(user: User, mail: OutgoingMail) -> None:
    if mail.to != user.email:
        raise Conflict(_("The account has another address now."))
    if user.is_active == (mail.template == "account_closed"):
        raise Conflict(_("What this mail says is no longer true."))
    context = dict(mail.context)
    if LETTERS[mail.template].tells_where:
        context["at"] = context.get("at") or mail.created_at.isoformat()
    send(mail.template, mail.to, user.language, user_id=user.pk, **context)
