"""Long work in the background: in steps, resumed, watched, and never more than whoever asked may do."""

import time

import pytest
from django.db import IntegrityError, transaction

from accounts import job_notifier
from accounts.job_models import Job
from accounts.models import Counter, User
from accounts.services import jobs, users
from accounts.services.cleanup import clean_up
from accounts.services.jobs import Kind, NotHeld, advance, cancel, run, start, sweep
from accounts.tasks import run_job, sweep_jobs
from accounts.tests.clock import time_passes
from accounts.tests.factories import UserFactory
from accounts.tests.scene import administrator, events, holder
from core.actor import Actor
from core.errors import NotFound, PermissionDenied, PrivilegeEscalation
from rbac.models import RoleGrant

pytestmark = pytest.mark.django_db
HERE = __name__
SYSTEM = Actor.system("test")
State = Job.State
TEN = {"times": 10}


def count_up(actor, job):
    """Writes one row a step, together with how far it came."""
    n = job.position.get("next", 0)
    with transaction.atomic():
        Counter.objects.create(key=f"{job.pk}-{n}", count=1, expires_at=job.created_at)
        advance(job, done=1, position={"next": n + 1})
    return n + 1 == job.parameters["times"]


def slowly(actor, job):
    time.sleep(0.01)
    return count_up(actor, job)


def deactivate_all(actor, job):
    """One row a step, each under the guard rails of whoever asked."""
    user = User.objects.get(pk=job.parameters["users"][job.done])
    with transaction.atomic():
        try:
            users.delete_user(actor, user)
            advance(job, done=1)
        except PrivilegeEscalation:
            advance(job, done=1, failed=1)
    return job.done == len(job.parameters["users"])


def break_down(actor, job):
    raise RuntimeError("as told")


def lose_it(actor, job):
    """A second worker takes the job up while this one is in its step."""
    time_passes(minutes=2)
    assert jobs._claim(job.pk)
    return count_up(actor, job)


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    for step in (count_up, slowly, deactivate_all, break_down, lose_it):
        monkeypatch.setitem(jobs.KINDS, step.__name__, Kind(f"{HERE}.{step.__name__}", "user:delete"))


def rows(job):
    return Counter.objects.filter(key__startswith=str(job.pk)).count()


def now(job):
    return Job.objects.get(pk=job.pk)


def test_a_job_is_done_by_the_next_sweep_and_tells_how_far_it_is():
    job = start(SYSTEM, "count_up", TEN, total=10)
    assert (now(job).state, now(job).percent) == (State.WAITING, 0)
    sweep()
    job = now(job)
    assert (job.state, job.done, job.failed, job.percent, rows(job)) == (State.DONE, 10, 0, 100, 10)
    assert job.created_at <= job.started_at <= job.finished_at


def test_celery_runs_the_same():
    job = start(SYSTEM, "count_up", TEN)
    run_job(str(job.pk))
    other = start(SYSTEM, "count_up", TEN)
    sweep_jobs()
    assert (now(job).state, now(other).state) == (State.DONE, State.DONE)


def test_a_slice_ends_and_the_next_goes_on_where_it_was():
    job = start(SYSTEM, "slowly", TEN, total=10)
    slices = 0
    while now(job).is_open:
        run(job.pk, seconds=0.02)
        slices += 1
    assert 1 < slices < 10
    assert (now(job).done, rows(job)) == (10, 10)


def test_between_two_slices_others_have_their_turn():
    first, second = start(SYSTEM, "slowly", TEN), start(SYSTEM, "slowly", TEN)
    run(first.pk, seconds=0)
    sweep()
    assert (now(first).done, now(second).done) == (1, 10)


@pytest.mark.parametrize(("broker", "told"), [("", []), ("redis://127.0.0.1:1", 2)])
@pytest.mark.django_db(transaction=True)
def test_the_worker_is_told_at_the_start_and_after_each_slice(settings, monkeypatch, broker, told):
    settings.CELERY_BROKER_URL = broker
    heard = []
    monkeypatch.setattr(job_notifier._notifier, "tell", heard.append)
    job = start(SYSTEM, "slowly", TEN)
    run(job.pk, seconds=0)
    assert heard == [job.pk] * (told or 0)


def test_a_killed_worker_leaves_the_job_to_the_next_one_after_its_lease():
    job = start(SYSTEM, "count_up", TEN)
    jobs._claim(job.pk)  # and is heard of no more
    sweep()
    assert (now(job).state, rows(job)) == (State.RUNNING, 0)
    time_passes(minutes=2)
    sweep()
    assert (now(job).state, now(job).done, rows(job)) == (State.DONE, 10, 10)


def test_a_worker_that_lost_the_job_commits_nothing():
    job = start(SYSTEM, "lose_it", TEN)
    run(job.pk)
    assert (now(job).state, now(job).done, rows(job)) == (State.RUNNING, 0, 0)


