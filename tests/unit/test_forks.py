"""Threads of ours and processes that are forked while they are at work."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from backsoon.announce.hooks import Courier
from backsoon.forks import ForkLock, close_files, open_files
from backsoon.watcher import Watcher

PATIENCE = 5.0
NEVER = 3600.0
ALIAS = "a-file"


@pytest.fixture
def file_of_a_database(tmp_path: Path) -> Iterator[None]:
    """A database of the project's in a file that several processes open at once."""
    path = tmp_path / "db.sqlite3"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
    connections.settings[ALIAS] = {**connections.settings["default"], "NAME": str(path)}
    yield
    del connections.settings[ALIAS]


@pytest.mark.django_db(databases=[])
@pytest.mark.usefixtures("file_of_a_database")
def test_a_file_that_a_watcher_has_open_is_closed_before_a_fork_and_opened_again_after(
    django_db_blocker: Any,
) -> None:
    files: list[Any] = []
    ticked = threading.Semaphore(0)
    found: list[int] = []

    def tick() -> None:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("SELECT 1")
            found.append(cursor.fetchone()[0])
        files[:] = open_files()
        ticked.release()

    watcher = Watcher(
        tick,
        lambda: NEVER,
        on_stop=connections.close_all,
        on_fork=lambda: close_files(files),
    )
    with django_db_blocker.unblock():
        watcher.start()
        try:
            assert ticked.acquire(timeout=PATIENCE)
            (file,) = files
            watcher.before_fork()
            assert file.connection is None
            watcher.after_fork_in_parent()
            watcher.wake()
            assert ticked.acquire(timeout=PATIENCE)
            assert files == [file]
            assert found == [1, 1]
        finally:
            watcher.stop()


def test_a_fork_waits_for_a_round_of_the_courier_but_not_for_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("backsoon.environment.in_test_environment", lambda: False)
    monkeypatch.setattr("backsoon.announce.hooks.FORK_SECONDS", 0.05)
    courier = Courier()
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(PATIENCE)

    assert courier._start(work)
    assert begun.wait(PATIENCE)
    courier.before_fork()
    courier.after_fork_in_parent()
    assert "was forked while messages were being delivered" in caplog.text
    caplog.clear()

    monkeypatch.setattr("backsoon.announce.hooks.FORK_SECONDS", PATIENCE)
    threading.Timer(0.05, may_end.set).start()
    courier.before_fork()
    assert may_end.is_set()
    assert caplog.text == ""
    courier.after_fork_in_parent()
    assert courier._thread is not None
    courier._thread.join(PATIENCE)
    assert courier._start(lambda: None), "it goes on afterwards"
    courier._thread.join(PATIENCE)


def test_a_child_has_a_courier_that_nobody_keeps_from_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backsoon.environment.in_test_environment", lambda: False)
    courier = Courier()
    courier.before_fork()  # what the child inherits is held
    courier.after_fork_in_child()
    done = threading.Event()
    assert courier._start(done.set)
    assert done.wait(PATIENCE)
    assert courier._thread is not None
    courier._thread.join(PATIENCE)


def test_whoever_forks_within_the_work_does_not_wait_for_himself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lock = ForkLock("something was done")
    with lock:
        assert not lock.before_fork(PATIENCE)
        lock.after_fork_in_parent()
    assert lock.before_fork(0)
    lock.after_fork_in_parent()
    assert caplog.text == ""
