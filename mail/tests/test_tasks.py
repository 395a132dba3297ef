from datetime import timedelta

import pytest
from django.utils import timezone

from mail.models import LEASE, OutgoingMail
from mail.tasks import delete_old_mail, deliver_mail, sweep_mail
from mail.tests.factories import OutgoingMailFactory


@pytest.mark.django_db
def test_a_task_delivers_one_mail():
    first, _ = OutgoingMailFactory.create_batch(2)
    deliver_mail(str(first.pk))
    assert [mail.pk for mail in OutgoingMail.objects.filter(state="sent")] == [first.pk]
    sweep_mail()
    assert OutgoingMail.objects.filter(state="sent").count() == 2


@pytest.mark.django_db
def test_a_task_forgets_old_mails():
    OutgoingMailFactory(state="sent", created_at=timezone.now() - timedelta(days=15))
    kept = OutgoingMailFactory(state="sent")
    delete_old_mail()
    assert list(OutgoingMail.objects.all()) == [kept]


@pytest.mark.parametrize("task", [deliver_mail, sweep_mail])
def test_tasks_are_acknowledged_late_and_end_before_the_lease(task):
    assert task.acks_late
    assert task.soft_time_limit < task.time_limit < LEASE.total_seconds()
