"""The form on the page while somebody else holds the database: no hang, and no harm."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

from backsoon import subscribers
from backsoon.http import turnstile
from backsoon.testing import override_maintenance
from tests.integration.databases import ALIAS, backsoon_in
from tests.integration.test_tell_me import UNABLE, send, text
from tests.visitors import Visitor

QUICK_SECONDS = 1.0
"""Far more than the fifth of a second that is waited, far less than SQLite's usual five."""

ON = {"TELL_ME": True, "DATABASE": ALIAS}


@pytest.fixture
def path(tmp_path: Path, django_db_blocker: Any) -> Iterator[Path]:
    """A closed site whose rows are in the file at this path."""
    path = tmp_path / "db.sqlite3"
    with (
        django_db_blocker.unblock(),
        backsoon_in(path),
        override_settings(BACKSOON=ON),
        override_maintenance(),
    ):
        yield path


def test_while_a_migration_holds_the_database_it_is_said_at_once_and_once_over_it_works(
    path: Path, visitor: Visitor
) -> None:
    with closing(sqlite3.connect(path, timeout=0)) as migration:
        migration.execute("BEGIN IMMEDIATE")
        migration.execute("CREATE TABLE other (id integer)")
        took = []
        for _attempt in range(3):  # one of them at least is not held up by this machine itself
            turnstile.renew_all()
            begun = time.monotonic()
            response = send(visitor)
            took.append(time.monotonic() - begun)
            assert response.status_code == 503
            assert UNABLE in text(response)
        migration.commit()  # it was neither held up nor broken
    assert min(took) < QUICK_SECONDS
    turnstile.renew_all()  # a second later
    assert send(visitor).status_code == 200
    assert subscribers.count() == 1


def test_a_crowd_at_a_locked_database_is_not_held_up_one_after_the_other(path: Path) -> None:
    statuses: list[int] = []

    def one() -> None:
        try:
            statuses.append(send(Visitor("wsgi")).status_code)
        finally:
            connections.close_all()

    with closing(sqlite3.connect(path, timeout=0)) as migration:
        migration.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        crowd = [threading.Thread(target=one) for _ in range(8)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        took = time.monotonic() - begun
    assert statuses == [503] * 8
    assert took < 2 * QUICK_SECONDS


def test_before_our_table_is_there_it_is_said_politely(path: Path, visitor: Visitor) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE backsoon_subscriber")
    response = send(visitor)
    assert response.status_code == 503
    assert UNABLE in text(response)
