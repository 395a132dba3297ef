"""The outbox by Celery. Only ids travel; running a task twice, or never, loses and repeats nothing."""

from uuid import UUID

from celery import shared_task

from mail.delivery import delete_old, deliver, sweep

# The limits end before the lease of a mail does (`mail.models.LEASE`).


@shared_task(acks_late=True, ignore_result=True, soft_time_limit=120, time_limit=150)
def deliver_mail(mail_id: str) -> None:
    deliver(UUID(mail_id))


@shared_task(acks_late=True, ignore_result=True, soft_time_limit=200, time_limit=240)
def sweep_mail() -> None:
    sweep()


@shared_task(ignore_result=True)
def delete_old_mail() -> None:
    delete_old()
