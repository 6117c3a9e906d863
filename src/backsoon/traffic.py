"""Counting requests by the hour: in memory on the request path, stored by the watcher.

A request adds one to a number of its process. At each tick the watcher takes what came since the
last one and keeps it with its hour; once a minute it adds that to the rows that all processes
share. So a process that is killed takes at most a minute of its counts with it, and one that cannot
reach the database keeps them until it can.

With the requests goes which minutes were observed, as bits that are joined: however many processes
ran in a minute, it is one, and a minute in which the site was closed or nobody ran is none.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q

from . import conf, store
from .clock import since_boot
from .core.traffic import Observation, Slot, Week, fold, next_time, quietest
from .counters import Counter
from .exceptions import StoreUnavailableError
from .models import Traffic

logger = logging.getLogger("backsoon")

KEPT_WEEKS = 8
"""For how long counts are kept, so that last spring does not rule."""

KEPT_HOURS = KEPT_WEEKS * 7 * 24

FLUSH_SECONDS = 60.0
"""How often the counts of a process are stored."""

AT_ONCE = 10
"""How many hours are stored at once: the watcher has more urgent things to do."""

LONGEST_TICK = dt.timedelta(minutes=2)
"""Between two looks that lie further apart the process stood still: nothing was observed."""

_HOUR = dt.timedelta(hours=1)
_MINUTE = dt.timedelta(minutes=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_arrivals = Counter()

arrive = _arrivals.count
"""Count a request."""

take = _arrivals.take
"""How many requests were counted since this was asked last; for one thread only."""


@dataclass(slots=True)
class _Count:
    """What a process saw of one hour and has not stored yet."""

    requests: int = 0
    minutes: int = 0


class Tally:
    """What one process has counted. Used by the watcher's thread alone."""

    def __init__(self) -> None:
        self._counts: dict[int, _Count] = {}
        self._seen_open: dt.datetime | None = None
        # So that processes that were started together do not all come at once.
        self._flush_at = since_boot() + random.uniform(0, FLUSH_SECONDS)  # noqa: S311
        self._failing = False

    @property
    def waiting(self) -> int:
        """How many requests are not stored yet."""
        return sum(count.requests for count in self._counts.values())

    def look(self, now: dt.datetime, *, is_open: bool) -> None:
        """Take what came since the last look; *is_open* says whether the site is open *now*."""
        requests = take()
        if not conf.current().count_traffic:
            self._seen_open = None
            self._counts.clear()
            return
        if requests:
            self._of(now).requests += requests
        if not is_open:
            self._seen_open = None
            return
        before = self._seen_open
        minute = before if before is not None and _is_a_tick(before, now) else now
        minute = minute.replace(second=0, microsecond=0)
        while minute <= now:
            self._of(minute).minutes |= 1 << minute.minute
            minute += _MINUTE
        self._seen_open = now

    def flush_when_due(self) -> None:
        """Store the counts if that was not done for a minute."""
        if since_boot() >= self._flush_at:
            self.flush()
            goes_on = self._counts and not self._failing
            self._flush_at = since_boot() + (0 if goes_on else FLUSH_SECONDS)

    def flush(self) -> None:
        """Store the counts, of :data:`AT_ONCE` hours at most.

        What cannot be stored is kept for the next time.
        """
        newest = max(self._counts, default=0)
        for hour in [hour for hour in self._counts if hour <= newest - KEPT_HOURS]:
            del self._counts[hour]
        for hour in sorted(self._counts)[:AT_ONCE]:
            count = self._counts[hour]
            try:
                add(hour, count.requests, count.minutes)
            except StoreUnavailableError as error:
                if not self._failing:  # told once: it is tried each minute
                    logger.info("Backsoon: counted requests are not stored yet: %s", error)
                self._failing = True
                return
            del self._counts[hour]
        self._failing = False

    def _of(self, moment: dt.datetime) -> _Count:
        return self._counts.setdefault(hour_of(moment), _Count())


def _is_a_tick(before: dt.datetime, now: dt.datetime) -> bool:
    return dt.timedelta(0) <= now - before <= LONGEST_TICK


def hour_of(moment: dt.datetime) -> int:
    """The number of the hour that *moment* lies in."""
    return (moment - _EPOCH) // _HOUR


def add(hour: int, requests: int, minutes: int) -> None:
    """Add to what is stored of *hour*; *minutes* are bits, and joined.

    Atomic, however many processes do so at once. Raises :class:`StoreUnavailableError`; then
    nothing was added (unless the answer alone was lost).
    """
    with store.translated_errors(), store.bounded():
        if _add(hour, requests, minutes):
            return
        rows = _rows()
        # The first in this hour also takes away what is too old; what lies in the future somebody
        # wrote whose clock was wrong. Before adding: where each statement counts for itself, a
        # failure must not leave behind what would be added once more.
        rows.filter(Q(hour__lte=hour - KEPT_HOURS) | Q(hour__gt=hour + 24)).delete()
        rows.bulk_create([Traffic(hour=hour)], ignore_conflicts=True)
        _add(hour, requests, minutes)


def _add(hour: int, requests: int, minutes: int) -> bool:
    added = _rows().filter(hour=hour)
    return bool(
        added.update(requests=F("requests") + requests, minutes=F("minutes").bitor(minutes))
    )


def observations(now: dt.datetime) -> list[Observation]:
    """What is stored of the last weeks before *now*. Raises :class:`StoreUnavailableError`."""
    last = hour_of(now)
    with store.translated_errors():
        rows = _rows().filter(hour__gt=last - KEPT_HOURS, hour__lte=last)
        found = list(rows.order_by("hour").values_list("hour", "requests", "minutes"))
    return [
        Observation(_EPOCH + hour * _HOUR, requests, int(minutes).bit_count())
        for hour, requests, minutes in found
    ]


def average_week(now: dt.datetime, zone: dt.tzinfo) -> Week:
    """What the last weeks before *now* say of each hour of the week by the clocks of *zone*.

    Raises :class:`StoreUnavailableError`.
    """
    return fold(observations(now), zone)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A quiet stretch of the week, and when it comes next."""

    slot: Slot
    starts_at: dt.datetime
    """In UTC."""

    @property
    def ends_at(self) -> dt.datetime:
        """In UTC."""
        return self.starts_at + self.slot.length


def suggestions(
    week: Week, length: dt.timedelta, now: dt.datetime, zone: dt.tzinfo, count: int = 3
) -> list[Suggestion]:
    """The quietest stretches of *length*, and when each comes next after *now*."""
    return [Suggestion(slot, next_time(slot, now, zone)) for slot in quietest(week, length, count)]


def _rows() -> Any:
    return Traffic.objects.using(store.alias())
