"""The periodic work of this app, for Celery; `config.background` calls the same functions without it."""

from celery import shared_task

from accounts import presence
from accounts.services import cleanup
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
