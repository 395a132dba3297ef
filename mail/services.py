"""Putting a mail into the outbox."""

from datetime import datetime
from uuid import UUID

from django.db.models.functions import Now

from core.transactions import after_commit
from mail.letters import LETTERS
from mail.models import OutgoingMail
from mail.notifier import tell_worker


def send(
    template: str,
    to: str,
    language: str,
    *,
    user_id: UUID | None = None,
    challenge_id: UUID | None = None,
    expires_at: datetime | None = None,
    with_code: bool = True,
    **context: str | int | None,
) -> OutgoingMail:
    """Write the mail within the caller's transaction, so that it goes out exactly if the change stands.

    `expires_at` is when it is of no use any more. Known in `context`: `device` and `ip` of what happened, and `at`,
    when, if that was before now; `code_seconds` and `link_seconds`, what is left when a code is sent again. Text typed
    by people has no place in mails, so other keys are a ValueError, as is a mail that does not exist or lacks its
    challenge.
    """
    if unknown := context.keys() - {"device", "ip", "at", "code_seconds", "link_seconds"}:
        raise ValueError(f"no place in a mail for {sorted(unknown)}")
    if template not in LETTERS or (LETTERS[template].purpose and challenge_id is None):
        raise ValueError(f"no such mail, or no challenge for it: {template!r}")
    mail = OutgoingMail.objects.create(
        template=template,
        to=to,
        language=language,
        user_id=user_id,
        challenge_id=challenge_id,
        expires_at=expires_at,
        with_code=with_code,
        context={key: value for key, value in context.items() if value is not None},
        next_try_at=Now(),
    )
    after_commit(lambda: tell_worker(mail.pk, gives_way=LETTERS[template].gives_way))
    return mail
