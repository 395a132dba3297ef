"""Putting mails into the outbox."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from core.ids import uuid7
from mail import services
from mail.models import OutgoingMail
from mail.services import send


@pytest.fixture
def told(monkeypatch):
    mails = []
    monkeypatch.setattr(services, "tell_worker", lambda mail_id, gives_way: mails.append(mail_id))
    return mails


@pytest.mark.django_db
def test_it_writes_the_mail_and_neither_code_nor_link():
    user, challenge, expires_at = uuid7(), uuid7(), timezone.now() + timedelta(hours=1)
    send("verify", "a@example.org", "ru", user_id=user, challenge_id=challenge, expires_at=expires_at)
    mail = OutgoingMail.objects.get()
    assert (mail.template, mail.to, mail.language) == ("verify", "a@example.org", "ru")
    assert (mail.user_id, mail.challenge_id, mail.expires_at) == (user, challenge, expires_at)
    assert (mail.state, mail.attempts, mail.context, mail.with_code) == ("waiting", 0, {}, True)


@pytest.mark.django_db
def test_it_is_due_at_once():
    mail = send("password_changed", "a@example.org", "en", device="Firefox on Linux", ip=None)
    assert list(OutgoingMail.objects.due()) == [mail]
    assert OutgoingMail.objects.get().context == {"device": "Firefox on Linux"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("template", "extra"),
    [
        ("newsletter", {}),
        ("../verify", {}),
        ("verify", {}),  # without its challenge
        ("password_changed", {"first_name": "Typed by somebody"}),
    ],
)
def test_it_refuses_what_cannot_be_a_mail(template, extra):
    with pytest.raises(ValueError, match="mail"):
        send(template, "a@example.org", "en", **extra)
    assert not OutgoingMail.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_worker_is_told_after_the_commit_and_not_before(told):
    with transaction.atomic():
        mail = send("password_changed", "a@example.org", "en")
        assert told == []
    assert told == [mail.pk]


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_sends_nothing(told):
    with pytest.raises(RuntimeError), transaction.atomic():
        send("password_changed", "a@example.org", "en")
        raise RuntimeError
    assert told == []
    assert not OutgoingMail.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_failing_broker_reaches_nobody(monkeypatch):
    def fail(mail_id, gives_way):
        raise ConnectionError

    monkeypatch.setattr(services, "tell_worker", fail)
    send("password_changed", "a@example.org", "en")
    assert OutgoingMail.objects.due().count() == 1
