"""Where closures lie on a calendar: months, weeks, and how far along a day a moment is.

A day is divided by time that really passes, so that one of 23 or 25 hours is as wide as any other
and nothing in it overlaps or goes backwards.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

DAYS_OF_WEEK = 7

FIRST_YEAR, LAST_YEAR = 1970, 9000
"""What years a calendar shows; nearer to the ends of time a zone's offset leads beyond them."""


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of a year."""

    year: int
    month: int

    def __post_init__(self) -> None:
        if not (FIRST_YEAR <= self.year <= LAST_YEAR and 1 <= self.month <= 12):
            raise ValueError(f"{self.year}-{self.month} is no month of the calendar")

    @classmethod
    def of(cls, moment: dt.datetime | dt.date) -> Month:
        """The month of *moment*, by the clocks of its own zone."""
        return cls(moment.year, moment.month)

    @property
    def first(self) -> dt.date:
        """Its first day."""
        return dt.date(self.year, self.month, 1)

    def shifted(self, months: int) -> Month | None:
        """So many *months* later; ``None`` beyond the calendar."""
        number = self.year * 12 + self.month - 1 + months
        try:
            return Month(number // 12, number % 12 + 1)
        except ValueError:
            return None

    def weeks(self, first_weekday: int) -> list[list[dt.date]]:
        """The weeks that have a day of it, whole; *first_weekday* is 0 for Monday."""
        first = self.first.toordinal()
        begin = first - (self.first.weekday() - first_weekday) % DAYS_OF_WEEK
        end = dt.date(self.year + self.month // 12, self.month % 12 + 1, 1).toordinal()
        return [
            [dt.date.fromordinal(week + day) for day in range(DAYS_OF_WEEK)]
            for week in range(begin, end, DAYS_OF_WEEK)
        ]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one week shows of a span."""

    first_day: int
    """0 to 6."""
    days: int
    """How many days it touches; 1 to 7."""
    left: float
    """Where it begins, in days of the week: 0.0 to 7.0."""
    width: float
    """In days, too."""
    comes_from_before: bool
    goes_on: bool


def start_of(day: dt.date, zone: dt.tzinfo) -> dt.datetime:
    """The moment at which *day* begins in *zone*, in UTC, also where clocks jump over midnight."""
    return dt.datetime.combine(day, dt.time.min, tzinfo=zone).astimezone(dt.UTC)


def days_between(first: dt.date, moment: dt.datetime, zone: dt.tzinfo) -> float:
    """How many days of *zone* lie between the begin of *first* and *moment*, with a fraction."""
    day = moment.astimezone(zone).date()
    begin, end = start_of(day, zone), start_of(day + dt.timedelta(days=1), zone)
    part = (moment - begin) / (end - begin) if end > begin else 0.0
    return (day - first).days + min(max(part, 0.0), 1.0)


def stretch(
    start: dt.datetime, end: dt.datetime, first: dt.date, zone: dt.tzinfo, least: float = 0.0
) -> Stretch | None:
    """What the week that begins with *first* shows of ``[start, end)``; ``None`` for nothing.

    It is at least *least* days wide, so that a short closure can be seen.
    """
    week_begins = start_of(first, zone)
    week_ends = start_of(first + dt.timedelta(days=DAYS_OF_WEEK), zone)
    if start >= week_ends or end <= week_begins or end <= start:
        return None
    left = max(days_between(first, start, zone), 0.0)
    right = min(days_between(first, end, zone), float(DAYS_OF_WEEK))
    first_day = min(int(left), DAYS_OF_WEEK - 1)
    # What ends at midnight does not touch the day that begins then.
    last_day = min(max(-int(-right // 1) - 1, first_day), DAYS_OF_WEEK - 1)
    width = min(max(right - left, least), float(DAYS_OF_WEEK))
    return Stretch(
        first_day=first_day,
        days=last_day - first_day + 1,
        left=min(left, DAYS_OF_WEEK - width),
        width=width,
        comes_from_before=start < week_begins,
        goes_on=end > week_ends,
    )


def together(spans: Sequence[tuple[dt.datetime, dt.datetime]]) -> list[list[int]]:
    """Which of *spans* touch or overlap one another, by their places, in order of time."""
    groups: list[list[int]] = []
    reach: dt.datetime | None = None
    for place in sorted(range(len(spans)), key=lambda each: spans[each]):
        start, end = spans[place]
        if reach is not None and start <= reach:
            groups[-1].append(place)
            reach = max(reach, end)
        else:
            groups.append([place])
            reach = end
    return groups
