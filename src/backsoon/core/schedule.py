"""Windows on a time line.

A closure is described by where it lies, not by events that somebody has to fire: every process
asks the same question of the same windows and turns at the same second.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from .vocabulary import Window


def windows_at(windows: Iterable[Window], now: dt.datetime) -> list[Window]:
    """The windows that cover *now*, earliest start first."""
    return sorted((w for w in windows if w.covers(now)), key=lambda w: w.starts_at)


def continuous_span(
    windows: Sequence[Window], now: dt.datetime
) -> tuple[dt.datetime, dt.datetime | None] | None:
    """Start and end of the unbroken closure around *now*, or ``None`` when no window covers it.

    Windows that touch or overlap count as one, because a visitor who is told the end of the first
    would come back to the second. An end of ``None`` means that some window lasts until opened.
    """
    for start, end in merged_spans(windows):
        if start <= now and (end is None or now < end):
            return start, end
    return None


def merged_spans(windows: Iterable[Window]) -> list[tuple[dt.datetime, dt.datetime | None]]:
    """The windows as disjoint spans in order of time; touching ones are joined."""
    spans: list[tuple[dt.datetime, dt.datetime | None]] = []
    for window in sorted(windows, key=lambda w: w.starts_at):
        if spans:
            start, end = spans[-1]
            if end is None:
                break
            if window.starts_at <= end:
                later = None if window.ends_at is None else max(end, window.ends_at)
                spans[-1] = (start, later)
                continue
        spans.append((window.starts_at, window.ends_at))
    return spans


def next_boundary(windows: Iterable[Window], now: dt.datetime) -> dt.datetime | None:
    """The first start or end of any window after *now*."""
    edges = (
        edge
        for window in windows
        for edge in (window.starts_at, window.ends_at)
        if edge is not None and edge > now
    )
    return min(edges, default=None)


def upcoming(windows: Iterable[Window], now: dt.datetime) -> list[Window]:
    """The windows that have not begun, the next one first."""
    return sorted((w for w in windows if w.starts_at > now), key=lambda w: w.starts_at)


def announced(windows: Iterable[Window], now: dt.datetime, notice: dt.timedelta) -> list[Window]:
    """Those to come that visitors are told about by *now*, the next one first.

    *notice* is how long before for those that do not say it themselves; zero tells of none.
    """
    return [
        window
        for window in upcoming(windows, now)
        if window.starts_at - now <= (notice if window.notice is None else window.notice)
    ]


def clashing(
    windows: Iterable[Window], start: dt.datetime, end: dt.datetime | None
) -> list[Window]:
    """The windows that touch or overlap ``[start, end)``, earliest first: they become one closure.

    *end* is ``None`` for one that lasts until somebody opens.
    """
    return sorted(
        (
            window
            for window in windows
            if (end is None or window.starts_at <= end)
            and (window.ends_at is None or window.ends_at >= start)
        ),
        key=lambda w: w.starts_at,
    )
