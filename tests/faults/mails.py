"""Mail servers that misbehave, workers that die, tasks that come often, rows that cannot be sent."""

import secrets
import statistics
import subprocess
import sys

from tests.faults.run import Run, fault
from tests.faults.services import wait_until
from tests.faults.system import PASSWORD
from tests.serving import ROOT

STATE = 'SELECT state, attempts, last_error FROM outgoing_mail WHERE "to" = %s ORDER BY created_at'


def sign_up(run: Run) -> str:
    email = f"m{secrets.token_hex(8)}@example.org"
    answer = run.client().post("/auth/signup", {"email": email, "password": PASSWORD})
    run.check(answer.status == 202, f"sign-up: {answer.status}")
    return email


def states(run: Run, email: str) -> list[str]:
    return [state for state, *_ in run.system.postgresql.sql(STATE, email)]


def hurry(run: Run) -> None:
    """What waits for its next try, or for the lease of a lost worker to end, is due now; the sweep follows."""
    run.system.postgresql.sql("UPDATE outgoing_mail SET next_try_at = now() WHERE state IN ('waiting', 'sending')")
    run.system.postgresql.sql("SELECT 1")
    tell_celery(run, "from mail.tasks import sweep_mail; sweep_mail.delay()")


def tell_celery(run: Run, code: str) -> None:
    command = [sys.executable, "manage.py", "shell", "-v0", "-c", code]
    subprocess.run(command, cwd=ROOT, env=run.system.environment(), check=True, capture_output=True)


@fault(
    "F6",
    "Mail server away, slow or refusing",
    "an SMTP server that hangs, answers 451, drops the connection after the mail, is not there; then one that works; "
    "then one that answers 550",
    short=False,
)
def mail_server_misbehaves(run: Run) -> None:
    mail = run.system.mail
    usual = [timed_sign_up(run)[1] for _ in range(3)]
    with run.load(people=2):
        waiting = []
        for mode in ("refuse_for_now", "drop", "hang"):
            mail.mode = mode
            waiting += [timed_sign_up(run) for _ in range(3)]
            run.calm(2)
        tried = wait_until(lambda: any(attempts for e, _ in waiting for _, attempts, _ in rows(run, e)), 30)
        run.check(tried is not None, "nothing was tried")
        run.check(all(states(run, email) != ["sent"] for email, _ in waiting), "a mail counts as sent that was not")
        run.system.kill_worker()
        mail.mode = "take"
        run.system.begin_celery("worker")
    slow, fast = statistics.median(s for _, s in waiting), statistics.median(usual)
    run.check(slow < fast * 3 + 1, f"sign-up took {slow:.1f} s instead of {fast:.1f} s")
    wait_until(lambda: deliver_all(run, [email for email, _ in waiting]), 60, 3)
    left = [states(run, email) for email, _ in waiting if states(run, email) != ["sent"]]
    run.check(not left, f"not delivered although the server is back and the worker was begun again: {left}")
    mail.mode = "refuse"
    refused = sign_up(run)
    run.check(wait_until(lambda: states(run, refused) == ["failed"], 60), f"550 is not final: {rows(run, refused)}")
    mail.mode = "take"
    run.check(wait_until(lambda: states(run, after(run)) == ["sent"], 60), "the next mail did not go out")
    run.note(f"{len(waiting)} delivered afterwards, the one refused for good is marked failed and shown in the panel")


_after: dict[Run, str] = {}


def after(run: Run) -> str:
    if run not in _after:
        _after[run] = sign_up(run)
    return _after[run]


def rows(run: Run, email: str) -> list[tuple[str, int, str]]:
    return run.system.postgresql.sql(STATE, email)


def timed_sign_up(run: Run) -> tuple[str, float]:
    email = sign_up(run)
    return email, run.record.answers[-1].seconds


def deliver_all(run: Run, emails: list[str]) -> bool:
    hurry(run)
    return all(states(run, email) == ["sent"] for email in emails)


@fault(
    "F7",
    "Worker killed in the middle of a mail",
    "SIGKILL to the Celery worker after the mail server has the mail and before it says so; its lease then set to end",
    short=False,
)
def worker_killed(run: Run) -> None:
    mail = run.system.mail
    mail.mode = "hold"
    mail.held.clear()
    email = sign_up(run)
    run.check(mail.held.wait(40), "the worker did not begin")
    run.system.kill_worker()
    mail.mode = "take"
    run.check(states(run, email) == ["sending"], f"not under a lease: {states(run, email)}")
    run.system.begin_celery("worker")
    run.calm(8)
    run.check(states(run, email) == ["sending"], "somebody broke the lease")
    hurry(run)
    run.check(wait_until(lambda: states(run, email) == ["sent"], 60), f"not sent again: {rows(run, email)}")
    [code] = codes(run, email)
    verified = run.client().post("/auth/verify", {"email": email, "code": code, "password": PASSWORD})
    run.check(verified.status == 200, "the code of the second copy does not work")
    run.note(f"delivered {mail.taken[email]} times, with the same code; twice is documented")


def codes(run: Run, email: str) -> set[str]:
    return {line.strip() for line in run.system.mail.texts[email].splitlines() if line.strip().isdecimal()}


@fault(
    "F8",
    "Task delivered 50 times",
    "50 messages with one task id for one mail, and each periodic task 5 times over",
    short=False,
)
def delivered_often(run: Run) -> None:
    mail = run.system.mail
    mail.mode = "hold"
    email = sign_up(run)
    wait_until(lambda: rows(run, email), 10)
    [(mail_id,)] = run.system.postgresql.sql('SELECT id FROM outgoing_mail WHERE "to" = %s', email)
    tell_celery(
        run,
        "from config.celery import app; from config.background import SCHEDULE; from mail.tasks import deliver_mail\n"
        f"for _ in range(50): deliver_mail.apply_async(('{mail_id}',), task_id='f8-{mail_id}')\n"
        "for entry in SCHEDULE * 5: app.send_task(entry.task)",
    )
    run.check(wait_until(lambda: states(run, email) == ["sent"], 60), "not sent")
    mail.mode = "take"
    probe = sign_up(run)
    run.check(wait_until(lambda: states(run, probe) == ["sent"], 90), "the queue is stuck")
    run.check(mail.begun[email] == 1, f"sent {mail.begun[email]} times")
    run.note("one mail")


@fault("F27", "Poison in the outbox", "rows with an unknown template, without a challenge, with an impossible address")
def poison(run: Run) -> None:
    ids = []
    for template, to in (("no_such_mail", "a@example.org"), ("verify", "b@example.org"), ("reset", "c\r\nBcc: d")):
        [(mail_id,)] = run.system.postgresql.sql(
            'INSERT INTO outgoing_mail (id, template, "to", language, with_code, context, state, attempts, next_try_at,'
            " created_at, last_error) VALUES (gen_random_uuid(), %s, %s, 'en', true, '{}', 'waiting', 0,"
            " now() - interval '1 day', now(), '') RETURNING id",
            template,
            to,
        )
        ids.append(mail_id)
    others = [sign_up(run) for _ in range(5)]
    question = "SELECT state FROM outgoing_mail WHERE id = ANY(%s)"
    hurry(run)
    gone = wait_until(lambda: {s for (s,) in run.system.postgresql.sql(question, ids)} == {"failed"}, 90)
    run.check(gone is not None, f"not set aside: {run.system.postgresql.sql(question, ids)}")
    sent = wait_until(lambda: all(states(run, email) == ["sent"] for email in others), 60)
    run.check(sent is not None, "the others did not go out")
    run.note("3 marked failed, 5 others delivered")
