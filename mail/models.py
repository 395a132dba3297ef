"""What we tell people. The outbox is a table, so a mail is as certain as the change that it speaks of."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from core.ids import uuid7

LEASE = timedelta(minutes=5)  # longer than any worker may take for one mail
OPEN = ["waiting", "sending"]


class OutgoingMailQuerySet(models.QuerySet["OutgoingMail"]):
    def due(self) -> Self:
        """Waiting, or being sent by somebody whose lease has ended, by the database's clock."""
        return self.filter(state__in=OPEN, next_try_at__lte=Now())

    def claim(self) -> bool:
        """Take the mail for the time of a lease; False when it is not due, so that only one sends it."""
        taken = self.due().update(
            state=OutgoingMail.State.SENDING, attempts=models.F("attempts") + 1, next_try_at=Now() + LEASE
        )
        return taken == 1

    def finished_before(self, moment: datetime) -> Self:
        return self.filter(created_at__lt=moment).exclude(state__in=OPEN)


class OutgoingMail(models.Model):
    """One mail to one address. It holds no code, no link and no text typed by anybody.

    Code and link are derived from `challenge_id` at rendering, so neither database nor queue holds a secret.
    `next_try_at` is when a waiting mail is due; for one being sent, when its worker counts as lost.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        SENDING = "sending"
        SENT = "sent"
        FAILED = "failed"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    template = models.CharField(max_length=40)
    to = models.CharField(max_length=320)
    language = models.CharField(max_length=8)
    user_id = models.UUIDField(null=True, blank=True)
    challenge_id = models.UUIDField(null=True, blank=True)
    with_code = models.BooleanField(default=True)
    context = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    sent_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=200, blank=True)

    objects = OutgoingMailQuerySet.as_manager()

    class Meta:
        db_table = "outgoing_mail"
        verbose_name = "outgoing mail"
        verbose_name_plural = "outgoing mail"
        indexes = [
            models.Index(
                fields=["next_try_at"],
                name="outgoing_mail_due",
                condition=models.Q(state__in=OPEN),
            ),
            models.Index(fields=["created_at"], name="outgoing_mail_open", condition=models.Q(state__in=OPEN)),
            models.Index(fields=["created_at"], name="outgoing_mail_failed", condition=models.Q(state="failed")),
            models.Index(fields=["created_at"], name="outgoing_mail_expired", condition=models.Q(state="expired")),
            models.Index(fields=["created_at"], name="outgoing_mail_created"),
            models.Index(fields=["template", "created_at", "id"], name="outgoing_mail_letter"),
            models.Index(fields=["user_id"], name="outgoing_mail_user"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[*OPEN, "sent", "failed", "expired"]),
                name="outgoing_mail_state",
            )
        ]

    def __str__(self) -> str:
        return f"{self.template} ({self.state})"
