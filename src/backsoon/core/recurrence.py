"""Days that come again and again, by the part of RFC 5545's RRULE that makes sense for closures.

A rule names days; the time of day is that of the first start. Every question here is asked up to a
last day, so that no rule, however strange, can take long: one that fits no day at all would run to
the end of the calendar elsewhere.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

LONGEST_RULE = 200
"""Characters of a rule, at most."""

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


class Frequency(StrEnum):
    """What a rule steps through."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    YEARLY = "YEARLY"


class Flaw(StrEnum):
    """What can be wrong with a rule."""

    LENGTH = "length"
    """It is longer than :data:`LONGEST_RULE`."""
    PART = "part"
    """A part is no ``NAME=VALUE``, unknown, or given twice."""
    VALUE = "value"
    """A part has a value that it cannot have."""
    FREQUENCY = "frequency"
    """There is no FREQ."""
    TIME = "time"
    """It says a time of day, or steps faster than by days."""
    CONTRADICTION = "contradiction"
    """Two parts cannot stand together."""


class RuleError(ValueError):
    """A rule that cannot be read: what is wrong, and where."""

    def __init__(self, flaw: Flaw, where: str = "") -> None:
        super().__init__(f"{flaw}: {where}")
        self.flaw = flaw
        self.where = where


@dataclass(frozen=True, slots=True)
class Weekday:
    """A day of the week (0 is Monday), or its first, second, last (-1) … in the month or year."""

    day: int
    nth: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was read."""

    frequency: Frequency
    interval: int = 1
    count: int | None = None
    until: dt.date | dt.datetime | None = None
    """The last day; or the last moment, by the rule's own clocks or (aware) in UTC."""
    weekdays: tuple[Weekday, ...] = ()
    month_days: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    week_start: int = 0


# -- Reading -----------------------------------------------------------------------------------

_TIMES = {"BYHOUR", "BYMINUTE", "BYSECOND"}
_FASTER = {"HOURLY", "MINUTELY", "SECONDLY"}


def parse(text: str) -> Rule:
    """Read a rule such as ``FREQ=MONTHLY;BYDAY=2SU``. Raises :class:`RuleError`."""
    if len(text) > LONGEST_RULE:
        raise RuleError(Flaw.LENGTH)
    given = _parts(text)
    if "FREQ" not in given:
        raise RuleError(Flaw.FREQUENCY)
    frequency = _frequency(given["FREQ"])
    rule = Rule(
        frequency,
        interval=_number("INTERVAL", given, 1, 1000) or 1,
        count=_number("COUNT", given, 1, 1000),
        until=_until(given["UNTIL"]) if "UNTIL" in given else None,
        weekdays=tuple(_weekday(word, frequency) for word in _words("BYDAY", given)),
        month_days=_numbers("BYMONTHDAY", given, 31),
        months=_months(given),
        positions=_numbers("BYSETPOS", given, 366),
        week_start=_weekday(given.get("WKST", "MO"), Frequency.WEEKLY).day,
    )
    _require_sense(rule)
    return rule


def _parts(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.strip().upper().removeprefix("RRULE:").split(";"):
        name, equals, value = part.partition("=")
        if name in _TIMES:
            raise RuleError(Flaw.TIME, part)
        if not equals or not value or name not in _PARTS or name in found:
            raise RuleError(Flaw.PART, part)
        found[name] = value
    return found


_PARTS = (
    "FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST",
)  # fmt: skip


def _frequency(value: str) -> Frequency:
    if value in _FASTER:
        raise RuleError(Flaw.TIME, f"FREQ={value}")
    try:
        return Frequency(value)
    except ValueError:
        raise RuleError(Flaw.VALUE, f"FREQ={value}") from None


def _require_sense(rule: Rule) -> None:
    if rule.count is not None and rule.until is not None:
        raise RuleError(Flaw.CONTRADICTION, "COUNT, UNTIL")
    if rule.frequency is Frequency.WEEKLY and rule.month_days:
        raise RuleError(Flaw.CONTRADICTION, "WEEKLY, BYMONTHDAY")
    chooses_from = (rule.weekdays, rule.month_days, rule.months)
    if rule.positions and not any(chooses_from):
        raise RuleError(Flaw.CONTRADICTION, "BYSETPOS")


def _integer(name: str, text: str) -> int:
    digits = text.removeprefix("-").removeprefix("+") if text[:2] not in ("-+", "+-") else ""
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 4):
        raise RuleError(Flaw.VALUE, f"{name}={text}")
    return int(text)


def _number(name: str, given: dict[str, str], least: int, most: int) -> int | None:
    if name not in given:
        return None
    value = _integer(name, given[name])
    if not least <= value <= most:
        raise RuleError(Flaw.VALUE, f"{name}={given[name]}")
    return value


def _words(name: str, given: dict[str, str]) -> list[str]:
    return given[name].split(",") if name in given else []


def _numbers(name: str, given: dict[str, str], most: int) -> tuple[int, ...]:
    values = tuple(_integer(name, word) for word in _words(name, given))
    for value in values:
        if not 1 <= abs(value) <= most:
            raise RuleError(Flaw.VALUE, f"{name}={value}")
    return values


def _months(given: dict[str, str]) -> tuple[int, ...]:
    months = _numbers("BYMONTH", given, 12)
    if any(month < 1 for month in months):
        raise RuleError(Flaw.VALUE, f"BYMONTH={given['BYMONTH']}")
    return months


_NTH_AT_MOST = {Frequency.MONTHLY: 5, Frequency.YEARLY: 53}


