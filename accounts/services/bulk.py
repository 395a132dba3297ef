"""One thing done to many people, one after another: each passes the guard rails and is audited by itself.

It is a job (`accounts.services.jobs`). Whom it concerns are ids, or the filters of a list with a moment: whoever joins
after it was asked for is not touched. A refusal counts, and the next one's turn comes.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.filters import UserFilter
from accounts.job_models import Job
from accounts.models import User, UserQuerySet
from accounts.services import jobs, users
from core.actor import Actor
from core.clock import database_now
from core.errors import NotFound, Problem
from rbac.models import Role
from rbac.services import grant

AT_ONCE = 500  # beyond these nobody waits for it
SECONDS = 3.0  # nor longer than this, so that a request has its answer in time
BATCH = 10
NAMED = 20  # of those refused, by name

Deed = Callable[[Actor, User, dict[str, Any]], object]


def _grant(actor: Actor, user: User, details: dict[str, Any]) -> None:
    role = Role.objects.filter(pk=details["role"]).first()
    if role is None:
        raise NotFound
    expires_at = details.get("expires_at")
    grant(actor, user, role, datetime.fromisoformat(expires_at) if expires_at else None)


DEEDS: dict[str, Deed] = {
    "deactivate": lambda actor, user, details: users.delete_user(actor, user),
    "restore": lambda actor, user, details: users.restore_user(actor, user),
    "end_sessions": lambda actor, user, details: users.end_sessions_of(actor, user),
    "invite": lambda actor, user, details: users.invite(actor, user),
    "grant": _grant,
}


def chosen(parameters: dict[str, Any]) -> UserQuerySet:
    """Whom it concerns. Filters that mean nothing any more, of a role that has gone, mean nobody."""
    people = User.objects.filter(created_at__lte=datetime.fromisoformat(parameters["until"]))
    if "ids" in parameters:
        return people.filter(pk__in=parameters["ids"])
    filters = UserFilter(parameters["filters"], queryset=people)
    return filters.qs if filters.is_valid() else people.none()


def start(actor: Actor, deed: str, selection: dict[str, Any], details: dict[str, Any]) -> Job:
    """`selection` is {"ids": […]} or {"filters": {…}}. Few are done before this returns. Raises PermissionDenied."""
    parameters = {**selection, "details": details, "until": database_now().isoformat()}
    few = chosen(parameters).values("pk")[: AT_ONCE + 1].count()
    job = jobs.start(actor, f"bulk_{deed}", parameters, few if few <= AT_ONCE else None)
    if few <= AT_ONCE:
        jobs.run(job.pk, SECONDS)
        job.refresh_from_db()
    return job


def step(actor: Actor, job: Job) -> bool:
    people = chosen(job.parameters)
    if job.total is None:
        jobs.advance(job, total=people.count())
    if after := job.position.get("after"):
        people = people.filter(pk__gt=after)
    with transaction.atomic():
        batch = list(people.order_by("pk")[:BATCH])
        if batch:
            refused = _do(actor, job, batch)
            position = {"after": str(batch[-1].pk)}
            jobs.advance(job, len(batch), len(refused), position=position, outcome=_told(job, refused))
    return len(batch) < BATCH


def _do(actor: Actor, job: Job, batch: list[User]) -> list[tuple[User, str]]:
    refused = []
    for user in batch:
        try:
            DEEDS[job.kind.removeprefix("bulk_")](actor, user, job.parameters["details"])
        except Problem as problem:
            refused.append((user, problem.code))
    return refused


def _told(job: Job, refused: list[tuple[User, str]]) -> dict[str, Any]:
    counts = Counter(job.outcome.get("refused", {})) + Counter(code for _user, code in refused)
    named = [*job.outcome.get("who", []), *([str(user.pk), code] for user, code in refused)]
    return {"refused": dict(counts), "who": named[:NAMED]}
