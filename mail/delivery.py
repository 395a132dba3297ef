"""Sending what stands in the outbox, at least once and normally exactly once.

A mail is claimed by one conditional UPDATE for the time of a lease, sent outside any transaction, and then
marked. Whoever is killed in between leaves a lease that ends, and the mail is sent again: twice is possible
then, never is not.
"""

import random
import re
import smtplib
import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from core.outcome import log
from mail.models import OutgoingMail
from mail.rendering import render

State = OutgoingMail.State

MAX_ATTEMPTS = 20  # with the pauses below, about a day
FIRST_PAUSE = 10  # seconds; each further one is twice as long
LONGEST_PAUSE = 2 * 3600
SWEPT_TOGETHER = 20
KEPT = timedelta(days=14)
DELETE_BATCH = 500

# Problems of one message; anything else means that the server cannot be used just now.
_OF_THE_MESSAGE = (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError, smtplib.SMTPSenderRefused)


def sweep(limit: int = 200, seconds: float = 10) -> int:
    """Deliver what is due; how many were tried. Stops early when the mail server cannot be used.

    What is of use for the shortest time goes first, asked again after every few: a code waits behind no list of
    invitations. A notice, which never expires, tells of a danger and goes before all.
    """
    end = time.monotonic() + seconds
    tried = 0
    urgent = OutgoingMail.objects.due().order_by(F("expires_at").asc(nulls_first=True), "next_try_at")
    while due := list(urgent.values_list("pk", flat=True)[: min(SWEPT_TOGETHER, limit - tried)]):
        for mail_id in due:
            tried += 1
            if not deliver(mail_id) or time.monotonic() > end:
                return tried
    return tried


def deliver(mail_id: UUID) -> bool:
    """Send one mail if it is due and nobody else does; False when the mail server cannot be used."""
    if not OutgoingMail.objects.filter(pk=mail_id).claim():
        return True
    mail = OutgoingMail.objects.get(pk=mail_id)
    if mail.expires_at and mail.expires_at <= timezone.now():
        return finish(mail, State.EXPIRED)
    if mail.attempts > MAX_ATTEMPTS:
        return finish(mail, State.FAILED, mail.last_error or "its workers were lost")
    try:
        message = render(mail)
    except Exception as error:  # whatever it is, the next attempt would end alike, and the others must go on
        return finish(mail, State.FAILED, describe(error))
    try:
        message.send()
    except Exception as error:
        return not_sent(mail, error)
    return finish(mail, State.SENT, sent_at=Now())


def not_sent(mail: OutgoingMail, error: Exception) -> bool:
    if is_permanent(error) or mail.attempts >= MAX_ATTEMPTS:
        finish(mail, State.FAILED, describe(error))
    else:
        delay = pause(mail.attempts)
        finish(mail, State.WAITING, describe(error), next_try_at=Now() + delay)
    return isinstance(error, _OF_THE_MESSAGE)


def finish(mail: OutgoingMail, state: State, error: str = "", **columns: Any) -> bool:
    """Mark what became of the attempt, unless the lease has ended and the mail is somebody else's by now."""
    held = OutgoingMail.objects.filter(pk=mail.pk, state=State.SENDING, attempts=mail.attempts)
    held.update(state=state, last_error=error[:200], **columns)
    write = {State.SENT: log.info, State.FAILED: log.error}.get(state, log.warning)
    write(
        "mail.delayed" if state == State.WAITING else f"mail.{state}",
        mail_id=str(mail.pk),
        user_id=str(mail.user_id) if mail.user_id else None,
        template=mail.template,
        attempts=mail.attempts,
        **({"error": error} if error else {}),
    )
    return True


def pause(attempts: int) -> timedelta:
    """Longer and longer, and never in step with the others that failed at the same moment."""
    seconds = min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE)
    return timedelta(seconds=seconds * random.uniform(0.75, 1.25))  # noqa: S311 - nothing to guess here


def is_permanent(error: Exception) -> bool:
    """The server will never take this mail. Refused senders and log-ins are ours to mend, so those wait."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500


def describe(error: Exception) -> str:
    """Short, and without the words of the server, which may quote the address or the link."""
    answer: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, answer = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, answer = error.smtp_code, error.smtp_error
    else:
        return ": ".join(filter(None, [type(error).__name__, getattr(error, "strerror", None)]))
    enhanced = re.match(rb"\d\.\d{1,3}\.\d{1,3}\b", answer if isinstance(answer, bytes) else answer.encode())
    return " ".join([type(error).__name__, str(code), *([enhanced[0].decode()] if enhanced else [])])


def delete_old(now: datetime | None = None) -> int:
    """Forget finished mails after two weeks, a batch at a time; how many."""
    before = (now or timezone.now()) - KEPT
    deleted = 0
    while True:
        batch = OutgoingMail.objects.finished_before(before).values("pk")[:DELETE_BATCH]
        gone, _ = OutgoingMail.objects.filter(pk__in=batch).delete()
        deleted += gone
        if gone < DELETE_BATCH:
            return deleted
