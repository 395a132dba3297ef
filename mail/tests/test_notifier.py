"""Nobody who asks for a mail ever waits for the broker."""

import os
import threading
import time

import pytest
from django.conf import settings as configured

from core.ids import uuid7
from mail import notifier
from mail.models import OutgoingMail
from mail.notifier import QUEUE_LENGTH, Notifier, tell_worker
from mail.services import send


def wait_for(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def test_it_publishes_in_order():
    published = []
    teller = Notifier(published.append)
    mails = [uuid7() for _ in range(5)]
    assert all(teller.tell(mail) for mail in mails)
    wait_for(lambda: published == mails)


def test_a_hung_broker_holds_nobody_up():
    hung, released = threading.Event(), threading.Event()

    def publish(mail_id):
        hung.set()
        released.wait(10)

    teller = Notifier(publish)
    teller.tell(uuid7())
    assert hung.wait(5)
    started = time.monotonic()
    told = [teller.tell(uuid7()) for _ in range(QUEUE_LENGTH + 50)]
    assert time.monotonic() - started < 1
    assert told.count(False) == 50
    released.set()


def test_it_goes_on_after_the_broker_failed():
    published, failures = [], [ConnectionError()]

    def publish(mail_id):
        if failures:
            raise failures.pop()
        published.append(mail_id)

    teller = Notifier(publish, rest=0)
    teller.tell(uuid7())
    wait_for(lambda: not failures)
    mail = uuid7()
    wait_for(lambda: teller.tell(mail) and mail in published)


@pytest.mark.parametrize(("broker", "told"), [("", 0), ("redis://127.0.0.1:1", 1)])
def test_without_a_broker_nothing_is_published(settings, monkeypatch, broker, told):
    settings.CELERY_BROKER_URL = broker
    published = []
    monkeypatch.setattr(notifier, "_notifier", Notifier(published.append))
    tell_worker(uuid7())
    if told:
        wait_for(lambda: published)
    assert len(published) == told


@pytest.mark.service
@pytest.mark.skipif(not os.environ.get("REDIS_URL"), reason="REDIS_URL missing: run ./run services …")
@pytest.mark.django_db(transaction=True)
def test_a_worker_takes_a_code_before_the_invitations_that_were_told_earlier():
    from config.celery import app

    challenge = {"user_id": uuid7(), "challenge_id": uuid7()}
    with app.connection_for_read(configured.CELERY_BROKER_URL) as broker, broker.SimpleQueue("celery") as queue:
        for _ in range(30):
            send("invitation", "many@example.org", "en", **challenge)
        wait_for(lambda: waiting(broker, notifier.LAST) == 30)
        code = send("verify", "one@example.org", "en", **challenge)
        wait_for(lambda: waiting(broker, notifier.FIRST) == 1)
        taken = [queue.get(timeout=5) for _ in range(31)]
        for message in taken:
            message.ack()
    ids = [message.payload[0][0] for message in taken]
    assert ids[0] == str(code.pk)
    assert len(set(ids)) == OutgoingMail.objects.count() == 31


def waiting(broker, priority):
    channel = broker.default_channel
    return channel.client.llen(channel._q_for_pri("celery", priority))


def test_a_forked_child_starts_afresh():
    before = notifier._notifier
    notifier._renew()
    assert notifier._notifier is not before
