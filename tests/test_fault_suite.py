"""The suite of faults can fail: its judge sees what is wrong, and the page must agree with it."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults import clients, clocks, lifecycle, mails, races, report, scale, stores, wrong  # noqa: F401 - the matrix
from tests.faults.client import Answer, Record
from tests.faults.journal import Journal
from tests.faults.run import BROKEN, HELD, MATRIX, Outcome, Run


def an_answer(status: int, seconds: float = 0.1, begun: float = 100.0, **changes: Any) -> Answer:
    headers = {"content-type": "application/problem+json", "retry-after": "2"}
    answer = Answer("PATCH", "/users/me", {}, "f-1", begun, seconds, status, headers, {"request_id": "f-1"})
    for name, value in changes.items():
        setattr(answer, name, value)
    return answer


@pytest.fixture
def run() -> Run:
    """The fault was on from 100 to 110."""
    made = Run(SimpleNamespace(server=SimpleNamespace(port=1)), is_short=True)  # type: ignore[arg-type]
    made.windows = made.unready = [(100.0, 110.0)]
    return made


def verdict(run: Run, *answers: Answer) -> str:
    run.record.answers = list(answers)
    return run.judge().verdict


def test_a_fault_that_is_refused_in_time_and_form_is_held(run):
    assert verdict(run, an_answer(200), an_answer(503), an_answer(404), an_answer(503, begun=111)) == HELD


@pytest.mark.parametrize(
    "answer",
    [
        an_answer(500),
        an_answer(502),
        an_answer(0),
        an_answer(200, seconds=10.5),
        an_answer(503, begun=90),
        an_answer(503, begun=116),
        an_answer(503, headers={"content-type": "application/problem+json"}),
        an_answer(404, headers={"content-type": "text/html"}),
        an_answer(404, body={"request_id": "another"}),
        an_answer(400, body=None),
    ],
    ids=["500", "502", "none", "late", "early 503", "no recovery", "no Retry-After", "HTML", "request_id", "no body"],
)
def test_one_wrong_answer_breaks_it(run, answer):
    assert verdict(run, an_answer(200), answer) == BROKEN


def test_a_refusal_that_lasts_too_long_breaks_it(run):
    assert verdict(run, an_answer(503, begun=114, seconds=3)) == BROKEN


def journal_of(answer: Answer, *events: tuple[str, str]) -> list[str]:
    record = Record()
    record.add(answer)
    journal = Journal([], lambda statement: list(events), SimpleNamespace(record=record))  # type: ignore[arg-type]
    journal.check_writes()
    return journal.findings


def test_an_acknowledged_write_must_be_there_once():
    event = ("f-1", "user.changed")
    assert journal_of(an_answer(200), event) == []
    assert journal_of(an_answer(200)) != []
    assert journal_of(an_answer(200), event, event) != []


def test_one_that_was_not_acknowledged_may_be_there_once():
    event = ("f-1", "user.changed")
    assert journal_of(an_answer(503)) == []
    assert journal_of(an_answer(503), event) == []
    assert journal_of(an_answer(0), event, event) != []


def test_the_page_must_have_each_fault_as_it_is_and_with_its_verdict(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\n{report.END}\nafter\n")
    outcomes = {name: Outcome(HELD, requests=3, statuses={"200": 3}) for name in MATRIX}
    report.write(outcomes, page)
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("\nafter\n")
    assert report.differences(outcomes, page) == []
    assert report.differences({**outcomes, "F1": Outcome(BROKEN)}, page) != []
    page.write_text(page.read_text().replace("| F9 |", "| F99 |"))
    assert len(report.differences(outcomes, page)) == 2


def test_the_page_that_we_have_names_every_fault():
    assert report.differences({}) == []


def test_every_fault_of_the_matrix_is_there():
    assert {f"F{number}" for number in range(1, 29)} <= set(MATRIX)
