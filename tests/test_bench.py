"""What `./run bench` says of what it has measured; no time is measured here."""

import json
import math
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import bars, report, results
from bench.__main__ import main
from bench.limits_site import application
from bench.load import Refused, generate
from bench.results import Measured, Run, Sample
from bench.scripts import repeat
from bench.subjects import MUSTER, PEERS_AND_LIMITS, Size

SIZE = Size(100_000)


def measured(name: str, operations: list[str], cost: float, size: Size = SIZE) -> Measured:
    samples = {operation: [Sample(cost, 0.0, 100.0, 1.0, 2.0)] * 3 for operation in operations}
    return Measured(name, "", size, samples, [1.0], 100.0, [10.0], [20.0])


def peers(ours: float, theirs: float) -> Run:
    everyone = [
        measured(subject.name, list(subject.operations), ours if subject is MUSTER else theirs)
        for subject in PEERS_AND_LIMITS
    ]
    return Run("a machine", 8, 3, 1.0, everyone)


def growth(large: float) -> Run:
    operations = [name for name in MUSTER.operations if name != "mixed"]
    sizes = {Size(10_000): 4.0, Size(100_000): 4.0, Size(1_000_000): large, Size(100_000, sessions=4): 4.0}
    return Run("a machine", 8, 3, 1.0, [measured(str(size), operations, cost, size) for size, cost in sizes.items()])


def test_all_bars_hold_for_a_product_that_is_fast_enough() -> None:
    verdicts = [*bars.of_peers(peers(1.0, 7.0)), *bars.of_growth(growth(4.0))]
    assert len(verdicts) > 15
    assert [one.what for one in verdicts if not one.held] == []


def test_no_ratio_holds_for_a_product_that_is_as_slow_as_its_peers() -> None:
    held = [one.what for one in bars.of_peers(peers(7.0, 6.0)) if one.held]
    assert held == [
        "p99 of `me` while log-ins saturate their lane",
        "memory of two processes after the load",
        "from start to the first answer",
    ]


def test_growing_dearer_by_a_quarter_is_not_held_but_for_searches() -> None:
    found = [one for one in bars.of_growth(growth(5.0)) if not one.held]
    assert len(found) == len(MUSTER.operations) - len(["mixed", "search, few", "search, many"])


def test_turning_everybody_away_is_not_cheap() -> None:
    run = growth(4.0)
    run.subjects[2].samples["log-in"] = [Sample(math.inf, 0.0, 0.0, math.inf, math.inf, 9)]
    assert [one.what for one in bars.of_growth(run) if not one.held] == ["log-in at 10⁶ users"]


def test_the_check_fails_below_its_bars() -> None:
    run = peers(1.0, 6.0)
    assert all(one.held for one in bars.of_check(run))
    run.named("muster").samples["refresh"] = [Sample(3.0, 0.0, 1.0, 1.0, 1.0)]
    assert [one.held for one in bars.of_check(run)] == [True, False, True]


@pytest.mark.parametrize(("costs", "code"), [([1.0], 0), ([6.0, 1.0], 0), ([6.0, 6.0], 1)])
def test_what_is_not_held_is_measured_once_more(monkeypatch: Any, costs: list[float], code: int) -> None:
    rounds: list[int] = []

    def measured(plan: Any) -> Run:
        rounds.append(plan.rounds)
        return peers(costs[len(rounds) - 1], 6.0)

    monkeypatch.setattr("bench.__main__.measured", measured)
    assert main(["--check"]) == code
    assert rounds == [5, 10][: len(costs)]


def test_the_report_is_made_of_the_latest_run_of_each_part(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    results.save("peers", peers(3.0, 6.0), file)
    results.save("growth", growth(4.0), file)
    results.save("peers", peers(1.0, 6.0), file)
    report.write(results.load(file), tmp_path)
    text = (tmp_path / "performance.md").read_text()
    assert "| me | 1.00 + 0.00 ± 0.00 | 6.00 + 0.00 ± 0.00 |" in text
    assert "1,000,000; 1; 1" in text
    assert {"held", "**not held**"} == set(re.findall(r"\| (held|\*\*not held\*\*) \|$", text, re.MULTILINE))
    for chart in ("performance.svg", "growth.svg"):
        ElementTree.parse(tmp_path / chart)
        assert f"({chart})" in text


def test_the_report_shows_an_operation_that_served_nobody(tmp_path: Path) -> None:
    run = growth(4.0)
    run.subjects[2].samples["log-in"] = [Sample(math.inf, 0.0, 0.0, math.inf, math.inf, 9)]
    file = tmp_path / "results.json"
    results.save("growth", run, file)
    report.write(results.load(file), tmp_path)
    assert "| log-in | 4.00 ± 0.00 | 4.00 ± 0.00 | inf" in (tmp_path / "performance.md").read_text()
    assert "inf" not in (tmp_path / "growth.svg").read_text()


@pytest.mark.parametrize("arguments", [["--fast"], ["--check", "--quick"]])
def test_it_refuses_what_it_does_not_know_and_measures_nothing(arguments: list[str]) -> None:
    assert main(arguments) == 2


def answering(answer: bytes) -> Iterator[int]:
    """The port of a server that says this to everything."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(65536):
                self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@pytest.mark.parametrize(("status", "served"), [(200, True), (202, True), (503, False)])
def test_who_is_turned_away_is_not_served(status: int, served: bool) -> None:
    with contextmanager(answering)(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % status) as port:
        load = generate(port, [repeat(b"GET / HTTP/1.1\r\n\r\n")], 0.05)
    assert bool(load.requests) is served
    assert bool(load.turned_away) is not served


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 429, 500])
def test_any_other_answer_ends_the_run(status: int) -> None:
    answer = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
    with contextmanager(answering)(answer) as port, pytest.raises(Refused):
        generate(port, [repeat(b"GET / HTTP/1.1\r\n\r\n")], 0.05)


@pytest.mark.parametrize("path", ["/bare-view", "/argon2id"])
def test_the_limits_are_served_by_a_small_site(path: str) -> None:
    said: list[str] = []
    body = application({"PATH_INFO": path}, lambda status, headers: said.append(status))
    assert said == ["200 OK"]
    assert json.loads(b"".join(body)) is not None
