"""The periodic work of this app, for Celery; `config.background` calls the same functions without it."""

from uuid import UUID

from celery import shared_task

from accounts import presence
from accounts.services import cleanup, jobs
from accounts.services import heartbeat as signs
from core.outcome import log


@shared_task(ignore_result=True)
def clean_up() -> None:
    log.info("clean_up", **cleanup.clean_up())


@shared_task(ignore_result=True)
def carry_over_last_used() -> None:
    presence.carry_over()


@shared_task(ignore_result=True)
def heartbeat() -> None:
    signs.beat()


# The limits end before the lease of a job does.
@shared_task(acks_late=True, ignore_result=True, soft_time_limit=45, time_limit=50)
def run_job(job_id: str) -> None:
    jobs.run(UUID(job_id))


@shared_task(acks_late=True, ignore_result=True, soft_time_limit=45, time_limit=50)
def sweep_jobs() -> None:
    jobs.sweep()
