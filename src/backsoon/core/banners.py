"""What visitors of an open site are told about closures to come, and about reading only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .schedule import announced, continuous_span, upcoming
from .state import opens_from
from .vocabulary import Mode, Policy, State, Window


@dataclass(frozen=True, slots=True)
class Banner:
    """One thing that visitors are told, on the pages of the site."""

    mode: Mode
    """What the site does or will do with them."""
    is_now: bool
    """Whether it goes on, or is to come."""
    starts_at: dt.datetime | None
    ends_at: dt.datetime | None
    """``None`` where somebody has to open, or nobody has said."""
    window: Window | None = None
    """The plan whose words are told; ``None`` for what was switched by hand."""

    @property
    def identity(self) -> str:
        """Another one whenever anything in it is another: who dismissed it is told again."""
        window = self.window
        words = sorted((c, w.title, w.message) for c, w in window.words.items()) if window else []
        plan = (window.uid, window.sequence) if window else ("", 0)
        parts = (self.mode.value, self.is_now, self.starts_at, self.ends_at, *plan, words)
        return repr(parts)


def banners_at(
    state: State, windows: Sequence[Window], now: dt.datetime, notice: dt.timedelta
) -> tuple[Banner, ...]:
    """What visitors are told at *now*, when *state* is true: the nearest first, of each mode once.

    *notice* is how long before its start a plan is told that does not say it itself. A closed site
    is told nothing here; there the page speaks.
    """
    if state.mode is Mode.CLOSED:
        return ()
    found = []
    if state.mode is Mode.READ_ONLY:
        # An end that has passed is no promise any more.
        until = None if state.late else state.until
        found.append(Banner(Mode.READ_ONLY, True, state.since, until, state.window))
    severity = state.mode.severity
    for window in announced(windows, now, notice):
        if window.mode.severity > severity:
            found.append(_planned(window, windows, now))
            severity = window.mode.severity
    return tuple(found)


def next_turn(
    windows: Iterable[Window], now: dt.datetime, notice: dt.timedelta
) -> dt.datetime | None:
    """The first moment after *now* at which plans alone make :func:`banners_at` another.

    ``None`` for never.
    """
    moments = []
    for window in upcoming(windows, now):
        moments.append(window.starts_at)
        try:
            moments.append(window.starts_at - (notice if window.notice is None else window.notice))
        except OverflowError:  # told since the beginning of the calendar
            continue
    return min((moment for moment in moments if moment > now), default=None)


class LastClosure(NamedTuple):
    """The last moments at which a closure or reading only did this; ``None`` where none is known.

    They need not be moments of the same closure.
    """

    began: dt.datetime | None
    ended: dt.datetime | None
    ended_logins: dt.datetime | None


def last_closure(
    policy: Policy, state: State, windows: Iterable[Window], now: dt.datetime
) -> LastClosure:
    """What *policy* and *windows* still tell at *now* about closures of before."""
    past = [window for window in windows if window.starts_at <= now]
    # The number only grows: it is when the closure began, or not far from it.
    logins = (
        dt.datetime.fromtimestamp(state.generation / 1000, dt.UTC) if state.generation else None
    )
    opened = policy.switch.since if policy.switch.mode is Mode.OPEN else opens_from(policy)
    starts = [window.starts_at for window in past]
    ends = [window.ends_at for window in past]
    return LastClosure(
        began=max((m for m in (*starts, logins) if m is not None and m <= now), default=None),
        ended=max((m for m in (*ends, opened) if m is not None and m <= now), default=None),
        ended_logins=logins,
    )


def _planned(window: Window, windows: Iterable[Window], now: dt.datetime) -> Banner:
    """*window* as visitors live through it: with what touches it, until it gets worse."""
    rank = window.mode.severity
    span = continuous_span([w for w in windows if w.mode.severity >= rank], window.starts_at)
    assert span is not None  # it covers its own start
    start, end = span
    if start <= now:  # what goes on is told by itself
        start = window.starts_at
    worse = [
        w.starts_at for w in windows if w.mode.severity > rank and w.starts_at > window.starts_at
    ]
    ends = [moment for moment in (end, *worse) if moment is not None]
    return Banner(window.mode, False, start, min(ends, default=None), window)
