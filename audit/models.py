"""What happened. Rows are written once; the database itself refuses to change them."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

from core.ids import uuid7


class Event(models.Model):
    """One thing that somebody did, or was refused.

    People are named by id without a foreign key, so an event outlives whom it speaks of. Triggers refuse
    UPDATE, and DELETE of anything that `Pruning` does not release.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(default=timezone.now)
    actor_id = models.UUIDField(null=True, blank=True)
    action = models.CharField(max_length=64)
    target_id = models.UUIDField(null=True, blank=True)
    ip = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    details = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)

    class Meta:
        db_table = "audit_events"
        indexes = [
            # `id` stands last because the list is paged by (at, id), whatever it is filtered by.
            models.Index(fields=["at", "id"], name="audit_events_at"),
            models.Index(fields=["actor_id", "at", "id"], name="audit_events_actor"),
            models.Index(fields=["target_id", "at", "id"], name="audit_events_target"),
            models.Index(fields=["action", "at", "id"], name="audit_events_action"),
        ]

    def __str__(self) -> str:
        return f"{self.action} at {self.at:%Y-%m-%d %H:%M:%S}"


class Pruning(models.Model):
    """While its one row stands, events older than `before` may be deleted.

    `prune` writes, uses and removes it within one transaction, so no other transaction ever sees it.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    before = models.DateTimeField()

    class Meta:
        db_table = "audit_pruning"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="audit_pruning_one_row")]

    def __str__(self) -> str:
        return f"before {self.before:%Y-%m-%d}"


class Flood(models.Model):
    """How often strangers of one network failed at one action within one minute."""

    id = models.BigAutoField(primary_key=True)
    network = models.CharField(max_length=64)
    action = models.CharField(max_length=64)
    minute = models.DateTimeField()
    times = models.PositiveIntegerField(default=1)

    class Meta:
        db_table = "audit_floods"
        constraints = [models.UniqueConstraint(fields=["minute", "network", "action"], name="audit_floods_unique")]

    def __str__(self) -> str:
        return f"{self.times} × {self.action} from {self.network}"
