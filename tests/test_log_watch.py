"""The watch over the suite's log lines would notice."""

import logging

from core.outcome import log
from tests.log_watch import Lines, leaks, note_secrets


def test_it_notices_a_password_in_a_line():
    note_secrets({"password": "only-in-this-very-test-1"})
    assert leaks(['{"event": "log in with only-in-this-very-test-1"}']) == ["only-in-this-very-test-1"]
    assert not leaks(['{"event": "log in"}'])


def test_it_sees_the_lines_as_production_writes_them(caplog):
    handler = Lines()
    logging.getLogger("muster").addHandler(handler)
    log.warning("something", subject="seen")
    logging.getLogger("muster").removeHandler(handler)
    assert '"event": "something"' in handler.lines[0]
    assert '"subject": "seen"' in handler.lines[0]
