"""What is true in this process now: the only object that the hot path touches.

Inputs are cached, never the answer: the gate holds the last reading of policy and windows and
resolves the state against its own clock, so that all processes turn at the same second without
anybody telling them. A request costs one comparison until the next moment at which the state would
change by itself or the lease runs out.

A process begins by knowing nothing, which counts as closed. The first request that it serves
starts the watcher and waits, briefly, for the first reading.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import connections

from . import environment, forks, inflight, store, tallies, traffic, wakeups
from .clock import since_boot
from .core import lease
from .core.state import braked, resolve_state
from .core.vocabulary import Brake, Mode, State, Why
from .exceptions import StoreUnavailableError
from .inflight import UNITS
from .keeper import Keeper, Reading
from .registrar import Stance
from .signals import committed
from .snapshots import Snapshot
from .watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("backsoon")

FIRST_READING_SECONDS = 2.0
"""How long the very first request of a process waits for the database to answer."""


@dataclass(frozen=True, slots=True)
class View:
    """A reading and the state that follows from it.

    While nothing changes, every view has the same snapshot and state, not just equal ones: what is
    prepared from them can be found again by identity.
    """

    snapshot: Snapshot
    state: State
    good_until: float = lease.FOREVER
    """On the gate's clock."""
    is_open: bool = field(init=False)
    has_plans: bool = field(init=False)
    """Whether there is any planned closure, past ones included."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_open", self.state.is_open)
        object.__setattr__(self, "has_plans", bool(self.snapshot.windows))


_UNKNOWN = View(Snapshot(), State(Mode.CLOSED, Why.UNKNOWN))


def _tells_nothing(view: View) -> bool:
    return view.snapshot is _UNKNOWN.snapshot  # also while a brake says what is in force


def _unknown_state(generation: int) -> State:
    return State(Mode.CLOSED, Why.UNKNOWN, generation=generation)


def _same_news(one: View, other: View) -> bool:
    same_epoch = one.snapshot.mark.epoch == other.snapshot.mark.epoch
    return same_epoch and one.state.mode is other.state.mode


_TIMELESS = Reading(lease_end=lease.FOREVER, offset=0.0)
"""Stands in where nothing was read: in tests."""


def _time_of_day() -> float:
    return time.time()  # looked up at each call: tests freeze it


class Gate:
    """The state of the site as this process knows it."""

    def __init__(self) -> None:
        self._subscribers: list[Callable[[View], None]] = []
        self._begin()

    def _begin(self) -> None:
        self._view: View | None = None
        self._turns = 0
        # Where nothing is read there is no lease to measure, and tests move the time of day.
        self._clock: Callable[[], float] = _time_of_day
        self._reading: Reading | None = None
        self._brake: Brake | None = None
        self._known = threading.Event()
        self._lock = threading.Lock()
        self.keeper = keeper = Keeper(self)
        files: list[BaseDatabaseWrapper] = []
        self.watcher = Watcher(
            partial(_look, keeper, files),
            self.keeper.interval,
            on_start=self._prepare_thread,
            on_stop=partial(_leave_thread, keeper),
            on_fork=partial(forks.close_files, files),
            ear=wakeups.Ears(),
        )

    # -- For the request path ------------------------------------------------------------------

    def enter(self, unit: Any) -> View:
        """Count *unit* in, then look what is true. Whoever does so has to count it out again.

        Blocks as :meth:`view` does.
        """
        UNITS[unit] = now = self._clock()
        view = self._view
        if view is None or now >= view.good_until:
            try:
                return self.view()
            except BaseException:
                del UNITS[unit]
                raise
        return view

    def view(self) -> View:
        """What is true now. Blocks only in the first request of a process, and not for long."""
        view = self._view
        if view is None:
            view = self._first_view()
        if self._clock() >= view.good_until:
            view = self._turn(view)
        return view

    @property
    def knows(self) -> bool:
        """Whether :meth:`view` answers without waiting."""
        return self._view is not None

    @property
    def store_is_reachable(self) -> bool:
        """Whether the database could be read when it was last tried, and not long ago."""
        return self.keeper.reaches_the_store

    # -- For processes and their parts ---------------------------------------------------------

    def start(self) -> None:
        """Begin to watch, for a process that no request wakes. Waits for the first reading."""
        self.view()

    def retire(self) -> None:
        """A clean end: let nobody by, sign off, stop watching. The next request begins anew."""
        self.forget()

    def subscribe(self, callback: Callable[[View], None]) -> None:
        """Call *callback* whenever another mode or another change of the switch is known.

        It is called after that took effect, in whichever thread learnt it, so it must not wait for
        anything. What it raises is logged.
        """
        if callback not in self._subscribers:
            self._subscribers.append(callback)

    # -- For those who know more ---------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot | None:
        """What was read last; ``None`` while nothing is known."""
        view = self._view
        return None if view is None or _tells_nothing(view) else view.snapshot

    @property
    def state(self) -> State:
        """What is true by what was read last; while nothing is known, nobody gets by."""
        return (self._view or _UNKNOWN).state

    def now(self) -> dt.datetime:
        """The time of day by which the state is told: the database's, where it has a clock."""
        reading = self._reading or _TIMELESS
        return dt.datetime.fromtimestamp(self._clock() + reading.offset, dt.UTC)

    def stance(self) -> Stance:
        """What is known and done now."""
        view = self.view() if self._view is not None else _UNKNOWN
        with self._lock:
            # Another thread may have brought a later view: what counts is that of the turn.
            view = self._view or view
            epoch = None if _tells_nothing(view) else view.snapshot.mark.epoch
            return Stance(epoch, view.state.mode, self._turns)

    def install(self, snapshot: Snapshot, reading: Reading | None = None) -> View:
        """Make *snapshot* what this process knows, as far as *reading* allows."""
        with self._changing():
            if reading is not None:
                self._take(reading)
            known = self.snapshot
            if known is not None and known == snapshot:
                snapshot = known
            view = self._resolved(snapshot)
            self._show(view)
            self._known.set()
        return view

    def renew(self, reading: Reading) -> None:
        """What is known was read again, and is still true."""
        with self._changing():
            known = self.snapshot
            if known is not None:
                self._take(reading)
                self._show(self._resolved(known))

    def obey(self, brake: Brake | None) -> None:
        """Let *brake*, an order given on this host, rule over what was read; ``None`` ends that.

        It was given because nothing can be read, so it needs no lease and no reading.
        """
        with self._changing():
            if brake == self._brake:
                return
            self._brake = brake
            snapshot = self._view.snapshot if self._view else _UNKNOWN.snapshot
            self._show(self._resolved(snapshot))
            self._known.set()

    def doubt(self) -> None:
        """Let nobody by until something is read again; what was known is not forgotten."""
        with self._changing():
            view = self._view
            if view is not None:
                self._show(View(view.snapshot, _unknown_state(view.state.generation)))

    def admit_ignorance(self) -> None:
        """Nothing could be read: whoever waits for it need not wait any longer."""
        if self._view is None:
            self._view = _UNKNOWN
        self._known.set()

    def refresh(self) -> None:
        """Read everything now, in the calling thread. Raises ``StoreUnavailableError``.

        If the watcher is reading and hangs, its next reading has to do.
        """
        if not self.keeper.refresh():
            self.watcher.wake()

    def forget(self) -> None:
        """Know nothing, as a process that was just born; stops the watcher."""
        self.watcher.stop()
        # Its thread may hang, and go on when we have begun anew: with a gate that nobody asks.
        self.keeper.serve(Gate())
        self._begin()

    def after_fork(self) -> None:
        """In a child process: the watcher stayed behind in the parent, and so did its locks."""
        inflight.clear()
        # What the parent counted, the parent stores.
        tallies.clear()
        traffic.take()
        self._begin()

    # -- Inside --------------------------------------------------------------------------------

    def _prepare_thread(self) -> None:
        self.keeper.registrar.name_sessions()
        store.use_short_timeouts()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock; tell the subscribers afterwards if what they care for has changed."""
        with self._lock:
            before = self._view
            yield
            after = self._view
        if after is None or (before is not None and _same_news(before, after)):
            return
        for callback in list(self._subscribers):
            try:
                callback(after)
            except Exception:
                logger.exception("Backsoon: %r failed.", callback)

    def _show(self, view: View) -> None:
        """Put *view* in force. Call with the lock held."""
        known = self._view
        if known is None or view.state.mode.severity < known.state.mode.severity:
            self._turns += 1
        self._view = view

    def _take(self, reading: Reading) -> None:
        if self._reading is not None:
            end = lease.renewed(self._reading.lease_end, reading.lease_end)
            reading = dataclasses.replace(reading, lease_end=end)
        self._reading = reading
        self._clock = since_boot

    def _turn(self, view: View) -> View:
        """The moment has come at which the state changes by itself, or the lease has run out."""
        with self._changing():
            if self._view is view:  # else the watcher brought something newer meanwhile
                self._show(self._resolved(view.snapshot))
            return self._view or view

    def _resolved(self, snapshot: Snapshot) -> View:
        policy, windows, brake = snapshot.policy, snapshot.windows, self._brake
        if brake is not None:
            policy, windows = braked(policy, windows, brake)
        elif snapshot is _UNKNOWN.snapshot:
            return _UNKNOWN
        reading = self._reading or _TIMELESS
        now = self._clock()
        moment = dt.datetime.fromtimestamp(now + reading.offset, dt.UTC)
        state = resolve_state(policy, windows, moment)
        look = state.next_look
        good_until = look.timestamp() - reading.offset if look else lease.FOREVER
        lease_end = reading.lease_end if brake is None else lease.FOREVER
        if lease.holds(lease_end, now):
            good_until = min(good_until, lease_end)
        else:
            state = _unknown_state(state.generation)
            good_until = lease.FOREVER
        known = self._view
        if known is not None and known.snapshot is snapshot and known.state == state:
            state = known.state
        return View(snapshot, state, good_until)

    def _first_view(self) -> View:
        if environment.in_test_environment():
            # A test's database is inside its transaction, out of a thread's sight; what tests want
            # to be true they say with override_maintenance.
            return self.install(Snapshot())
        try:
            self.watcher.start()
        except (OSError, RuntimeError):  # no thread or no file to be had: the next request tries
            logger.exception("Backsoon: the watcher cannot be started, so visitors get the page.")
            return _UNKNOWN
        self._known.wait(FIRST_READING_SECONDS)
        with self._lock:
            if self._view is None:  # else the first reading came at this very moment
                self._view = _UNKNOWN
            return self._view


def _look(keeper: Keeper, files: list[BaseDatabaseWrapper]) -> None:
    """What the watcher does at each tick; *files* are what it leaves open until the next one."""
    try:
        keeper.look()
    finally:
        files[:] = forks.open_files()


def _leave_thread(keeper: Keeper) -> None:
    try:
        keeper.retire()
    finally:
        connections.close_all()


gate = Gate()
"""The gate of this process."""


def _after_commit(**kwargs: Any) -> None:
    """Know at once what this process has just stored itself, and tell the others."""
    wakeups.tell()
    if gate.knows or environment.in_test_environment():
        try:
            gate.refresh()
        except StoreUnavailableError:
            gate.watcher.wake()


def connect() -> None:
    """Let the gate of this process hear of commits, and of its own birth by fork."""
    committed.connect(_after_commit, dispatch_uid="backsoon.gate")
    if hasattr(os, "register_at_fork"):  # not on Windows, where nobody is born by fork
        os.register_at_fork(
            before=lambda: gate.watcher.before_fork(),
            after_in_parent=lambda: gate.watcher.after_fork_in_parent(),
            after_in_child=gate.after_fork,
        )
