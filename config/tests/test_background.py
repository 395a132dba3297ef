"""The loop that does the background work where there is no Celery, and that both have the same table."""

import threading
import time

import pytest
from django.utils.module_loading import import_string
from structlog.testing import capture_logs

from config import background
from config.background import SCHEDULE, Entry
from config.celery import app

HERE = __name__
calls: list[str] = []


def often():
    calls.append("often")


def rarely():
    calls.append("rarely")


def broken():
    calls.append("broken")
    raise RuntimeError("as told")


@pytest.fixture(autouse=True)
def untouched_database(monkeypatch):
    calls.clear()
    monkeypatch.setattr(background, "TICK", 0.01)
    monkeypatch.setattr(background, "close_old_connections", lambda: None)
    monkeypatch.setattr(background.heartbeat, "count_failure", lambda task: calls.append(f"counted {task}"))


def run_until(condition, seconds=5.0):
    """Run the loop until `condition()` holds."""
    stop = threading.Event()
    thread = threading.Thread(target=background.run, args=(stop,))
    thread.start()
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert condition()


def schedule(monkeypatch, *entries):
    monkeypatch.setattr(background, "SCHEDULE", entries)


def test_it_does_what_is_due_and_nothing_too_often(monkeypatch):
    schedule(monkeypatch, Entry(f"{HERE}.often", 0.01), Entry(f"{HERE}.rarely", 3600))
    run_until(lambda: calls.count("often") >= 5)
    assert calls.count("rarely") == 1


def test_an_entry_may_be_due_sooner_where_there_is_no_celery(monkeypatch):
    schedule(monkeypatch, Entry(f"{HERE}.often", 3600, alone=0.01))
    run_until(lambda: calls.count("often") >= 3)


@pytest.mark.django_db
def test_a_piece_that_fails_ends_neither_the_loop_nor_the_others(monkeypatch):
    schedule(monkeypatch, Entry(f"{HERE}.broken", 0.01), Entry(f"{HERE}.often", 0.01))
    monkeypatch.setattr(background.connection, "close", lambda: None)
    with capture_logs() as logs:
        run_until(lambda: calls.count("broken") >= 3 and calls.count("often") >= 3)
    failures = [line for line in logs if line["event"] == "background.failed"]
    assert len(failures) >= 3
    assert failures[0]["task"] == f"{HERE}.broken"
    assert calls.count(f"counted {HERE}.broken") == calls.count("broken")


def test_a_piece_that_does_not_exist_ends_nothing_either(monkeypatch):
    schedule(monkeypatch, Entry(f"{HERE}.missing", 0.01), Entry(f"{HERE}.often", 0.01))
    monkeypatch.setattr(background.connection, "close", lambda: None)
    run_until(lambda: calls.count("often") >= 3)


@pytest.mark.parametrize("entry", SCHEDULE, ids=lambda entry: entry.task)
@pytest.mark.django_db
def test_every_piece_of_the_table_exists_and_runs(entry):
    import_string(entry.task)()


def test_celerys_beat_has_the_same_table():
    app.finalize()
    planned = {entry["task"]: entry["schedule"] for entry in app.conf.beat_schedule.values()}
    assert planned == {entry.task: entry.seconds for entry in SCHEDULE}


def test_celery_knows_every_piece():
    app.loader.import_default_modules()
    assert {entry.task for entry in SCHEDULE} <= set(app.tasks)


def test_runserver_leaves_the_work_to_celery_where_there_is_redis(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert background.start_thread() is None


def test_a_thread_beside_runserver_does_the_work_until_told_to_stop(settings, monkeypatch):
    settings.REDIS_URL = ""
    schedule(monkeypatch, Entry(f"{HERE}.often", 0.01))
    stop = background.start_thread()
    assert stop
    end = time.monotonic() + 5
    while len(calls) < 3 and time.monotonic() < end:
        time.sleep(0.005)
    stop.set()
    [thread] = [t for t in threading.enumerate() if t.name == "background"] or [None]
    if thread:
        thread.join(5)
    assert len(calls) >= 3
