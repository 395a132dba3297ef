"""A hundred callers at once: 25 threads in each of four processes, which share a database and nothing else."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.races.callers import Answer, Call, address, call_together, enter, leave, obey

ROUNDS = int(os.environ.get("MUSTER_RACE_ROUNDS", "3"))
FEW_ROUNDS = max(1, ROUNDS // 10)  # for what stands beside a race that has all of them
PROCESSES = 4
CALLERS = 100
LONGEST_ROUND = 120  # seconds

MOST_ROUNDS_TO_FAIL = 60

Order = tuple[Callable[..., Any], Any]
Race = Callable[["Crowd"], None]


class Crowd:
    """The processes, seen from the test. Whatever they are told to do is a function of some module."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.log, self.repeats = log, 0
        self.pipes, self.processes = [], []
        spawn = multiprocessing.get_context("spawn")
        self.start = spawn.Barrier(PROCESSES)  # lives as long as somebody here holds it
        for _ in range(PROCESSES):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=obey, args=(theirs, self.start, environment), daemon=True)
            process.start()
            self.pipes.append(ours)
            self.processes.append(process)

    def once(self, work: Callable[..., Any], *args: Any) -> Any:
        """What `work` returns, in one of the processes: to prepare a round, and to look at what it left."""
        return self._order([(work, args)])[0]

    def all_at_once(self, calls: list[Call]) -> list[Answer]:
        """The answers, in the order of `calls`. None is a 5xx: 503 with Retry-After is repeated until it is not."""
        shares = [calls[place::PROCESSES] for place in range(PROCESSES)]
        of_each = self._order([(call_together, (share,)) for share in shares])
        answers: list[Answer] = [of_each[n % PROCESSES][n // PROCESSES] for n in range(len(calls))]
        self.repeats += sum(answer.repeats for answer in answers)
        failures = [answer.status for answer in answers if answer.status >= 500]
        assert not failures, f"no 5xx, but {failures}\n{self._tail_of_log()}"
        return answers

    @contextmanager
    def under(self, condition: Callable[[], Any]) -> Iterator[None]:
        """Meanwhile every process stays inside the context manager that `condition` makes."""
        self._order([(enter, (condition,))] * PROCESSES)
        try:
            yield
        finally:
            self._order([(leave, ())] * PROCESSES)

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
            process.join()

    def _order(self, orders: list[Order]) -> list[Any]:
        """One order for each process, from the first; the results when all are done."""
        pipes = self.pipes[: len(orders)]
        for pipe, order in zip(pipes, orders, strict=True):
            pipe.send(order)
        done = [pipe.recv() if pipe.poll(LONGEST_ROUND) else (False, "no answer in time") for pipe in pipes]
        if troubles := [result for is_done, result in done if not is_done]:
            raise RuntimeError(f"in a process of the crowd: {troubles[0]}")
        return [result for _, result in done]

    def _tail_of_log(self) -> str:
        return self.log.read_text()[-4000:] if self.log.exists() else ""


def repeat(race: Race, crowd: Crowd, rounds: int = ROUNDS) -> None:
    """A race that goes well once proves nothing."""
    for _ in range(rounds):
        race(crowd)


def turns_red(race: Race, crowd: Crowd, mistake: Callable[[], Any], claim: str) -> None:
    """With `mistake` in the place of the real thing the race fails, and it is its assertion of `claim` that does."""
    with crowd.under(mistake), pytest.raises(AssertionError, match=claim):
        repeat(race, crowd, MOST_ROUNDS_TO_FAIL)


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def codes(answers: list[Answer]) -> Counter[str]:
    """What refusals said."""
    return Counter(answer.body["code"] for answer in answers if answer.status >= 400)


def succeeded(answers: list[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.status < 400]


def post(path: str, *, access: str = "", ip: str = "", **body: Any) -> Call:
    return Call("POST", path, body, access, ip or address())
