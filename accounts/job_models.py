"""Long work that runs in the background while somebody watches, and the files that it reads and writes."""

from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from core.ids import uuid7

OPEN = ["waiting", "running"]


class JobQuerySet(models.QuerySet["Job"]):
    def open(self) -> Self:
        return self.filter(state__in=OPEN)

    def due(self) -> Self:
        """Waiting, or left by a worker whose lease has ended, by the database's clock."""
        return self.open().filter(due_at__lte=Now())

    def asked_by(self, user_id: UUID | None) -> Self:
        """Everybody sees the jobs that they asked for themselves; those of commands have no such user."""
        return self.filter(actor_id=user_id)


class Job(models.Model):
    """One piece of long work. It runs in small steps, each of which is committed together with how far it came.

    `due_at` is when a waiting job may be taken up; of one that runs, when its worker counts as lost.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=40)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    reason = models.CharField(max_length=64, blank=True)  # why it failed: a code
    actor_id = models.UUIDField(null=True)  # who asked for it; null for a command
    ip = models.GenericIPAddressField(null=True)
    device = models.CharField(max_length=100, blank=True)  # of a command, its name
    request_id = models.CharField(max_length=64, blank=True)
    parameters = models.JSONField(default=dict)
    position = models.JSONField(default=dict)  # from where the next step goes on
    outcome = models.JSONField(default=dict)
    total = models.PositiveIntegerField(null=True)  # how many there are to do, if that is known
    done = models.PositiveIntegerField(default=0)  # those that failed among them
    failed = models.PositiveIntegerField(default=0)
    claims = models.PositiveIntegerField(default=0)  # how often it was taken up; the latest holds it
    attempts = models.PositiveSmallIntegerField(default=0)  # how often, since it last got on
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        db_table = "jobs"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=[*OPEN, "done", "failed", "cancelled"]), name="jobs_state"),
            models.CheckConstraint(condition=Q(failed__lte=models.F("done")), name="jobs_failed_are_done"),
            models.CheckConstraint(
                condition=Q(state__in=OPEN, finished_at=None) | (~Q(state__in=OPEN) & Q(finished_at__isnull=False)),
                name="jobs_finished_have_a_time",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state__in=OPEN), name="jobs_due"),
            models.Index(fields=["actor_id", "id"], name="jobs_of_actor"),
            models.Index(fields=["finished_at"], condition=~Q(state__in=OPEN), name="jobs_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} ({self.state})"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def percent(self) -> int | None:
        """None while nobody knows how much there is to do; never 100 before the end."""
        if self.state == self.State.DONE:
            return 100
        return min(99, self.done * 100 // self.total) if self.total else None


class StoredFile(models.Model):
    """A file that somebody gave, or that a job wrote. It stands in the database because every host sees that."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner_id = models.UUIDField(null=True)  # null for a command
    name = models.CharField(max_length=200)
    size = models.PositiveBigIntegerField(default=0)
    lines = models.PositiveIntegerField(default=0)
    is_whole = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "stored_files"
        indexes = [models.Index(fields=["expires_at"], name="stored_files_by_expiry")]

    def __str__(self) -> str:
        return self.name


class StoredPiece(models.Model):
    """The bytes of a file from `start` on."""

    file = models.ForeignKey(StoredFile, models.CASCADE, related_name="pieces", db_index=False)
    start = models.PositiveBigIntegerField()
    data = models.BinaryField()

    class Meta:
        db_table = "stored_pieces"
        constraints = [models.UniqueConstraint(fields=["file", "start"], name="stored_pieces_once")]

    def __str__(self) -> str:
        return f"{self.file_id} from {self.start}"
