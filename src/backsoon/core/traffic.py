"""Which hours of the week are quiet, from what was counted in the hours that have passed.

Everything is told by the clocks of one time zone. An hour of the week is a number from 0 (Monday,
midnight to one) to 167. What was counted is known by hours of UTC; within one of them it counts as
evenly spread, and is kept by the quarters of the local hour. So where the zone lies half an hour or
a quarter beside UTC, a quiet hour is found where it really begins, and an hour of the map is made
of two. The day on which the clocks change needs no rule of its own: each quarter of an hour goes
where the clocks stood then.

An hour counts only as far as it was *observed*: some process ran, and the site was open. So a
closure makes its hour neither quiet nor busy, it only leaves less to go by.
"""

from __future__ import annotations

import datetime as dt
import enum
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

HOURS = 7 * 24
QUARTERS = 4 * HOURS

LEVELS = 5
"""How many shades of busy there are; 0 is for hours in which nobody came at all."""

QUARTER = dt.timedelta(minutes=15)
"""Offsets of time zones are whole numbers of these (all of them, since 1972)."""

STEP = dt.timedelta(minutes=30)
"""Slots begin at full and half hours."""

WEEK = dt.timedelta(weeks=1)

LEAST_OBSERVED = 0.5
"""How many times something has to be observed before it is told how many come."""

LEAST_KNOWN = HOURS // 2
"""How many hours of the week have to be known before any are compared."""

GOOD_WEEKS = 3.0
"""How often most hours have to have been observed for the averages to mean much."""

_HOUR = dt.timedelta(hours=1)
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Observation:
    """What was counted in one hour."""

    start: dt.datetime
    """A full hour of UTC."""
    requests: int
    minutes: int
    """How many of its minutes were observed."""


