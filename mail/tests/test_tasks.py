from datetime import timedelta

import pytest
from django.utils import timezone
from kombu.exceptions import EncodeError

from config.celery import app
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


def test_only_json_travels_and_is_taken():
    assert app.conf.accept_content == ["json"]
    assert (app.conf.task_serializer, app.conf.result_serializer) == ("json", "json")
    with pytest.raises(EncodeError):
        deliver_mail.apply_async((object(),))


def test_every_task_is_acknowledged_late_and_given_back_when_its_worker_is_lost():
    app.loader.import_default_modules()
    ours = [task for name, task in app.tasks.items() if not name.startswith("celery.")]
    assert len(ours) >= 8
    for task in ours:
        assert task.acks_late, task.name
        assert task.reject_on_worker_lost, task.name


def test_every_task_ends_before_the_broker_would_give_it_to_another():
    app.loader.import_default_modules()
    redelivered = app.conf.broker_transport_options["visibility_timeout"]
    for name, task in app.tasks.items():
        soft = task.soft_time_limit or app.conf.task_soft_time_limit
        hard = task.time_limit or app.conf.task_time_limit
        assert soft < hard < redelivered, name
