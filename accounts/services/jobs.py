"""Long work in the background: started here, done in small steps, watched, cancelled, and taken up again.

A worker takes a job for the time of a lease, works at it for a few seconds, and lets go, so that no time limit and no
deploy cuts it short and no job keeps the others waiting. Whoever is killed leaves a lease that ends; the next worker
goes on from the last step that was committed. Only the latest claim may commit a step, so nothing is done twice.

A step is `step(actor, job) -> bool`: in one transaction, it does a little, calls `advance`, and returns whether that
was all. `actor` is who asked, read anew before each step; the services it calls keep the guard rails.
"""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from accounts.job_models import Job
from accounts.job_notifier import tell_worker
from accounts.models import User
from audit.services import record
from core import telemetry
from core.actor import Actor
from core.errors import Conflict, NotFound, PermissionDenied, Problem
from core.outcome import log
from core.transactions import after_commit

State = Job.State

SLICE_SECONDS = 3.0
LEASE = timedelta(seconds=60)  # longer than any step; each step renews it
MAX_ATTEMPTS = 5  # without getting on
PAUSE = timedelta(seconds=10)  # after a step that failed


@dataclass(frozen=True, slots=True)
class Kind:
    step: str
    """Where the function stands; it is imported when a job of the kind runs."""
    permission: str
    """Without it nobody starts such a job, and one that runs stops before its next step."""
    ended: str = ""
    """What is called with a job when it has ended, whichever way."""


KINDS: dict[str, Kind] = {
    "export_users": Kind("accounts.services.exports.step", "user:export", "accounts.services.exports.ended"),
    "import_users": Kind("accounts.services.imports.step", "user:import", "accounts.services.imports.ended"),
    "bulk_deactivate": Kind("accounts.services.bulk.step", "user:delete"),
    "bulk_restore": Kind("accounts.services.bulk.step", "user:delete"),
    "bulk_end_sessions": Kind("accounts.services.bulk.step", "session:revoke"),
    "bulk_invite": Kind("accounts.services.bulk.step", "user:write"),
    "bulk_grant": Kind("accounts.services.bulk.step", "role:assign"),
}

REASONS = {
    "actor_gone": _("Whoever asked for this has no active account any more."),
    "permission_denied": _("Whoever asked for this has lost the permission to do it."),
    "workers_lost": _("It did not get on: each worker that tried was lost."),
    "file_gone": _("The file is not there any more."),
    "internal_error": _("Something went wrong. Operators: the log says more."),
}


class ActorGone(PermissionDenied):
    code = "actor_gone"
    default_detail = REASONS["actor_gone"]


class NotHeld(Exception):
    """Somebody else has taken the job up, or it was cancelled: what this step did is rolled back."""


class JobEnded(Conflict):
    code = "job_ended"
    title = _("Already ended")
    default_detail = _("This has ended already.")


def start(actor: Actor, kind: str, parameters: dict[str, Any], total: int | None = None) -> Job:
    """Put a job in line. Raises PermissionDenied. `parameters` are JSON and hold no secrets."""
    _may(actor, KINDS[kind].permission)
    with transaction.atomic():
        job = Job.objects.create(
            kind=kind,
            parameters=parameters,
            total=total,
            actor_id=actor.user_id,
            ip=actor.ip,
            device=actor.device[:100],
            request_id=actor.request_id,
        )
        if not actor.is_system:
            record(actor, "job.started", job, kind=kind)
        after_commit(lambda: tell_worker(job.pk))
    return job


def _may(actor: Actor, permission: str) -> None:
    if not actor.is_system and not (actor.user and actor.user.has_perm(permission)):
        raise PermissionDenied(required=permission)


def cancel(actor: Actor, job: Job) -> None:
    """What was done stays; no further step is committed. Raises NotFound for somebody else's, JobEnded."""
    if actor.user_id != job.actor_id:
        raise NotFound
    with transaction.atomic():
        if not Job.objects.open().filter(pk=job.pk).update(state=State.CANCELLED, finished_at=Now()):
            raise JobEnded
        job.refresh_from_db()
        _ended(actor, job)


def sweep() -> None:
    """Work for a slice at the job that has waited longest."""
    waiting = Job.objects.due().filter(kind__in=KINDS).order_by("due_at").values_list("pk", flat=True)
    if job_id := waiting.first():
        run(job_id)