class Sureness(enum.Enum):
    """How much the averages mean."""

    NONE = "none"
    """Less than a week was seen, or less than half of it: nothing can be compared."""
    ROUGH = "rough"
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class Week:
    """What is known of each quarter of an hour of the week."""

    requests: tuple[float, ...]
    """All that were counted, by quarter."""
    times: tuple[float, ...]
    """How many times it was observed, by quarter."""
    since: dt.datetime | None = None
    """The first moment and the last one of it; ``None`` where there is nothing."""
    until: dt.datetime | None = None

    @property
    def rates(self) -> tuple[float | None, ...]:
        """Requests an hour, by quarter; ``None`` where too little was observed."""
        return tuple(map(_rate, self.requests, self.times))

    @property
    def observed(self) -> tuple[float, ...]:
        """Hours of observation, by hour of the week."""
        return tuple(sum(self.times[first : first + 4]) / 4 for first in range(0, QUARTERS, 4))

    @property
    def averages(self) -> tuple[float | None, ...]:
        """Requests in an average hour, by hour of the week, as far as it is known."""
        return tuple(
            _rate(sum(self.requests[first : first + 4]) / 4, sum(self.times[first : first + 4]) / 4)
            for first in range(0, QUARTERS, 4)
        )

    @property
    def sureness(self) -> Sureness:
        """How much the averages mean."""
        known = [n for n in self.observed if n >= LEAST_OBSERVED - _TINY]
        if self.since is None or self.until is None or self.until - self.since < WEEK:
            return Sureness.NONE
        if len(known) < LEAST_KNOWN:
            return Sureness.NONE
        enough = sorted(known)[len(known) // 2] >= GOOD_WEEKS - _TINY
        return Sureness.GOOD if enough else Sureness.ROUGH

    @property
    def levels(self) -> tuple[int | None, ...]:
        """How busy each hour is, from 0 (nobody came) to :data:`LEVELS` (nearly the busiest).

        By the square root: where one hour towers above all others, these still differ.
        """
        averages = self.averages
        most = max((each for each in averages if each is not None), default=0.0)
        return tuple(None if each is None else _level(each, most) for each in averages)


def _rate(requests: float, times: float) -> float | None:
    """Requests an hour, from those of some quarters of an hour; ``None``: too few to tell."""
    return 4 * requests / times if times >= LEAST_OBSERVED - _TINY else None


def _level(average: float, most: float) -> int:
    return max(1, math.ceil(LEVELS * math.sqrt(average / most))) if average else 0


NOTHING = Week((0.0,) * QUARTERS, (0.0,) * QUARTERS)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a closure would turn away, on an average week."""

    requests: float
    """Of the time that something is known about."""
    unknown: dt.timedelta
    """Of how much of it nothing is known."""
    observed: float
    """How many times, on average, the hours of it were observed that something is known about."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A stretch of the week."""

    offset: dt.timedelta
    """When it begins: from Monday, midnight."""
    length: dt.timedelta
    requests: float
    """How many come in it, on an average week."""

    @property
    def weekday(self) -> int:
        """On which day it begins; 0 is Monday."""
        return self.offset.days

    def overlaps(self, other: Slot) -> bool:
        """Whether they share any time, over the end of the week as well."""
        gap = (other.offset - self.offset) % WEEK
        return gap < self.length or WEEK - gap < other.length


def quarter_of_week(local: dt.datetime) -> int:
    """The number of the quarter of an hour that *local* lies in, from Monday, midnight."""
    return 4 * (local.weekday() * 24 + local.hour) + local.minute // 15


def fold(observations: Iterable[Observation], zone: dt.tzinfo) -> Week:
    """What *observations* say of the hours of the week by the clocks of *zone*."""
    requests, times = [0.0] * QUARTERS, [0.0] * QUARTERS
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    for each in observations:
        if each.minutes <= 0:
            continue  # nobody can say what so few requests would have been of
        start = each.start.astimezone(dt.UTC)
        since = start if since is None else min(since, start)
        until = start + _HOUR if until is None else max(until, start + _HOUR)
        for quarter in range(4):
            place = quarter_of_week((start + quarter * QUARTER).astimezone(zone))
            requests[place] += each.requests / 4
            times[place] += each.minutes / 60
    return Week(tuple(requests), tuple(times), since, until)


def cost(week: Week, start: dt.datetime, end: dt.datetime, zone: dt.tzinfo) -> Cost:
    """What a closure in ``[start, end)`` would turn away on an average week."""
    requests = observed = known = unknown = 0.0
    rates = week.rates
    for piece, length in _pieces(start.astimezone(dt.UTC), end.astimezone(dt.UTC)):
        place = quarter_of_week(piece.astimezone(zone))
        rate = rates[place]
        if rate is None:
            unknown += length
        else:
            requests += rate * length
            observed += week.times[place] * length
            known += length
    return Cost(requests, dt.timedelta(hours=unknown), observed / known if known else 0.0)


def _pieces(start: dt.datetime, end: dt.datetime) -> Iterator[tuple[dt.datetime, float]]:
    """``[start, end)`` cut at the quarters of the hour; each with its length in hours."""
    while start < end:
        into = dt.timedelta(minutes=start.minute % 15, seconds=start.second,
                            microseconds=start.microsecond)  # fmt: skip
        stop = min(end, start - into + QUARTER)
        yield start, (stop - start) / _HOUR
        start = stop


def quietest(week: Week, length: dt.timedelta, count: int = 3) -> list[Slot]:
    """The quietest slots of *length*, the quietest first; at most one for each day of the week.

    They do not overlap, and nothing in them is unknown. Of two that are as quiet the one comes
    first that has the quieter hour before and after it: a closure may take longer than planned.
    Nothing comes of a length that is not above 0 and at most a week, nor while too little is known.
    """
    if not dt.timedelta(0) < length <= WEEK or week.sureness is Sureness.NONE:
        return []
    rates = week.rates
    requests, unknown = _Sums(rates), _Sums([rate is None for rate in rates])
    hours = length / _HOUR
    ranked = []
    for number in range(WEEK // STEP):
        start = number * (STEP / _HOUR)
        if unknown.between(start, hours) > _TINY:
            continue
        wider = min(hours + 2, HOURS), start - 1
        rank = (
            round(requests.between(start, hours), 6),
            round(unknown.between(wider[1], wider[0]), 6),
            round(requests.between(wider[1], wider[0]), 6),
            start,
        )
        ranked.append((rank, Slot(number * STEP, length, requests.between(start, hours))))
    chosen: list[Slot] = []
    for _rank, slot in sorted(ranked, key=lambda each: each[0]):
        if len(chosen) == count:
            break
        if not any(slot.weekday == other.weekday or slot.overlaps(other) for other in chosen):
            chosen.append(slot)
    return chosen


class _Sums:
    """Sums over stretches of the week, of values an hour that are given by quarter."""

    def __init__(self, values: Sequence[float | None]) -> None:
        self._values = [(value or 0.0) / 4 for value in values]
        self._before = [0.0, *itertools.accumulate(self._values)]

    def between(self, start: float, length: float) -> float:
        """From hour *start* on for *length* hours, over the end of the week as well."""
        start %= HOURS
        return max(0.0, self._until(start + length) - self._until(start))

    def _until(self, hour: float) -> float:
        weeks, rest = divmod(4 * hour, QUARTERS)
        whole = int(rest)
        return weeks * self._before[-1] + self._before[whole] + (rest - whole) * self._values[whole]


def next_time(slot: Slot, after: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
    """When *slot* comes next by the clocks of *zone*, not before *after*; in UTC.

    Where the clocks skip that time it is a week later; where they show it twice it is the first.
    """
    local = after.astimezone(zone).replace(tzinfo=None)
    monday = dt.datetime.combine(local.date() - dt.timedelta(days=local.weekday()), dt.time.min)
    for week in range(-1, 4):
        moment = monday + slot.offset + week * WEEK
        found = moment.replace(tzinfo=zone).astimezone(dt.UTC)
        if found >= after and found.astimezone(zone).replace(tzinfo=None) == moment:
            return found
    raise ValueError(f"no such time in {zone} in a month")  # no zone changes its clocks weekly


def rounded(requests: float) -> int:
    """An average as one tells it: two figures, as it is no more exact than that."""
    if requests < 100:
        return round(requests)
    return int(round(requests, 1 - math.floor(math.log10(requests))))
