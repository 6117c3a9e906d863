"""Statements that do not wait: SQLite by its own means, and databases that nobody knows."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connections, transaction

from backsoon.limits import MILLISECONDS, bounded, soon
from backsoon.models import Maintenance
from tests.integration.databases import ALIAS, backsoon_in

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from pytest_django import DjangoDbBlocker


@pytest.fixture
def connection(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[BaseDatabaseWrapper]:
    with django_db_blocker.unblock(), backsoon_in(tmp_path / "site.sqlite3", timeout=7):
        yield connections[ALIAS]


@pytest.fixture
def locked(connection: BaseDatabaseWrapper, tmp_path: Path) -> Iterator[None]:
    """Somebody else writes, and lets nobody even read."""
    other = sqlite3.connect(tmp_path / "site.sqlite3", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    yield
    other.close()


def busy_timeout(connection: BaseDatabaseWrapper) -> int:
    connection.ensure_connection()
    return int(connection.connection.execute("PRAGMA busy_timeout").fetchone()[0])


def rows() -> Any:
    return Maintenance.objects.using(ALIAS)


@pytest.mark.usefixtures("locked")
def test_a_locked_file_is_waited_for_no_longer_than_the_limit() -> None:
    started = time.monotonic()
    with bounded() as limit:
        with pytest.raises(OperationalError, match="locked"):
            rows().first()
        assert limit.faults == 1
        assert limit.is_felt
        with pytest.raises(OperationalError, match="is used up"):
            rows().first()
    assert MILLISECONDS / 2000 < time.monotonic() - started < 3


@pytest.mark.usefixtures("locked")
def test_a_transaction_cannot_begin_later_than_the_limit(connection: BaseDatabaseWrapper) -> None:
    started = time.monotonic()
    with bounded(), pytest.raises(OperationalError, match="locked"), transaction.atomic(ALIAS):
        rows().create()
    assert time.monotonic() - started < 3


def test_the_connection_gets_back_what_it_had(connection: BaseDatabaseWrapper) -> None:
    with bounded(120):
        assert rows().count() == 0
        assert busy_timeout(connection) == 120
    assert busy_timeout(connection) == 7000
    assert not connection.execute_wrappers
    assert "connect" not in vars(connection)


def test_a_connection_that_was_not_opened_stays_unopened(connection: BaseDatabaseWrapper) -> None:
    connection.close()
    with bounded():
        pass
    assert connection.connection is None


def test_a_connection_that_was_opened_anew_inside_is_bounded_too(
    connection: BaseDatabaseWrapper,
) -> None:
    with bounded(120):
        assert rows().count() == 0
        connection.close()
        assert rows().count() == 0
        assert busy_timeout(connection) == 120
    assert busy_timeout(connection) == 7000


def test_a_connection_whose_limit_cannot_be_put_back_is_closed(
    connection: BaseDatabaseWrapper,
) -> None:
    with bounded():
        assert rows().count() == 0
        connection.connection.interrupt()
        connection.connection.close()  # behind Django's back
    assert connection.connection is None
    assert busy_timeout(connection) == 7000


def test_an_error_that_is_no_wait_costs_the_next_statement_nothing(
    connection: BaseDatabaseWrapper,
) -> None:
    with bounded() as limit, connection.cursor() as cursor:
        for _again in range(50):
            with pytest.raises(OperationalError, match="no such table"):
                cursor.execute("SELECT * FROM nowhere")
        assert limit.seconds > 0
        assert not limit.is_felt
        assert rows().count() == 0


def test_only_the_named_databases_are_bounded(connection: BaseDatabaseWrapper) -> None:
    with bounded(120, aliases=["default"]):
        assert rows().count() == 0
        assert busy_timeout(connection) == 7000


def test_an_unknown_database_is_left_alone(
    connection: BaseDatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(connection), "vendor", "oracle")
    with bounded():
        assert not connection.execute_wrappers


# -- Opening a connection, with any driver ------------------------------------------------------


class Raw:
    """A driver's connection."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


def test_a_connection_that_opens_in_time_is_handed_on() -> None:
    raw = Raw()
    assert soon(lambda: raw, 10) is raw
    assert not raw.closed.is_set()


def test_an_error_of_the_driver_is_raised_where_it_is_waited_for() -> None:
    def fail() -> None:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        soon(fail, 10)


def test_a_connection_that_comes_too_late_is_closed() -> None:
    raw, answer = Raw(), threading.Event()

    def hang() -> Raw:
        answer.wait(10)
        return raw

    with pytest.raises(OperationalError, match="took too long"):
        soon(hang, 0.01)
    answer.set()
    assert raw.closed.wait(10)


def test_a_connection_that_comes_too_late_can_be_given_back() -> None:
    raw, answer, given_back = Raw(), threading.Event(), threading.Event()

    def hang() -> Raw:
        answer.wait(10)
        return raw

    with pytest.raises(OperationalError, match="took too long"):
        soon(hang, 0.01, lambda late: given_back.set() if late is raw else None)
    answer.set()
    assert given_back.wait(10)
    assert not raw.closed.is_set()


def test_an_error_that_comes_too_late_is_nobodys() -> None:
    answer, over = threading.Event(), threading.Event()

    def hang() -> None:
        try:
            answer.wait(10)
            raise ConnectionResetError
        finally:
            over.set()

    with pytest.raises(OperationalError, match="took too long"):
        soon(hang, 0.01)
    answer.set()
    assert over.wait(10)