def run(job_id: UUID, seconds: float = SLICE_SECONDS) -> None:
    """Take the job up, if nobody else has it, and work at it for so long."""
    job = _claim(job_id)
    if job is None:
        return
    try:
        with telemetry.span(f"job {job.kind}"):
            _attempt(job, seconds)
    except NotHeld:
        log.warning("job.not_held", job=str(job.pk), kind=job.kind)


def _attempt(job: Job, seconds: float) -> None:
    try:
        _work(job, seconds)
    except NotHeld:
        raise
    except Problem as problem:
        _finish(job, State.FAILED, problem.code)
    except Exception as error:
        _postpone(job, error)


def _claim(job_id: UUID) -> Job | None:
    """Kinds that this release does not know are left to one that does."""
    taken = (
        Job.objects.due()
        .filter(pk=job_id, kind__in=KINDS)
        .update(
            state=State.RUNNING,
            claims=F("claims") + 1,
            attempts=F("attempts") + 1,
            due_at=Now() + LEASE,
            started_at=Coalesce("started_at", Now()),
        )
    )
    return Job.objects.get(pk=job_id) if taken else None


def _work(job: Job, seconds: float) -> None:
    if job.attempts > MAX_ATTEMPTS:
        _finish(job, State.FAILED, job.reason or "workers_lost")
        return
    end = time.monotonic() + seconds
    kind = KINDS[job.kind]
    step = import_string(kind.step)
    while not step(_actor(job, kind.permission), job):
        if time.monotonic() > end:
            _let_go(job)
            return
    _finish(job, State.DONE)


def _actor(job: Job, permission: str) -> Actor:
    """Who asked, as they stand now. Raises ActorGone, PermissionDenied."""
    if job.actor_id is None:
        return Actor.system(job.device)
    user = User.objects.filter(pk=job.actor_id, is_active=True).first()
    if user is None:
        raise ActorGone
    actor = Actor(user=user, ip=job.ip, device=job.device, request_id=job.request_id)
    _may(actor, permission)
    return actor


def advance(job: Job, done: int = 0, failed: int = 0, **columns: Any) -> None:
    """Note how far the job came, within the transaction of the step. Raises NotHeld, which undoes the step.

    `columns` are `position`, `outcome` and `total`.
    """
    if unknown := columns.keys() - {"position", "outcome", "total"}:
        raise ValueError(f"no progress: {sorted(unknown)}")
    counts = {"done": F("done") + done, "failed": F("failed") + failed}
    _update(job, **counts, **columns, attempts=0, reason="", due_at=Now() + LEASE)


def _update(job: Job, **columns: Any) -> None:
    if not Job.objects.filter(pk=job.pk, state=State.RUNNING, claims=job.claims).update(**columns):
        raise NotHeld
    job.refresh_from_db()


def _let_go(job: Job) -> None:
    _update(job, due_at=Now())
    tell_worker(job.pk)


def _finish(job: Job, state: State, reason: str = "") -> None:
    with transaction.atomic():
        _update(job, state=state, reason=reason, finished_at=Now())
        _ended(Actor(user=User(pk=job.actor_id)), job)


def _ended(actor: Actor, job: Job) -> None:
    if job.actor_id is not None:
        record(actor, "job.ended", job, kind=job.kind, state=job.state, done=job.done, failed=job.failed)
    if ended := KINDS[job.kind].ended:
        after_commit(lambda: import_string(ended)(job))
    log.info(f"job.{job.state}", job=str(job.pk), kind=job.kind, done=job.done, failed=job.failed, reason=job.reason)


def _postpone(job: Job, error: Exception) -> None:
    """A fault of ours, or a store that is away: the step was rolled back and is tried again, a few times."""
    log.error("job.step_failed", job=str(job.pk), kind=job.kind, attempts=job.attempts, exc_info=error)
    telemetry.report(error, task=job.kind)
    _update(job, due_at=Now() + PAUSE * job.attempts, reason="internal_error")


def told(job: Job) -> str:
    """Why it failed, in words; empty when it did not."""
    return str(REASONS.get(job.reason, REASONS["internal_error"])) if job.state == State.FAILED else ""
