"""Work after the commit, and locks that last until it."""

import threading

import pytest
from django.db import connection, transaction

from core.transactions import after_commit, serialised


@pytest.mark.django_db(transaction=True)
def test_work_waits_for_the_commit():
    done = []
    with transaction.atomic():
        after_commit(lambda: done.append(1))
        assert done == []
    assert done == [1]


@pytest.mark.django_db(transaction=True)
def test_work_is_dropped_with_the_change():
    done = []
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        after_commit(lambda: done.append(1))
        raise ZeroDivisionError
    assert done == []


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_work_is_done_at_once():
    done = []
    after_commit(lambda: done.append(1))
    assert done == [1]


@pytest.mark.django_db(transaction=True)
def test_work_that_fails_reaches_neither_the_caller_nor_other_work():
    done = []
    with transaction.atomic():
        after_commit(lambda: 1 / 0)
        after_commit(lambda: done.append(1))
    assert done == [1]


@pytest.mark.django_db(transaction=True)
def test_a_lock_needs_a_transaction():
    with pytest.raises(RuntimeError, match="needs a transaction"):
        serialised("x")


@pytest.mark.django_db(transaction=True)
def test_whoever_takes_the_same_lock_waits():
    order, has_it = [], threading.Event()

    def second():
        has_it.wait(5)
        with transaction.atomic():
            serialised("x")
            order.append("second")
        connection.close()

    thread = threading.Thread(target=second)
    thread.start()
    with transaction.atomic():
        serialised("x")
        has_it.set()
        thread.join(0.3)
        assert thread.is_alive()
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
