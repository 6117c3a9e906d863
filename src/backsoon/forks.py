"""What threads of ours must not be in the middle of when their process is forked.

A library that such a thread is inside of may hold a lock of its own, as SQLite does while it opens
a database. The child would inherit that lock, and nobody there would ever release it. And a child
that inherits an open SQLite database must not open it again (:func:`close_files`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from django.db import connections

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("backsoon")


class ForkLock:
    """Held by a thread while it must not be disturbed; whoever forks waits for it, for a while."""

    def __init__(self, work: str) -> None:
        """*work* is what the thread does then, for the log: ``"the watcher was at …"``."""
        self._work = work
        self._lock = threading.Lock()
        self._holder: int | None = None
        self._forking = threading.local()

    def __enter__(self) -> None:
        self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._holder = None
        self._lock.release()

    def before_fork(self, patience: float) -> bool:
        """Wait until the work is done, at most *patience* seconds: the calling thread will fork.

        False when it is not done.
        """
        if self._holder == threading.get_ident():
            return False  # a receiver of a signal, say, forks within the work
        self._forking.waits = self._lock.acquire(timeout=patience)
        if not self._forking.waits:
            logger.warning("Backsoon: a process was forked while %s.", self._work)
        return bool(self._forking.waits)

    def after_fork_in_parent(self) -> None:
        """The work may go on."""
        if getattr(self._forking, "waits", False):
            self._forking.waits = False
            self._lock.release()


def open_files() -> list[BaseDatabaseWrapper]:
    """The connections by which the calling thread has SQLite databases open."""
    return [
        connection
        for connection in connections.all(initialized_only=True)
        if connection.vendor == "sqlite" and connection.connection is not None
    ]


def close_files(files: Iterable[BaseDatabaseWrapper]) -> None:
    """Close what :func:`open_files` found in a thread that does nothing now, before a fork.

    A child that inherits such a connection and opens the same file uses what SQLite noted of its
    parent's: its shared memory, and descriptors that may be somebody else's by then (Celery closes
    them all in an embedded beat). Source: "How To Corrupt An SQLite Database File", 2.6.
    """
    for connection in files:
        connection.inc_thread_sharing()
        try:
            connection.close()
        finally:
            connection.dec_thread_sharing()
