"""From the outbox to a real SMTP server, through everything that goes wrong there."""

import os
import random
import signal
import smtplib
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core import mail as django_mail
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone
from structlog.testing import capture_logs

from core.ids import uuid7
from core.secrets import code_for
from mail import delivery
from mail.delivery import MAX_ATTEMPTS, delete_old, deliver, pause, sweep
from mail.models import LEASE, OutgoingMail, OutgoingMailQuerySet
from mail.tests.factories import OutgoingMailFactory
from mail.tests.servers import Mailbox, free_port, hung_server, smtp_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def port(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_PORT = free_port()
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_TIMEOUT = 2
    return settings.EMAIL_PORT


@pytest.fixture
def mailbox(port):
    with smtp_server(port, Mailbox()) as box:
        yield box


def state(mail):
    mail.refresh_from_db()
    return mail.state


def make_due(mail):
    OutgoingMail.objects.filter(pk=mail.pk).update(next_try_at=Now())


def test_a_mail_arrives_with_its_code(mailbox):
    mail = OutgoingMailFactory()
    deliver(mail.pk)
    assert state(mail) == "sent"
    assert mail.sent_at
    assert mailbox.recipients == [mail.to]
    assert code_for(mail.challenge_id, "verify").encode() in mailbox.messages[0].split(b"\r\n")


@pytest.mark.parametrize("answer", ["450 4.2.0 Greylisted", "421 4.3.2 Closing"])
def test_a_temporary_refusal_is_tried_again_later(mailbox, answer):
    mail = OutgoingMailFactory()
    mailbox.recipient_answer = answer
    deliver(mail.pk)
    assert state(mail) == "waiting"
    assert mail.next_try_at > timezone.now() + timedelta(seconds=5)
    assert mail.last_error == f"SMTPRecipientsRefused {answer[:9]}"
    deliver(mail.pk)  # not due yet
    mailbox.recipient_answer = ""
    make_due(mail)
    deliver(mail.pk)
    assert state(mail) == "sent"
    assert (mail.attempts, mail.last_error, len(mailbox.messages)) == (2, "", 1)


def test_a_refused_recipient_is_final(mailbox):
    mail = OutgoingMailFactory()
    mailbox.recipient_answer = "550 5.1.1 No such user"
    assert deliver(mail.pk)
    assert state(mail) == "failed"
    assert mail.last_error == "SMTPRecipientsRefused 550 5.1.1"
    mailbox.recipient_answer = ""
    make_due(mail)
    deliver(mail.pk)
    assert mailbox.messages == []


@pytest.mark.parametrize(("answer", "outcome"), [("554 5.7.1 Spam", "failed"), ("451 4.3.0 Disk full", "waiting")])
def test_a_refused_content_is_final_or_not_as_the_server_says(mailbox, answer, outcome):
    mail = OutgoingMailFactory()
    mailbox.data_answer = answer
    deliver(mail.pk)
    assert state(mail) == outcome
    assert mailbox.messages == []


def test_a_server_that_is_away_loses_nothing(port):
    mails = OutgoingMailFactory.create_batch(3)
    assert sweep() == 1  # one try is enough to see that
    assert {state(mail) for mail in mails} == {"waiting"}
    OutgoingMail.objects.update(next_try_at=Now())
    with smtp_server(port, Mailbox()) as box:
        assert sweep() == 3
    assert {state(mail) for mail in mails} == {"sent"}
    assert sorted(box.recipients) == sorted(mail.to for mail in mails)


def test_a_hung_server_is_given_up_in_time(settings, port):
    settings.EMAIL_TIMEOUT = 0.3
    mails = OutgoingMailFactory.create_batch(5)
    with hung_server() as settings.EMAIL_PORT:
        started = time.monotonic()
        assert sweep() == 1
        assert time.monotonic() - started < 2
    assert {state(mail) for mail in mails} == {"waiting"}


@pytest.mark.parametrize("wish", [{"EMAIL_HOST_USER": "me", "EMAIL_HOST_PASSWORD": "x"}, {"EMAIL_USE_TLS": True}])
def test_a_server_without_log_in_or_encryption_waits_for_the_operator(settings, mailbox, wish):
    for name, value in wish.items():
        setattr(settings, name, value)
    mail = OutgoingMailFactory()
    assert not deliver(mail.pk)
    assert state(mail) == "waiting"
    assert mailbox.messages == []


@pytest.mark.parametrize(
    "error",
    [smtplib.SMTPAuthenticationError(535, b"No"), smtplib.SMTPSenderRefused(550, b"No", "us@example.org")],
)
def test_what_is_ours_to_mend_loses_no_mail(monkeypatch, error):
    def refuse(message):
        raise error

    monkeypatch.setattr("mail.rendering.LetteredMessage.send", refuse)
    mail = OutgoingMailFactory()
    deliver(mail.pk)
    assert state(mail) == "waiting"


def test_tries_come_to_an_end(mailbox):
    mail = OutgoingMailFactory(attempts=MAX_ATTEMPTS - 1)
    mailbox.recipient_answer = "450 4.2.0 Later"
    deliver(mail.pk)
    assert state(mail) == "failed"


def test_pauses_grow_differ_and_last_about_a_day():
    random.seed(7)
    pauses = [pause(attempt) for attempt in range(1, MAX_ATTEMPTS)]
    assert pauses[0] < timedelta(seconds=15)
    assert max(pauses) <= timedelta(hours=2.5)
    assert timedelta(hours=18) < sum(pauses, timedelta()) < timedelta(hours=30)
    assert len({pause(5) for _ in range(10)}) > 1


@pytest.mark.parametrize(
    "poison",
    [
        {"template": "no_such_mail"},
        {"template": "verify", "challenge_id": None},
        {"context": ["not", "a", "mapping"], "template": "new_device"},
        {"context": {"code_seconds": "soon"}},
        {"to": "a@example.org\nBcc: b@example.org"},
        {"to": ""},
        {"to": "иван@example.org"},
    ],
)
def test_a_mail_that_cannot_be_made_is_put_aside_and_the_others_go_on(mailbox, poison):
    bad, good = OutgoingMailFactory(**poison), OutgoingMailFactory()
    assert sweep() == 2
    assert (state(bad), state(good)) == ("failed", "sent")
    assert bad.last_error
    assert mailbox.recipients == [good.to]


def test_a_mail_that_came_too_late_is_not_sent(mailbox):
    mail = OutgoingMailFactory(expires_at=timezone.now() - timedelta(seconds=1))
    deliver(mail.pk)
    assert state(mail) == "expired"
    assert mailbox.messages == []


def test_a_lost_workers_mail_is_taken_over_when_its_lease_ends(mailbox):
    mail = OutgoingMailFactory()
    assert OutgoingMail.objects.filter(pk=mail.pk).claim()  # and killed
    sweep()
    assert state(mail) == "sending"
    assert mail.next_try_at > timezone.now() + LEASE - timedelta(minutes=1)
    make_due(mail)
    sweep()
    assert state(mail) == "sent"
    assert len(mailbox.messages) == 1


def test_a_mail_that_kills_its_workers_is_put_aside(mailbox):
    mail = OutgoingMailFactory(attempts=MAX_ATTEMPTS, state="sending")
    sweep()
    assert state(mail) == "failed"
    assert mailbox.messages == []


@pytest.mark.django_db(transaction=True)
def test_a_mail_whose_worker_dies_each_time_is_put_aside_and_the_others_go_on(mailbox, monkeypatch):
    """Real processes, killed in the middle of it: what no `except` sees."""
    monkeypatch.setattr(delivery, "MAX_ATTEMPTS", 3)
    poison, good = OutgoingMailFactory(), OutgoingMailFactory()
    connection.close()
    deaths = 0
    for _ in range(5):
        child = os.fork()
        if child == 0:
            make_due(poison)
            monkeypatch.setattr(delivery, "render", lambda mail: os.kill(os.getpid(), signal.SIGKILL))
            deliver(poison.pk)
            os._exit(0)
        deaths += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert deaths == 3
    sweep()
    assert (state(poison), state(good)) == ("failed", "sent")
    assert poison.last_error == "its workers were lost"


def test_a_worker_that_overstayed_its_lease_changes_nothing():
    mail = OutgoingMailFactory()
    OutgoingMail.objects.filter(pk=mail.pk).claim()
    mine = OutgoingMail.objects.get(pk=mail.pk)
    make_due(mail)
    OutgoingMail.objects.filter(pk=mail.pk).claim()  # by somebody else
    delivery.finish(mine, OutgoingMail.State.FAILED, "too late")
    assert (state(mail), mail.attempts, mail.last_error) == ("sending", 2, "")


def test_a_mail_that_is_gone_is_no_error():
    assert deliver(uuid7())


def test_a_sweep_takes_the_longest_due_first_and_so_many():
    mails = [OutgoingMailFactory(next_try_at=timezone.now() - timedelta(minutes=age)) for age in (1, 3, 2)]
    assert sweep(limit=2) == 2
    assert [state(mail) for mail in mails] == ["waiting", "sent", "sent"]


def test_a_code_and_a_notice_go_before_invitations_that_wait_longer():
    now = timezone.now()
    for minutes in range(1, 60):
        OutgoingMailFactory(
            template="invitation", expires_at=now + timedelta(days=7), next_try_at=now - timedelta(minutes=minutes)
        )
    code = OutgoingMailFactory(expires_at=now + timedelta(hours=1))
    notice = OutgoingMailFactory(template="password_changed", challenge_id=None)
    assert sweep(limit=2) == 2
    assert [state(code), state(notice)] == ["sent", "sent"]


def test_a_code_that_comes_during_a_sweep_does_not_wait_for_its_end(monkeypatch):
    now, order = timezone.now(), []

    def deliver_and_note(mail_id, deliver=deliver):
        order.append(mail_id)
        if len(order) == 1:
            order_of_code.append(OutgoingMailFactory(expires_at=now + timedelta(hours=1)).pk)
        return deliver(mail_id)

    order_of_code = []
    monkeypatch.setattr(delivery, "deliver", deliver_and_note)
    for _ in range(60):
        OutgoingMailFactory(template="invitation", expires_at=now + timedelta(days=7))
    assert sweep() == 61
    assert order.index(order_of_code[0]) <= delivery.SWEPT_TOGETHER


def test_a_sweep_ends_in_time():
    OutgoingMailFactory.create_batch(3)
    assert sweep(seconds=0) == 1


def deliver_fifty_times(mail):
    def deliver_it(_):
        try:
            return deliver(mail.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        assert all(pool.map(deliver_it, range(50)))


@pytest.mark.django_db(transaction=True)
def test_fifty_duplicate_deliveries_send_once(mailbox):
    mail = OutgoingMailFactory()
    deliver_fifty_times(mail)
    assert state(mail) == "sent"
    assert len(mailbox.messages) == 1


@pytest.mark.django_db(transaction=True)
def test_a_claim_that_only_looks_would_send_more(mailbox, monkeypatch):
    """The naive twin: without it nobody knows whether the test above can fail."""

    def look(mails):
        is_due = mails.due().exists()
        time.sleep(0.01)
        mails.update(state="sending", attempts=1)
        return is_due

    monkeypatch.setattr(OutgoingMailQuerySet, "claim", look)
    deliver_fifty_times(OutgoingMailFactory())
    assert len(mailbox.messages) > 1


@pytest.mark.django_db(transaction=True)
def test_nothing_is_sent_inside_a_transaction(monkeypatch):
    seen = []
    monkeypatch.setattr("mail.rendering.LetteredMessage.send", lambda message: seen.append(connection.in_atomic_block))
    deliver(OutgoingMailFactory().pk)
    assert seen == [False]


def test_one_line_is_logged_and_names_neither_address_nor_code(mailbox):
    mail = OutgoingMailFactory()
    with capture_logs() as lines:
        deliver(mail.pk)
    assert [line["event"] for line in lines] == ["mail.sent"]
    assert lines[0]["mail_id"] == str(mail.pk)
    assert lines[0]["user_id"] == str(mail.user_id)
    assert mail.to not in str(lines)
    assert code_for(mail.challenge_id, "verify") not in str(lines)


def test_what_a_server_quotes_is_kept_nowhere(mailbox):
    mail = OutgoingMailFactory()
    code = code_for(mail.challenge_id, "verify")
    mailbox.data_answer = f"554 5.7.1 You wrote {code} to {mail.to}"
    with capture_logs() as lines:
        deliver(mail.pk)
    assert state(mail) == "failed"
    assert mail.last_error == "SMTPDataError 554 5.7.1"
    assert mail.to not in str(lines)
    assert code not in str(lines)


def test_an_error_without_an_enhanced_status_is_described():
    assert delivery.describe(smtplib.SMTPDataError(554, b"No")) == "SMTPDataError 554"
    assert delivery.describe(ConnectionRefusedError(111, "Connection refused")).endswith("Connection refused")


def test_old_mails_are_forgotten_and_waiting_ones_kept(monkeypatch):
    monkeypatch.setattr(delivery, "DELETE_BATCH", 2)
    long_ago = timezone.now() - timedelta(days=15)
    for outcome in ("sent", "failed", "expired", "sent", "sent"):
        OutgoingMailFactory(state=outcome, created_at=long_ago)
    kept = {OutgoingMailFactory(created_at=long_ago).pk, OutgoingMailFactory(state="sent").pk}
    assert delete_old() == 5
    assert set(OutgoingMail.objects.values_list("pk", flat=True)) == kept


def test_the_usual_backend_of_tests_gets_mails_too():
    OutgoingMailFactory(template="invitation", language="ru")
    sweep()
    assert django_mail.outbox[0].subject == "Приглашение в Muster"
