"""What each event says to people. Actions have no language; these have two.

A test finds every action that the code records, and misses a sentence.
"""

from datetime import datetime
from typing import Any

from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.models import Event
from core.errors import LastAdministrator, OwnAccount, PrivilegeEscalation
from core.language import Words
from mail.letters import LETTERS

SENTENCES: dict[str, Words] = {
    "audit.pruned": _("Old events deleted: %(events)s"),
    "email.change_asked": _("Asked for another address"),
    "email.change_failed": _("Wrong or ended code or link for a new address"),
    "email.changed": _("Address changed"),
    "guard.refused": _("Refused: %(operation)s (%(code)s)"),
    "job.ended": _("Background work ended: %(kind)s, %(state)s"),
    "job.started": _("Background work asked for: %(kind)s"),
    "key.created": _("First key of tokens made"),
    "key.revoked": _("Key of tokens revoked"),
    "key.rotated": _("Key of tokens replaced"),
    "mail.sent_again": _("Mail sent again: %(template)s"),
    "password.changed": _("Password changed"),
    "password.refused": _("Present password typed wrong"),
    "password.reset": _("Password set anew by mail"),
    "password.reset_asked": _("Asked for a password reset"),
    "password.reset_failed": _("Wrong or ended code or link for a new password"),
    "password.reset_sent": _("Password reset sent by staff"),
    "permission.created": _("Permission %(permission)s created"),
    "permission.deleted": _("Permission %(permission)s deleted"),
    "role.changed": _("Role %(role)s changed"),
    "role.created": _("Role %(role)s created"),
    "role.deleted": _("Role %(role)s deleted"),
    "role.granted": _("Role %(role)s given, %(expires_at)s"),
    "role.withdrawn": _("Role %(role)s withdrawn"),
    "session.ended": _("Signed out: %(why)s"),
    "session.refused": _("Log-in refused: %(why)s"),
    "session.repeated": _("Refreshed again, from another network"),
    "session.reused": _("Spent token used again: perhaps stolen, so the device was signed out"),
    "session.started": _("Signed in: %(device)s"),
    "user.changed": _("Profile changed: %(fields)s"),
    "user.created": _("Account created: %(joined_by)s"),
    "user.deactivated": _("Account deactivated"),
    "user.expired": _("Account deleted: its address was never verified"),
    "user.gave_way": _("Account deleted: somebody else has verified its address"),
    "user.invitation_accepted": _("Invitation accepted, password set"),
    "user.invited": _("Invitation sent"),
    "user.locked": _("Too many failed log-ins: this network waits before the next"),
    "user.restored": _("Account restored"),
    "user.sign_up_refused": _("Somebody tried to sign up with this address"),
    "user.signed_up": _("Signed up"),
    "user.verification_failed": _("Wrong or ended code or link at verification"),
    "user.verification_sent": _("Verification sent by staff"),
    "user.verified": _("Address verified"),
    "users.exported": _("People exported: %(users)s"),
}
ALARMING = frozenset(
    [
        *("email.change_failed", "guard.refused", "key.revoked", "password.refused", "password.reset_failed"),
        *("session.refused", "session.reused", "user.deactivated", "user.locked", "user.verification_failed"),
    ]
)

OPERATIONS: dict[str, Words] = {
    "_change_user": _("change the profile"),
    "_outranks_all": _("sign everyone out"),
    "_close": _("close one's account"),
    "change_role": _("change a role"),
    "create_permission": _("create a permission"),
    "create_role": _("create a role"),
    "delete_permission": _("delete a permission"),
    "delete_role": _("delete a role"),
    "delete_user": _("deactivate the account"),
    "end_session": _("sign a device out"),
    "end_sessions_of": _("sign all devices out"),
    "grant": _("give a role"),
    "invite": _("send an invitation"),
    "restore_user": _("restore the account"),
    "send_again": _("send a mail again"),
    "send_reset": _("send a password reset"),
    "send_verification": _("send a verification"),
    "set_permissions": _("change what a role permits"),
    "withdraw": _("withdraw a role"),
}
WHY: dict[str, Words] = {
    # session.ended
    "log_out": _("by themselves"),
    "revoked": _("by staff"),
    "reused": _("a spent token was used again"),
    "password": _("the password changed"),
    "email": _("the address changed"),
    "deactivated": _("the account was deactivated"),
    "key": _("its key was revoked"),
    # session.refused
    "credentials": _("wrong password"),
    "unverified": _("the address is not verified"),
}
ENDS: dict[str, Words] = {"done": _("finished"), "failed": _("failed"), "cancelled": _("cancelled")}
CODES: dict[str, Words] = {
    OwnAccount.code: _("it is their own account"),
    PrivilegeEscalation.code: _("above their own permissions"),
    LastAdministrator.code: _("nobody else could assign roles"),
}
JOINED_BY: dict[str, Words] = {
    User.JoinedBy.SIGN_UP: _("signed up"),
    User.JoinedBy.ADMINISTRATOR: _("by an administrator"),
    User.JoinedBy.COMMAND: _("by a command"),
    User.JoinedBy.IMPORT: _("by an import"),
}


def sentence(event: Event) -> str:
    """An action that a newer release recorded is told as it is called."""
    words = SENTENCES.get(event.action)
    return str(words) % Details(event.details) if words else event.action


class Details(dict[str, Any]):
    """What is known of an event, in words; "…" for what should be known and is not."""

    def __getitem__(self, key: str) -> str:
        if key not in self:
            return "…"
        value = super().__getitem__(key)
        return str(_TELL[key](value)) if key in _TELL else str(value)


def until(moment: str | None) -> Words:
    if moment is None:
        return _("without an end")
    return _("until %(moment)s") % {"moment": date_format(datetime.fromisoformat(moment), "DATETIME_FORMAT")}


def field_names(names: list[str]) -> str:
    known: dict[str, Any] = {field.name: field.verbose_name for field in User._meta.fields}
    return ", ".join(str(known.get(name, name)) for name in names)


_TELL: dict[str, Any] = {
    "why": lambda why: WHY.get(why, why),
    "code": lambda code: CODES.get(code, code),
    "operation": lambda name: OPERATIONS.get(name, name),
    "joined_by": lambda name: JOINED_BY.get(name, name),
    "state": lambda state: ENDS.get(state, state),
    "template": lambda name: LETTERS[name].called if name in LETTERS else name,
    "expires_at": until,
    "fields": field_names,
}
