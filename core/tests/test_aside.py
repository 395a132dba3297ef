"""The process that computes for the others: real ones, on real sockets."""

import errno
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from core import aside


def compute(what: str, *given: Any) -> Any:
    if what == "who":
        return [os.getpid(), os.getpriority(os.PRIO_PROCESS, 0), os.getsid(0)]
    if what == "sleep":
        time.sleep(given[0])
    if what == "write":
        Path(given[0]).touch()
    if what == "fail":
        raise ValueError
    return given


@contextmanager
def beside() -> Iterator[int]:
    """Its process id."""
    pid = os.fork()
    if not pid:
        try:
            aside.run(compute)
        finally:
            os._exit(0)
    try:
        wait_until(lambda: suppressed(aside.ask, "there?") is not None)
        yield pid
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def suppressed(function: Any, *given: Any) -> Any:
    try:
        return function(*given)
    except OSError:
        return None


def wait_until(is_so: Any) -> None:
    end = time.monotonic() + 20
    while not is_so() and time.monotonic() < end:
        time.sleep(0.01)
    assert is_so()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: Any) -> Path:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def other(folder: Path) -> Iterator[int]:
    with beside() as pid:
        yield pid


def test_it_computes_in_a_process_that_gives_way(other: int) -> None:
    assert aside.ask("who") == [other, aside.LEAST_URGENT, other]
    assert os.getpriority(os.PRIO_PROCESS, 0) < aside.LEAST_URGENT


def test_it_takes_and_gives_what_json_can_say(other: int) -> None:
    given = [None, True, "Zoë\ud800\x00\u2028", "x" * 300_000]
    assert aside.ask("echo", *given) == given


def test_what_fails_has_no_answer_and_ends_nothing(other: int) -> None:
    for _ in range(2 * (os.cpu_count() or 1)):
        with pytest.raises(ConnectionError):
            aside.ask("fail")
    assert aside.ask("who")[0] == other


def test_many_are_answered_each_their_own(other: int) -> None:
    with ThreadPoolExecutor(60) as pool:
        assert list(pool.map(lambda n: aside.ask("echo", n), range(600))) == [[n] for n in range(600)]


def test_who_waits_too_long_hears_so_and_what_nobody_waits_for_is_not_begun(
    other: int, folder: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(aside, "SECONDS", 0.2)
    busy = os.cpu_count() or 1
    with ThreadPoolExecutor(busy) as pool:
        sleepers = [pool.submit(suppressed, aside.ask, "sleep", 1) for _ in range(busy)]
        time.sleep(0.1)
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            aside.ask("write", str(folder / "late"))
        assert time.monotonic() - begun < 0.8
        assert [sleeper.result() for sleeper in sleepers] == [None] * busy
    wait_until(lambda: suppressed(aside.ask, "echo") is not None)
    assert not (folder / "late").exists()


def test_what_was_begun_is_finished_at_sigterm_and_nothing_else_is(folder: Path) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        pid = stack.enter_context(beside())
        waiting = pool.submit(aside.ask, "sleep", 0.5)
        time.sleep(0.2)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: suppressed(aside.ask, "echo") is None)
        assert waiting.result() == [0.5]


def test_one_that_is_begun_again_takes_the_place_of_one_that_was_killed(folder: Path) -> None:
    with beside() as first:
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: suppressed(aside.ask, "who") is None)
        with beside() as second:
            assert aside.ask("who")[0] == second != first


def test_a_listener_that_fails_for_a_moment_is_listened_to_again(monkeypatch: Any) -> None:
    failures = iter([errno.EMFILE, errno.ECONNABORTED, errno.EINVAL])

    class Listener:
        def accept(self) -> Any:
            raise OSError(next(failures), "")

    monkeypatch.setattr(aside, "REST", 0.01)
    listener: Any = Listener()
    aside.answer_all(listener, compute)
    assert next(failures, None) is None


def test_without_a_folder_there_is_none(monkeypatch: Any) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    with pytest.raises(OSError):
        aside.ask("who")
