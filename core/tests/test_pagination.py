"""The arithmetic of cursors. What lists make of it stands in accounts/tests/test_users.py."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from django.db import connection

from accounts.models import User
from core.clock import EPOCH
from core.errors import InvalidInput
from core.ids import uuid7
from core.pagination import asked_count, asked_ordering, asked_size, beyond, flipped, read_cursor, write_cursor
from mail.models import OutgoingMail

VIEW = SimpleNamespace(ordering=("-at", "-id"), orderings={"name": ("name", "id")})


def asking(**params):
    return SimpleNamespace(query_params=params)


@pytest.mark.parametrize(
    ("asked", "size"), [({}, 50), ({"page_size": "1"}, 1), ({"page_size": "0200"}, 200), ({"page_size": "201"}, 200)]
)
def test_a_page_holds_fifty_or_what_is_asked_for_up_to_two_hundred(asked, size):
    assert asked_size(asking(**asked)) == size


@pytest.mark.parametrize("asked", ["0", "-1", "1.0", "", " 1", "1e2", "٣", "0x10", "1_0", "\x00", "000"])
def test_what_is_no_size_is_refused(asked):
    with pytest.raises(InvalidInput):
        asked_size(asking(page_size=asked))


def test_a_size_without_end_costs_nothing():
    assert asked_size(asking(page_size="9" * 1_000_000)) == 200


@pytest.mark.parametrize("asked", ["", "Exact", "true", "1"])
def test_only_exact_counts(asked):
    assert asked_count(asking(count="exact")) is True
    assert asked_count(asking()) is False
    with pytest.raises(InvalidInput):
        asked_count(asking(count=asked))


@pytest.mark.parametrize(
    ("asked", "columns"),
    [({}, ("-at", "-id")), ({"ordering": "name"}, ("name", "id")), ({"ordering": "-name"}, ("-name", "-id"))],
)
def test_an_ordering_is_the_views_own_or_one_that_it_offers(asked, columns):
    assert asked_ordering(asking(**asked), VIEW) == columns


@pytest.mark.parametrize("asked", ["", "-", "id", "--name", "name,id", "Name", "password", "__class__"])
def test_another_ordering_is_refused(asked):
    with pytest.raises(InvalidInput):
        asked_ordering(asking(ordering=asked), VIEW)


def test_what_is_written_is_read_again():
    values = [datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), uuid7(), "é\u2028\x00"]
    for backwards in (True, False):
        assert read_cursor(write_cursor(backwards, values, "name"), "name") == (backwards, values)


@pytest.mark.parametrize("bad", ["", ".", "x", "x.y", "é.é", "\x00", "a" * 10_000, "W10.", "\ud800"])
def test_what_we_did_not_write_is_not_read(bad):
    with pytest.raises(InvalidInput):
        read_cursor(bad, "")


def test_a_cursor_says_for_which_ordering_it_is():
    cursor = write_cursor(False, ["a"], "email")
    for other in ("", "-email", "created_at"):
        with pytest.raises(InvalidInput):
            read_cursor(cursor, other)


def test_a_cursor_of_another_installation_is_not_read(settings):
    cursor = write_cursor(False, ["a"], "")
    settings.SECRET_KEY = "another-key-" + "0123456789abcdef" * 4
    with pytest.raises(InvalidInput):
        read_cursor(cursor, "")


@pytest.mark.django_db
@pytest.mark.parametrize("sign", ["", "-"])
def test_beyond_a_position_is_what_comes_after_it_also_among_equals(sign):
    moments = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 2, 2, 3)]
    OutgoingMail.objects.bulk_create(
        OutgoingMail(template="verify", to="a@example.org", language="en", next_try_at=at, created_at=at)
        for at in moments
    )
    ordering = [f"{sign}created_at", f"{sign}id"]
    whole = list(OutgoingMail.objects.order_by(*ordering))
    for place, mail in enumerate(whole):
        after = OutgoingMail.objects.filter(beyond(ordering, [mail.created_at, mail.pk])).order_by(*ordering)
        assert list(after) == whole[place + 1 :]
        assert OutgoingMail.objects.filter(beyond(ordering[1:], [mail.pk])).count() == sum(
            other.pk < mail.pk if sign else other.pk > mail.pk for other in whole
        )


def test_no_ordering_goes_two_ways():
    with pytest.raises(ValueError, match="both ways"):
        beyond(["-at", "id"], [5, 7])


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL missing: run ./run services …")
def test_an_index_leads_straight_to_a_row_among_many_equals():
    users = User.objects.sortable().filter(beyond(["last_login_key", "id"], [EPOCH, uuid7()]))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
    plan = users.order_by("last_login_key", "id").explain()
    assert "Index Cond: (ROW(COALESCE(last_login" in plan


def test_an_ordering_can_be_turned_round():
    assert [flipped(flipped(name)) for name in ("a", "-a")] == ["a", "-a"]
    assert flipped("a") == "-a"
