import re

import pytest

from mail.lifetimes import lifetime


@pytest.mark.parametrize(
    ("seconds", "english", "russian"),
    [
        (0, "1 second", "1 секунду"),
        (1, "1 second", "1 секунду"),
        (3, "3 seconds", "3 секунды"),
        (60, "60 seconds", "60 секунд"),
        (121, "2 minutes", "2 минуты"),
        (900, "15 minutes", "15 минут"),
        (1260, "21 minutes", "21 минуту"),
        (6660, "111 minutes", "111 минут"),
        (86400, "24 hours", "24 часа"),
        (7 * 86400, "7 days", "7 дней"),
    ],
)
def test_it_reads_well(seconds, english, russian):
    assert (lifetime(seconds, "en"), lifetime(seconds, "ru")) == (english, russian)


def test_it_never_has_six_digits_in_a_row():
    for power in range(15):
        assert not re.search(r"\d{6}", lifetime(10**power - 1, "en"))
