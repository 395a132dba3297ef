"""The log is read by somebody who is full, stopped or gone, and requests are served all the same."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.serving import ROOT, free_port, settings_for

pytestmark = pytest.mark.slow

# Many a line fills any pipe: 64 KiB of Linux hold some 300 of them.
REQUESTS = 1500


@contextmanager
def serving_into(folder: Any, stderr: Any) -> Iterator[str]:
    environment = settings_for(folder)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=environment, check=True)
    port = free_port()
    command = [sys.executable, "manage.py", "serve", "--workers", "1", "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stderr=stderr)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: answers(url))
        yield url
        server.send_signal(signal.SIGTERM)
        assert server.wait(35) == 0, "it ends as always, too"
    finally:
        server.kill()


def answers(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{url}/readyz", timeout=5).status == 200)
    except OSError:
        return False


def eventually(question: Any, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return answer


def dropped(url: str) -> float:
    told = urllib.request.urlopen(f"{url}/metrics", timeout=5).read().decode()
    return next(float(line.split()[1]) for line in told.splitlines() if line.startswith("muster_log_lines_dropped"))


def ask_often(url: str) -> None:
    for _ in range(REQUESTS):
        assert urllib.request.urlopen(f"{url}/healthz", timeout=5).status == 200


def test_a_full_disk_below_the_log_stops_nobody(tmp_path: Any) -> None:
    with open("/dev/full", "wb") as full, serving_into(tmp_path, full) as url:
        ask_often(url)
        eventually(lambda: dropped(url) >= REQUESTS)


def test_a_reader_that_left_stops_nobody(tmp_path: Any) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with serving_into(tmp_path, writing) as url:
        ask_often(url)
        eventually(lambda: dropped(url) >= REQUESTS)
    os.close(writing)


def test_a_reader_that_is_stopped_stops_nobody_and_is_told_the_rest_when_it_goes_on(tmp_path: Any) -> None:
    kept = tmp_path / "read.log"
    with kept.open("wb") as out:
        reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=out)
        with serving_into(tmp_path, reader.stdin) as url:
            reader.send_signal(signal.SIGSTOP)
            ask_often(url)
            reader.send_signal(signal.SIGCONT)
            eventually(lambda: asked(kept.read_text()) >= REQUESTS)
        reader.stdin.close()  # type: ignore[union-attr]
        assert reader.wait(10) == 0
    assert all(json.loads(line) for line in kept.read_text().splitlines()), "no line is cut or mixed"


def asked(text: str) -> int:
    return text.count('"path": "/healthz"')


# --- The handler alone, with room for a few lines only -----------------------------------------------------------

FEW = """
import os, sys, logging.config
sys.path.insert(0, os.getcwd())
from core import logs, metrics
from core.outcome import log
logs.PatientHandler.WAITING_LINES = 50
logs.configure()
logging.config.dictConfig(logs.dict_config("INFO", "json", ""))
for number in range(3000):
    log.info("line", number=number, filling="x" * 200)
print(int(metrics.LINES_DROPPED._value.get()), flush=True)
sys.stdin.readline()
import time; time.sleep(1)
log.info("the last")
"""


@pytest.fixture
def writer() -> Iterator[Any]:
    pipe = subprocess.PIPE
    started = subprocess.Popen([sys.executable, "-c", FEW], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    yield started
    started.kill()
    started.communicate()


def test_what_is_too_much_is_dropped_counted_and_told(writer: Any) -> None:
    lost = int(writer.stdout.readline())
    assert 2000 < lost < 3000
    _, text = writer.communicate("go on\n", timeout=20)
    lines = [json.loads(line) for line in text.splitlines()]
    assert sum(line.get("lines", 0) for line in lines if line["event"] == "log.lines_dropped") == lost
    assert lines[-1]["event"] == "the last"
    assert len([line for line in lines if line["event"] == "line"]) == 3000 - lost


def test_a_process_ends_although_nobody_reads_its_last_lines(writer: Any) -> None:
    writer.stdout.readline()
    writer.stdin.write("go on\n")
    writer.stdin.flush()
    assert writer.wait(10) == 0


def test_the_last_lines_are_written_before_the_end() -> None:
    short = FEW.replace("range(3000)", "range(40)")
    done = subprocess.run([sys.executable, "-c", short], cwd=ROOT, input="\n", capture_output=True, text=True)
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == [*["line"] * 40, "the last"]


def test_a_forked_child_writes_its_own_lines_once() -> None:
    forking = """
import os, sys, logging.config
sys.path.insert(0, os.getcwd())
from core import logs
from core.outcome import log
logs.configure()
logging.config.dictConfig(logs.dict_config("INFO", "json", ""))
log.info("parent")
child = os.fork()
if child == 0:
    log.info("child")
    logging.shutdown()
    os._exit(0)
os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-c", forking], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert sorted(json.loads(line)["event"] for line in done.stderr.splitlines()) == ["child", "parent"]
