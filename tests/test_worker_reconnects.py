"""Celery's worker over a Redis that dies or hangs at the worst moment: it takes the next task by itself afterwards."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests.faults.services import Redis, wait_until
from tests.serving import ROOT, settings_for

pytestmark = [pytest.mark.service, pytest.mark.slow]


class Worker:
    """Two processes, and a Redis of its own."""

    def __init__(self, folder: Path) -> None:
        self.redis = Redis(folder / "redis")
        self.sender = Celery(broker=self.redis.url())
        self.notes, self.log = folder / "notes", folder / "worker.log"
        environment = {**settings_for(folder), "REDIS_URL": self.redis.url(), "NOTES": str(self.notes)}
        # Celery's own signs of life, every 2 s, would often meet the fault before what is tested does.
        celery = [sys.executable, "-m", "celery", "-A", "tests.sleeper", "worker", "--without-heartbeat"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*celery, "--concurrency", "2", "--loglevel", "INFO"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    def send(self, name: str, seconds: float = 0) -> None:
        self.sender.send_task("sleep", [seconds, name])

    def has(self, note: str) -> bool:
        return self.notes.exists() and note in self.notes.read_text().splitlines()

    def at_work(self) -> int:
        return int(self.redis.client().hlen("unacked"))

    def eventually(self, is_so: Callable[[], Any]) -> None:
        assert wait_until(is_so, 60) is not None, f"{self.process.poll()}: {self.log.read_text()[-3000:]}"

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.redis.stop()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tmp_path)
    try:
        worker.send("ready")
        worker.eventually(lambda: worker.has("ready done") and not worker.at_work())
        yield worker
    finally:
        worker.stop()


def test_it_takes_the_next_task_after_redis_died_while_one_was_at_work_and_one_awaited(worker: Worker) -> None:
    worker.send("before", seconds=4)
    worker.eventually(lambda: worker.has("before begun"))  # earlier it may be neither in Redis nor in a process
    # The worker hears first, on the connections for commands, that Redis is away, while it waits for a task on another.
    worker.process.send_signal(signal.SIGSTOP)
    worker.redis.client().client_kill_filter(_type="pubsub")
    worker.redis.stop(signal.SIGKILL)
    worker.process.send_signal(signal.SIGCONT)
    worker.eventually(lambda: worker.has("before done"))
    worker.redis.start()
    worker.send("after")
    worker.eventually(lambda: worker.has("after done"))


def test_it_takes_the_next_task_after_redis_hung_for_as_long_as_every_acknowledgement_waits(worker: Worker) -> None:
    for number in range(2):
        worker.send(f"before {number}", seconds=2)
    worker.eventually(lambda: all(worker.has(f"before {number} begun") for number in range(2)))
    with worker.redis.frozen():
        worker.eventually(lambda: worker.log.read_text().count("Couldn't ack") == 2 or is_lost(worker))
    worker.send("after")
    worker.eventually(lambda: worker.has("after done"))


def is_lost(worker: Worker) -> bool:
    return "Connection to broker lost" in worker.log.read_text()
