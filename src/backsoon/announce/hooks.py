"""When to deliver: by the watcher, by a function of the project's, or not here at all.

Neither a request nor a tick of the watcher ever waits for a mail server.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connections

from backsoon import conf, environment, outbox, store
from backsoon.exceptions import BacksoonError
from backsoon.forks import ForkLock
from backsoon.signals import outbox_filled, ticked

from . import delivering

logger = logging.getLogger("backsoon")

LOOK_SECONDS = 30.0
"""How often a process looks whether anything is to be sent, without having been told."""

ROUND_SECONDS = 20.0
"""How long a round in a process of the site may go on; the next one takes it from there."""

TIDY_SECONDS = 3600.0
"""How often it is seen to that nobody is known for longer than said, also where all is quiet."""

FORK_SECONDS = 0.5
"""How long a fork waits for a round. One without anything to send takes some milliseconds; one that
sends takes much longer than anybody should have to wait.
"""

WATCHER = "backsoon-watcher"
"""What the watcher's thread is called."""


class Courier:
    """Starts a thread for a round when there is something to do. One for each process."""

    def __init__(self) -> None:
        self._look_at = 0.0
        self._tidy_at = 0.0
        self._mark: Any = None
        self._begin()

    def _begin(self) -> None:
        self._thread: threading.Thread | None = None
        self._busy = ForkLock("messages were being delivered")

    def before_fork(self) -> None:
        """Wait until no round is under way, as nearly always after a moment."""
        self._busy.before_fork(FORK_SECONDS)

    def after_fork_in_parent(self) -> None:
        """The next round may begin."""
        self._busy.after_fork_in_parent()

    def after_fork_in_child(self) -> None:
        """The thread stayed behind in the parent, and so did who holds the lock."""
        self._begin()

    def fill(self, **kwargs: Any) -> None:
        """There is something new: look at once."""
        self._look_at = 0.0
        call = conf.current().deliver
        if callable(call):
            if threading.current_thread().name == WATCHER:
                self._start(lambda: _call(call))  # a broker that is away takes its time
            else:
                _call(call)

    def tick(self, mark: Any = None, **kwargs: Any) -> None:
        """The watcher has looked."""
        if mark != self._mark:
            self._mark, self._look_at = mark, 0.0  # another process may have written something
        if time.monotonic() < self._look_at or conf.current().deliver == "command":
            return
        if not (outbox.is_used() or outbox.visitors_may_ask()):
            return
        if self._start(self._round):
            self._look_at = time.monotonic() + LOOK_SECONDS

    def _start(self, work: Callable[[], None]) -> bool:
        if environment.in_test_environment():
            return False
        if self._thread is not None and self._thread.is_alive():
            return False
        self._thread = threading.Thread(
            target=self._carry_out, args=(work,), name="backsoon-courier", daemon=True
        )
        self._thread.start()
        return True

    def _carry_out(self, work: Callable[[], None]) -> None:
        with self._busy:
            _in_thread(work)

    def _round(self) -> None:
        if time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + TIDY_SECONDS
            delivering.tidy(store.utc_now())
        call = conf.current().deliver
        if callable(call):
            if delivering.is_due(store.utc_now()):
                _call(call)
            return
        end = time.monotonic() + ROUND_SECONDS
        if delivering.is_due(store.utc_now()):
            delivering.run(stop=lambda: time.monotonic() > end)
            if time.monotonic() > end:
                self._look_at = 0.0


def _call(call: Callable[[], Any]) -> None:
    try:
        call()
    except Exception:
        logger.exception("Backsoon: the function of DELIVER failed. It is called again later.")


def _in_thread(work: Callable[[], None]) -> None:
    try:
        work()
    except BacksoonError as error:
        logger.warning("Backsoon: messages could not be delivered: %s", error)
    except Exception:
        logger.exception("Backsoon: messages could not be delivered.")
    finally:
        connections.close_all()


courier = Courier()


def connect() -> None:
    """Let the signals find this process's courier."""
    outbox_filled.connect(courier.fill, dispatch_uid="backsoon.announce.fill")
    ticked.connect(courier.tick, dispatch_uid="backsoon.announce.tick")
    if hasattr(os, "register_at_fork"):  # not on Windows, where nobody is born by fork
        os.register_at_fork(
            before=courier.before_fork,
            after_in_parent=courier.after_fork_in_parent,
            after_in_child=courier.after_fork_in_child,
        )