def test_progress_without_holding_the_job_is_refused():
    job = start(SYSTEM, "count_up", TEN)
    with pytest.raises(NotHeld):
        advance(job, done=1)
    with pytest.raises(ValueError):
        advance(job, state=State.DONE)


def test_a_job_that_loses_its_workers_is_given_up():
    job = start(SYSTEM, "count_up", TEN)
    for _ in range(jobs.MAX_ATTEMPTS):
        assert jobs._claim(job.pk)
        time_passes(minutes=2)
    sweep()
    assert (now(job).state, now(job).reason, rows(job)) == (State.FAILED, "workers_lost", 0)
    assert jobs.told(now(job))


def test_a_step_that_breaks_down_is_tried_again_a_few_times():
    job = start(SYSTEM, "break_down", {})
    tries = 0
    while now(job).is_open:
        sweep()
        time_passes(minutes=2)
        tries += 1
    assert tries == jobs.MAX_ATTEMPTS + 1
    assert (now(job).state, now(job).reason) == (State.FAILED, "internal_error")


def test_kinds_that_this_release_does_not_know_are_left_alone():
    job = start(SYSTEM, "count_up", TEN)
    Job.objects.update(kind="of_the_next_release")
    sweep()
    run(job.pk)
    assert now(job).state == State.WAITING


def test_nobody_starts_what_they_may_not():
    with pytest.raises(PermissionDenied):
        start(Actor(user=UserFactory()), "count_up", TEN)
    assert not Job.objects.exists()


def test_each_row_is_under_the_guard_rails_of_whoever_asked():
    boss, clerk = administrator(), holder("user:delete")
    common = UserFactory.create_batch(2)
    people = [common[0], boss, common[1]]
    job = start(Actor(user=clerk, ip="192.0.2.7"), "deactivate_all", {"users": [str(user.pk) for user in people]})
    sweep()
    job = now(job)
    assert (job.state, job.done, job.failed) == (State.DONE, 3, 1)
    assert set(User.objects.filter(is_active=False)) == set(common)
    assert {(e.actor_id, e.ip) for e in events("user.deactivated")} == {(clerk.pk, "192.0.2.7")}
    assert len(events("guard.refused")) == 1


@pytest.mark.parametrize("how", ["deactivated", "role withdrawn"])
def test_a_job_stops_when_whoever_asked_may_no_more(how):
    clerk = holder("user:delete")
    job = start(Actor(user=clerk), "slowly", TEN, total=10)
    run(job.pk, seconds=0)
    if how == "deactivated":
        User.objects.filter(pk=clerk.pk).update(is_active=False)
    else:
        RoleGrant.objects.filter(user=clerk).delete()
    sweep()
    job = now(job)
    reason = "actor_gone" if how == "deactivated" else "permission_denied"
    assert (job.state, job.reason, job.done, rows(job)) == (State.FAILED, reason, 1, 1)
    assert str(jobs.REASONS[reason]) == jobs.told(job)


def test_start_and_end_of_what_people_ask_for_are_recorded():
    clerk = holder("user:delete")
    job = start(Actor(user=clerk, ip="192.0.2.7", request_id="r1"), "count_up", TEN)
    sweep()
    started, ended = events("job.started")[0], events("job.ended")[0]
    assert (started.actor_id, started.target_id, started.details) == (clerk.pk, job.pk, {"kind": "count_up"})
    assert (ended.actor_id, ended.details["state"], ended.details["done"]) == (clerk.pk, "done", 10)


def test_cancelling_keeps_what_was_done_and_commits_nothing_more():
    clerk = holder("user:delete")
    job = start(Actor(user=clerk), "slowly", TEN)
    run(job.pk, seconds=0)
    held = jobs._claim(job.pk)
    cancel(Actor(user=clerk), now(job))
    with pytest.raises(NotHeld):
        count_up(SYSTEM, held)
    sweep()
    assert (now(job).state, now(job).done, rows(job)) == (State.CANCELLED, 1, 1)
    with pytest.raises(jobs.JobEnded):
        cancel(Actor(user=clerk), now(job))


def test_somebody_elses_job_cannot_be_cancelled():
    job = start(Actor(user=holder("user:delete")), "count_up", TEN)
    with pytest.raises(NotFound):
        cancel(Actor(user=administrator()), job)
    assert now(job).state == State.WAITING
    assert list(Job.objects.asked_by(job.actor_id)) == [job]


@pytest.mark.parametrize(
    "impossible", [{"state": "asleep"}, {"failed": 1}, {"state": "done"}, {"finished_at": "2026-01-01T00:00Z"}]
)
def test_the_database_refuses_what_no_job_can_be(impossible):
    job = start(SYSTEM, "count_up", TEN)
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(**impossible)


def test_finished_jobs_are_forgotten_after_two_weeks():
    old, open_one = start(SYSTEM, "count_up", TEN), start(SYSTEM, "count_up", TEN)
    run(old.pk)
    time_passes(days=15)
    clean_up()
    assert list(Job.objects.all()) == [open_one]
