"""What there is to tell about closures, moment by moment.

Nobody writes news down as it happens: like the state, they follow from the closures and the clock.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .vocabulary import Window


class Kind(StrEnum):
    """What happened to a closure."""

    ANNOUNCED = "announced"
    CHANGED = "changed"
    BEGAN = "began"
    ENDED = "ended"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Closure:
    """A closure, planned or by hand, with what happened to its plan."""

    window: Window
    created_at: dt.datetime
    changed_at: dt.datetime | None = None
    """When its plan was changed last; ``None`` where it was not, or nobody knows when."""
    cancelled_at: dt.datetime | None = None
    planned: bool = True
    """Whether there was a plan, or somebody closed by hand."""

    @property
    def modified_at(self) -> dt.datetime:
        """When what is told about it changed last."""
        moments = (self.created_at, self.changed_at, self.cancelled_at)
        return max(moment for moment in moments if moment is not None)


@dataclass(frozen=True, slots=True)
class News:
    """One thing to tell."""

    kind: Kind
    at: dt.datetime
    closure: Closure


def is_public(window: Window, notice: dt.timedelta) -> bool:
    """Whether visitors may know of the plan ahead of time.

    *notice* is how long before they are told of those that do not say it themselves. Who plans a
    closure with a notice of zero wants nobody to be told.
    """
    return bool(notice if window.notice is None else window.notice)


def announced_from(closure: Closure, notice: dt.timedelta) -> dt.datetime | None:
    """When visitors were, or will be, told of the plan; ``None`` for never."""
    window = closure.window
    if not closure.planned or not is_public(window, notice):
        return None
    lead = notice if window.notice is None else window.notice
    moment = max(closure.created_at, _before(window.starts_at, lead))
    return moment if moment < window.starts_at else None


def news_of(closures: Sequence[Closure], now: dt.datetime, notice: dt.timedelta) -> list[News]:
    """What there is to tell at *now*, the latest first.

    Closures that touch or overlap count as one, as for visitors: it began once and ended once.
    """
    found = [news for closure in closures for news in _told(closure, closures, notice)]
    return sorted(
        (news for news in found if news.at <= now),
        key=lambda news: (news.at, news.closure.window.uid, news.kind),
        reverse=True,
    )


def next_news(
    closures: Iterable[Closure], now: dt.datetime, notice: dt.timedelta
) -> dt.datetime | None:
    """The first moment after *now* at which there may be more to tell."""
    moments = (
        moment
        for closure in closures
        if closure.cancelled_at is None
        for moment in (
            announced_from(closure, notice),
            closure.window.starts_at,
            closure.window.ends_at,
        )
        if moment is not None and moment > now
    )
    return min(moments, default=None)


def _told(closure: Closure, closures: Sequence[Closure], notice: dt.timedelta) -> Iterator[News]:
    window, announced_at = closure.window, announced_from(closure, notice)
    if closure.cancelled_at is not None:
        if announced_at is not None and announced_at <= closure.cancelled_at:
            yield News(Kind.CANCELLED, closure.cancelled_at, closure)
        return
    if announced_at is not None:
        yield News(Kind.ANNOUNCED, announced_at, closure)
    if _is_worth_telling(closure, announced_at):
        assert closure.changed_at is not None
        yield News(Kind.CHANGED, closure.changed_at, closure)
    others = [c for c in closures if c is not closure and c.cancelled_at is None]
    if not any(_goes_before(other.window, window) for other in others):
        yield News(Kind.BEGAN, window.starts_at, closure)
    end = window.ends_at
    if end is not None and not any(_goes_on(other.window, window, end) for other in others):
        yield News(Kind.ENDED, end, closure)


def _is_worth_telling(closure: Closure, announced_at: dt.datetime | None) -> bool:
    """Whether a change of the plan is news: not before anybody was told of the plan, and not where
    it is the end itself, which is told as such.
    """
    changed_at, window = closure.changed_at, closure.window
    if changed_at is None or not closure.planned or window.sequence == 0:
        return False
    known_from = window.starts_at if announced_at is None else announced_at
    return known_from < changed_at and (window.ends_at is None or changed_at < window.ends_at)


def _goes_before(other: Window, window: Window) -> bool:
    """Whether the site was closed already by *other*, as far as *window* closes it."""
    start = window.starts_at
    if other.mode.severity < window.mode.severity:
        return False
    if other.ends_at is not None and other.ends_at < start:
        return False
    if other.starts_at == start:
        return (-other.mode.severity, other.uid) < (-window.mode.severity, window.uid)
    return other.starts_at < start


def _goes_on(other: Window, window: Window, end: dt.datetime) -> bool:
    """Whether the site is not open at *end* because of *other*."""
    if other.starts_at > end or (other.ends_at is not None and other.ends_at < end):
        return False
    if other.ends_at == end:
        return (-other.mode.severity, other.uid) < (-window.mode.severity, window.uid)
    return True


def _before(moment: dt.datetime, span: dt.timedelta) -> dt.datetime:
    """*span* before *moment*, as far as the calendar goes."""
    try:
        return moment - span
    except OverflowError:
        return dt.datetime.min.replace(tzinfo=dt.UTC)
