"""Waiting until all is quiet: the barrier behind ``maintenance on --wait``.

It may say "quiet" once every worker has acknowledged the closure that is in force now. No lease has
to be waited out for that: a process writes its row before it reads the state for the first time, so
whoever could have seen the site open stands among the rows, and has to say that it is over.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db import connections

from . import conf, store, workers
from .core import quiesce as rules
from .core.quiesce import Condition, Report, Running, Standing, Verdict
from .core.state import resolve_state
from .core.vocabulary import Mode, State, Why
from .exceptions import StoreUnavailableError
from .snapshots import Mark, Snapshot

__all__ = [
    "Condition", "Progress", "Report", "Running", "Standing", "Verdict", "look", "silent_after",
    "watch",
]  # fmt: skip

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.1
"""Seconds between two looks: often at first, when a closure with nobody on the way is over soon."""

TOLD_SECONDS = 1.0
"""How often a wait says how it goes, though nothing has changed."""

LOST_SECONDS = 120.0
"""After such a silence nobody waits for more of it."""

MARGIN = dt.timedelta(seconds=1)
"""A closure that ends by itself within this time is none that one could begin anything in."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a closure, or an opening, has come."""

    verdict: Verdict
    mark: Mark
    state: State
    elapsed: float
    """Seconds since the wait began."""
    workers: tuple[Standing, ...] = ()
    run: str = ""
    """The command that the site is closed for, while it runs."""

    @property
    def is_quiet(self) -> bool:
        """Whether it is proven that nothing ordinary runs any more."""
        return self.verdict is Verdict.QUIET

    def standing(self, *conditions: Condition) -> list[Standing]:
        """The workers that are in one of *conditions*."""
        return [worker for worker in self.workers if worker.condition in conditions]


def silent_after() -> float:
    """After how many seconds without a word something is wrong with a worker."""
    settings = conf.current()
    return max(settings.lease, workers.BEAT_SECONDS) + 2 * settings.poll


def look(
    *,
    opened: bool = False,
    elapsed: float | None = None,
    mode: Mode | None = None,
    time_is_over: bool = False,
    lost_after: float | None = None,
) -> Progress:
    """How far the closure has come that is in force now; with *opened* the opening.

    *elapsed* is how long that has been waited for, by default since the switch was moved. *mode* is
    what was closed to, if a milder one does not do. After *lost_after* seconds of silence nobody is
    waited for: by default as soon as a worker counts as silent, for whoever only looks.

    Raises :class:`StoreUnavailableError`.
    """
    reports, snapshot, now, moved = _reading()
    state = resolve_state(snapshot.policy, snapshot.windows, now)
    later = resolve_state(snapshot.policy, snapshot.windows, now + MARGIN)
    if elapsed is None:
        since = snapshot.policy.switch.since
        elapsed = max(0.0, (now - since).total_seconds()) if since else float("inf")
    epoch, patience = snapshot.mark.epoch, silent_after()
    if opened:
        conditions = [rules.condition_opened(report, epoch, patience) for report in reports]
    else:
        begun = state.since if state.why is Why.WINDOW else None
        closed_for = (now - begun).total_seconds() if begun is not None else float("inf")
        conditions = [rules.condition(report, epoch, patience, closed_for) for report in reports]
    standings = tuple(map(Standing, reports, conditions))
    if opened:
        overtaken = moved or not state.is_open
    else:
        least = Mode.READ_ONLY if mode is None else mode
        milder = min(state.mode.severity, later.mode.severity) < least.severity
        overtaken = moved or milder
    verdict = Verdict.OVERTAKEN if overtaken else rules.verdict(
        standings,
        elapsed=elapsed,
        silent_after=patience,
        lost_after=patience if lost_after is None else lost_after,
        lease=conf.current().lease,
        time_is_over=time_is_over,
    )  # fmt: skip
    run = snapshot.policy.switch.run
    return Progress(verdict, snapshot.mark, state, elapsed, standings, run)


def watch(
    seconds: float,
    *,
    opened: bool = False,
    mode: Mode | None = None,
    lost_after: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Progress]:
    """Wait at most *seconds* until it is decided: the last progress has a verdict.

    *mode* is what was closed to; without it, what the site is closed to at the first look. Yields
    at once, whenever something changes, and each second. A database that is away for a while
    is waited for as well; :class:`StoreUnavailableError` is raised when the time is over. It ends
    early where only workers are left that have been silent for *lost_after* seconds, by default
    :data:`LOST_SECONDS`.
    """
    lost_after = LOST_SECONDS if lost_after is None else lost_after
    patience = store.Patience()
    try:
        yield from _watch(seconds, opened, mode, lost_after, clock, pause, patience)
    finally:
        patience.close()


def _watch(
    seconds: float,
    opened: bool,
    mode: Mode | None,
    lost_after: float,
    clock: Callable[[], float],
    pause: Callable[[float], None],
    patience: store.Patience,
) -> Iterator[Progress]:
    began = told_at = clock()
    buried_at = float("-inf")
    last: Progress | None = None
    wait = FIRST_PAUSE
    while True:
        now = clock()
        is_over = now - began >= seconds
        progress: Progress | None = None
        with patience.limited():
            try:
                if now - buried_at >= TOLD_SECONDS:
                    workers.bury_the_dead()
                    buried_at = now
                progress = look(
                    opened=opened, elapsed=now - began, mode=mode, time_is_over=is_over,
                    lost_after=lost_after,
                )  # fmt: skip
            except StoreUnavailableError:
                connections[store.alias()].close()
                if is_over:
                    raise
        if progress is not None:
            mode = mode or progress.state.mode
            decided = progress.verdict is not Verdict.WAITING
            if decided or _has_moved(last, progress) or now - told_at >= TOLD_SECONDS:
                yield progress
                last, told_at = progress, now
            if decided:
                return
        pause(max(0.0, min(wait, began + seconds - clock())))
        wait = min(1.5 * wait, LONGEST_PAUSE)


def _reading() -> tuple[list[Report], Snapshot, dt.datetime, bool]:
    """What the workers said, what is stored, the time, and whether the switch kept moving.

    The time is that of the clock by which workers open when a timer runs out: the database's where
    it has one, for this machine's may be wrong.
    """
    attempts_left = store.READING_ATTEMPTS
    while True:
        attempts_left -= 1
        # In this order: what the rows said stayed true if the switch had not moved by then, and
        # whoever had no row yet was born too late to have seen it as it was before.
        pulse, own = store.read_pulse(), store.utc_now()
        reports = workers.reports()
        snapshot = store.load()
        moved = snapshot.mark.epoch != pulse.mark.epoch
        if not (moved and attempts_left):
            now = store.utc_now() + ((pulse.now or own) - own)
            return reports, snapshot, now, moved


def _has_moved(last: Progress | None, progress: Progress) -> bool:
    if last is None:
        return True
    return [(w.report.id, w.condition, w.report.in_flight) for w in last.workers] != [
        (w.report.id, w.condition, w.report.in_flight) for w in progress.workers
    ]