def _weekday(word: str, frequency: Frequency) -> Weekday:
    day, nth = word[-2:], word[:-2]
    if day not in DAYS:
        raise RuleError(Flaw.VALUE, f"BYDAY={word}")
    if not nth:
        return Weekday(DAYS.index(day))
    number = _integer("BYDAY", nth)
    if not 1 <= abs(number) <= _NTH_AT_MOST.get(frequency, 0):
        raise RuleError(Flaw.VALUE, f"BYDAY={word}")
    return Weekday(DAYS.index(day), number)


def _until(text: str) -> dt.date | dt.datetime:
    for pattern in ("%Y%m%d", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%SZ"):
        try:
            moment = dt.datetime.strptime(text, pattern)  # noqa: DTZ007  (Z is told apart below)
        except ValueError:
            continue
        if "T" not in text:
            return moment.date()
        return moment.replace(tzinfo=dt.UTC) if text.endswith("Z") else moment
    raise RuleError(Flaw.VALUE, f"UNTIL={text}")


# -- Days and moments --------------------------------------------------------------------------


def starts(rule: Rule, first: dt.datetime, last: dt.datetime) -> Iterator[dt.datetime]:
    """The moments from *first* to *last*, in UTC, at the local time of day of *first*.

    *first* (aware) says by its time zone whose clocks count, and is one of them only if the rule
    fits its day. A time that clocks jump over is taken by the clocks before the jump, and of one
    that comes twice the first is meant (RFC 5545, 3.3.5).
    """
    begin = first.replace(tzinfo=None)
    last_day = last.astimezone(first.tzinfo).date()
    for day in days(rule, begin.date(), last_day):
        local = begin.replace(year=day.year, month=day.month, day=day.day)
        moment = first if local == begin else local.replace(tzinfo=first.tzinfo)
        moment = moment.astimezone(dt.UTC)
        if moment > last or _is_past(rule.until, local, moment):
            return
        yield moment


def _is_past(until: dt.date | dt.datetime | None, local: dt.datetime, moment: dt.datetime) -> bool:
    if until is None:
        return False
    if not isinstance(until, dt.datetime):
        return local.date() > until
    return (moment if until.tzinfo else local) > until


def days(rule: Rule, first: dt.date, last: dt.date) -> Iterator[dt.date]:
    """The days of *rule* from *first* to *last*, UNTIL apart."""
    left = rule.count
    for period in _periods(rule, first, last):
        for day in _chosen(rule, [day for day in period if _fits(rule, first, day)]):
            if day < first:
                continue
            if day > last or left == 0:
                return
            yield day
            left = None if left is None else left - 1


def _periods(rule: Rule, first: dt.date, last: dt.date) -> Iterator[list[dt.date]]:
    """What the rule steps through: days, weeks, months or years, each as its days."""
    step = rule.interval
    match rule.frequency:
        case Frequency.DAILY:
            for number in range(first.toordinal(), last.toordinal() + 1, step):
                yield [dt.date.fromordinal(number)]
        case Frequency.WEEKLY:
            monday = first.toordinal() - (first.weekday() - rule.week_start) % 7
            for number in range(monday, last.toordinal() + 1, 7 * step):
                yield [dt.date.fromordinal(max(number + n, 1)) for n in range(7)]
        case Frequency.MONTHLY:
            begin, end = (day.year * 12 + day.month - 1 for day in (first, last))
            for month in range(begin, end + 1, step):
                yield _month(month // 12, month % 12 + 1)
        case Frequency.YEARLY:
            for year in range(first.year, last.year + 1, step):
                yield [day for month in range(1, 13) for day in _month(year, month)]


def _month(year: int, month: int) -> list[dt.date]:
    return [dt.date(year, month, day + 1) for day in range(calendar.monthrange(year, month)[1])]


def _chosen(rule: Rule, found: list[dt.date]) -> list[dt.date]:
    if not rule.positions:
        return found
    indices = {place - 1 if place > 0 else len(found) + place for place in rule.positions}
    return [day for index, day in enumerate(found) if index in indices]


def _fits(rule: Rule, first: dt.date, day: dt.date) -> bool:
    if rule.months and day.month not in rule.months:
        return False
    if rule.month_days and not _is_month_day(rule, day):
        return False
    if rule.weekdays and not any(_is_weekday(rule, named, day) for named in rule.weekdays):
        return False
    return bool(rule.weekdays or rule.month_days) or _is_like_first(rule, first, day)


def _is_like_first(rule: Rule, first: dt.date, day: dt.date) -> bool:
    """Whether a rule that names no days means *day*, for it lies in its period as *first* does."""
    match rule.frequency:
        case Frequency.DAILY:
            return True
        case Frequency.WEEKLY:
            return day.weekday() == first.weekday()
        case Frequency.MONTHLY:
            return day.day == first.day
        case Frequency.YEARLY:
            return day.day == first.day and (bool(rule.months) or day.month == first.month)


def _is_month_day(rule: Rule, day: dt.date) -> bool:
    length = calendar.monthrange(day.year, day.month)[1]
    return day.day in rule.month_days or day.day - length - 1 in rule.month_days


def _is_weekday(rule: Rule, named: Weekday, day: dt.date) -> bool:
    if day.weekday() != named.day:
        return False
    if not named.nth:
        return True
    in_month = rule.frequency is Frequency.MONTHLY or bool(rule.months)
    number = day.day if in_month else day.timetuple().tm_yday
    length = (
        calendar.monthrange(day.year, day.month)[1] if in_month else 365 + calendar.isleap(day.year)
    )
    nth = (number - 1) // 7 + 1 if named.nth > 0 else -((length - number) // 7 + 1)
    return nth == named.nth
