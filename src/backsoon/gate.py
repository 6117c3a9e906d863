"""What is true in this process now: the only object that the hot path touches.

Inputs are cached, never the answer: the gate holds the last reading of policy and windows and
resolves the state against its own clock, so that all processes turn at the same second without
anybody telling them. A request costs one comparison until the next moment at which the state would
change by itself.

A process begins by knowing nothing, which counts as closed. The first request that it serves
starts the watcher and waits, briefly, for the first reading.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from django.db import connections

from . import conf, services, store
from .core.state import resolve_state
from .core.vocabulary import Mode, State, Why
from .exceptions import BacksoonError, NotMigratedError, StoreUnavailableError
from .signals import committed
from .store import Mark, Snapshot
from .watcher import Watcher

logger = logging.getLogger("backsoon")

FIRST_READING_SECONDS = 2.0
"""How long the very first request of a process waits for the database to answer."""

PATIENCE_SECONDS = 1.0
"""How long somebody who has just switched waits for a reading that is under way."""

FULL_READING_SECONDS = 10.0
"""How often everything is read again, so that rows changed behind our back are noticed."""

_FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class View:
    """A reading and the state that follows from it, good until a moment of the wall clock."""

    snapshot: Snapshot
    state: State
    good_until: float


_UNKNOWN = View(Snapshot(), State(Mode.CLOSED, Why.UNKNOWN), _FOREVER)


class Gate:
    """The state of the site as this process knows it."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._view: View | None = None
        self._known = threading.Event()
        self._lock = threading.Lock()
        self._reading = threading.RLock()
        self._read_fully_at = -_FOREVER
        self._reachable = True
        self.watcher = Watcher(
            self._look,
            lambda: conf.current().poll,
            on_start=store.use_short_timeouts,
            on_stop=connections.close_all,
        )

    # -- For the request path ------------------------------------------------------------------

    def view(self) -> View:
        """What is true now. Blocks only in the first request of a process, and not for long."""
        view = self._view
        if view is None:
            view = self._first_view()
        if time.time() >= view.good_until:
            view = self._turn(view)
        return view

    @property
    def knows(self) -> bool:
        """Whether :meth:`view` answers without waiting."""
        return self._view is not None

    @property
    def store_is_reachable(self) -> bool:
        """Whether the last reading of the database worked."""
        return self._reachable

    # -- For those who know more ---------------------------------------------------------------

    def install(self, snapshot: Snapshot) -> View:
        """Make *snapshot* what this process knows."""
        with self._lock:
            view = self._view = _resolved(snapshot)
            self._known.set()
            return view

    def refresh(self) -> None:
        """Read everything now, in the calling thread. Raises ``StoreUnavailableError``.

        If the watcher is reading and hangs, its next reading has to do.
        """
        if not self._reading.acquire(timeout=PATIENCE_SECONDS):
            self.watcher.wake()
            return
        try:
            self._read_in_turn()
        finally:
            self._reading.release()

    def forget(self) -> None:
        """Know nothing, as a process that was just born; stops the watcher."""
        self.watcher.stop()
        self._reset()

    def after_fork(self) -> None:
        """In a child process: the watcher stayed behind in the parent, and so did its locks."""
        self._reset()

    # -- Inside --------------------------------------------------------------------------------

    def _turn(self, view: View) -> View:
        """The moment has come at which the state changes by itself."""
        with self._lock:
            if self._view is view:  # else the watcher brought something newer meanwhile
                self._view = _resolved(view.snapshot)
            return self._view or view

    def _first_view(self) -> View:
        if in_test_environment():
            # A test's database is inside its transaction, out of a thread's sight; what tests want
            # to be true they say with override_maintenance.
            return self.install(Snapshot())
        self.watcher.start()
        self._known.wait(FIRST_READING_SECONDS)
        with self._lock:
            if self._view is None:  # else the first reading came at this very moment
                self._view = _UNKNOWN
            return self._view

    def _look(self) -> None:
        """One tick of the watcher: read the numbers, and everything if they moved."""
        try:
            due = time.monotonic() - self._read_fully_at >= FULL_READING_SECONDS
            if due or not self._reachable or store.read_mark() != self._mark:
                self._read()
            self._reachable = True
        except NotMigratedError:
            self._found_no_tables()
        except StoreUnavailableError as error:
            self._lost(error)

    @property
    def _mark(self) -> Mark | None:
        view = self._view
        return view.snapshot.mark if view is not None and view is not _UNKNOWN else None

    def _read(self) -> None:
        with self._reading:  # so that an older reading never replaces a newer one
            self._read_in_turn()

    def _read_in_turn(self) -> None:
        snapshot = store.load()
        self._read_fully_at = time.monotonic()
        self._report(snapshot)
        self.install(snapshot)
        if snapshot.changed_outside:
            try:
                services.adopt_outside_change()
            except BacksoonError as error:
                logger.warning("Backsoon: could not record an outside change: %s", error)

    def _report(self, snapshot: Snapshot) -> None:
        known = self._view.snapshot.broken if self._view else ()
        for broken in snapshot.broken:
            if broken not in known:
                logger.warning(
                    "Backsoon: the stored value %r of %s cannot be used (%s) The default stands "
                    "in. Correct it in the settings, or see: manage.py maintenance doctor",
                    broken.value, broken.key, broken.message,
                )  # fmt: skip

    def _found_no_tables(self) -> None:
        connections[store.alias()].close()
        if self._view is None or self._view is _UNKNOWN:
            logger.warning("Backsoon: no tables yet; the site is open. Run: manage.py migrate")
            self.install(Snapshot())

    def _lost(self, error: Exception) -> None:
        connections[store.alias()].close()
        if self._reachable:
            logger.warning(
                "Backsoon: the database cannot be read (%s). %s", error,
                "The last known state stays in force." if self._mark is not None
                else "Nothing is known yet, so visitors get the maintenance page.",
            )  # fmt: skip
        self._reachable = False
        if self._view is None:
            self._view = _UNKNOWN
        self._known.set()


def _resolved(snapshot: Snapshot) -> View:
    moment = dt.datetime.fromtimestamp(time.time(), dt.UTC)
    state = resolve_state(snapshot.policy, snapshot.windows, moment)
    change = state.next_change
    return View(snapshot, state, change.timestamp() if change else _FOREVER)


def in_test_environment() -> bool:
    """Whether Django's ``setup_test_environment()`` is in force (also under pytest-django)."""
    utils = sys.modules.get("django.test.utils")
    return hasattr(getattr(utils, "_TestState", None), "saved_data")


gate = Gate()
"""The gate of this process."""


def _after_commit(**kwargs: Any) -> None:
    """Know at once what this process has just stored itself."""
    if gate.knows or in_test_environment():
        try:
            gate.refresh()
        except StoreUnavailableError:
            gate.watcher.wake()


def connect() -> None:
    """Let the gate of this process hear of commits, and of its own birth by fork."""
    committed.connect(_after_commit, dispatch_uid="backsoon.gate")
    os.register_at_fork(after_in_child=gate.after_fork)
