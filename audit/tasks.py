"""What the trail needs from time to time. Running one twice, or at once in two workers, does no harm."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from audit import floods, services


@shared_task(ignore_result=True)
def sum_up_floods() -> None:
    floods.sum_up_floods()


@shared_task(ignore_result=True)
def prune() -> None:
    services.prune(timezone.now() - timedelta(days=settings.AUDIT_DAYS), seconds=10)
