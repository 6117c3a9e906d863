"""Rules of recurrence as people write and read them."""

from __future__ import annotations

import calendar
import datetime as dt
from itertools import islice
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.utils import formats
from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from .core.recurrence import DAYS, LONGEST_RULE, Flaw, Frequency, Rule, RuleError, parse, starts

PRESETS = ("daily", "weekly", "biweekly", "monthly")
"""What can be said instead of a rule; each means the day of the first start."""


def preset(name: str, start: dt.datetime) -> str:
    """The rule that *name* stands for, for a first *start* in its own time zone.

    ``monthly`` is the same weekday of the month: the second Sunday, say, or the last.
    """
    nth = (start.day - 1) // 7 + 1
    day = DAYS[start.weekday()]
    rules = {
        "daily": "FREQ=DAILY",
        "weekly": f"FREQ=WEEKLY;BYDAY={day}",
        "biweekly": f"FREQ=WEEKLY;INTERVAL=2;BYDAY={day}",
        "monthly": f"FREQ=MONTHLY;BYDAY={nth if nth < 5 else -1}{day}",
    }
    return rules[name]


def rule_of(text: str) -> Rule:
    """Read a rule. Raises ``ValidationError`` with what is wrong."""
    try:
        return parse(text)
    except RuleError as error:
        raise ValidationError(_sentence(error)) from None


def _sentence(error: RuleError) -> str:
    where = {"where": error.where}
    match error.flaw:
        case Flaw.LENGTH:
            return _("A rule has %(limit)d characters at most.") % {"limit": LONGEST_RULE}
        case Flaw.FREQUENCY:
            return _("A rule says how often: FREQ=DAILY, WEEKLY, MONTHLY or YEARLY.")
        case Flaw.TIME:
            return _(
                "“%(where)s”: a closure comes once a day at most, at the time of its start."
            ) % (where)
        case Flaw.CONTRADICTION:
            return _("“%(where)s” cannot be said together, or alone.") % where
        case Flaw.VALUE:
            return _("“%(where)s” has a value that it cannot have.") % where
        case Flaw.PART:
            return _(
                "“%(where)s” is no part of a rule. Write, for example: FREQ=WEEKLY;BYDAY=SU"
            ) % (where)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this *name*. Raises ``ValidationError``."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown, a directory, a path
        raise ValidationError(
            _("There is no time zone “%(zone)s”. Write, for example: Europe/Paris"),
            params={"zone": name},
        ) from None


def occurrences(
    rule: Rule, start: dt.datetime, length: dt.timedelta, zone: ZoneInfo, count: int
) -> list[tuple[dt.datetime, dt.datetime]]:
    """Start and end (UTC) of the first *count* closures by *rule*, within ten years."""
    first = start.astimezone(zone)
    found = islice(starts(rule, first, later(first, dt.timedelta(days=3653))), count)
    return [(moment, moment + length) for moment in found]


def later(moment: dt.datetime, span: dt.timedelta) -> dt.datetime:
    """*span* after *moment*, as far as the calendar goes."""
    try:
        return moment + span
    except OverflowError:
        return dt.datetime.max.replace(tzinfo=moment.tzinfo)


# -- In words ----------------------------------------------------------------------------------


def described(rule: Rule, start: dt.datetime) -> str:
    """*rule* in words, for a first *start* in the rule's own time zone."""
    often = _often(rule, start) or _("by the rule %(rule)s") % {"rule": _raw(rule)}
    if rule.count is not None:
        times = ngettext("%(count)d time", "%(count)d times", rule.count) % {"count": rule.count}
        return f"{often}, {times}"
    if rule.until is not None:
        until = rule.until
        if isinstance(until, dt.datetime):
            until = (until.astimezone(start.tzinfo) if until.tzinfo else until).date()
        day = formats.date_format(until, "DATE_FORMAT")
        return _("%(often)s, until %(day)s") % {"often": often, "day": day}
    return often


def _often(rule: Rule, start: dt.datetime) -> str:
    """What can be said in a few words; empty for the rest."""
    if rule.positions:
        return ""
    number = {"number": rule.interval}
    named = [day.day for day in rule.weekdays]
    match rule.frequency:
        case Frequency.DAILY if not (rule.weekdays or rule.month_days or rule.months):
            return ngettext("every day", "every %(number)d days", rule.interval) % number
        case Frequency.WEEKLY if not rule.months:
            days = ", ".join(str(WEEKDAYS[day]) for day in sorted(named or [start.weekday()]))
            every = ngettext("every week", "every %(number)d weeks", rule.interval) % number
            return _("%(every)s on %(days)s") % {"every": every, "days": days}
        case Frequency.MONTHLY if not rule.months:
            return _monthly(rule, start)
        case Frequency.YEARLY if rule == Rule(Frequency.YEARLY, count=rule.count, until=rule.until):
            return _("every year on %(day)s") % {"day": f"{start.day} {MONTHS[start.month]}"}
    return ""


def _monthly(rule: Rule, start: dt.datetime) -> str:
    every = ngettext("every month", "every %(number)d months", rule.interval)
    every %= {"number": rule.interval}
    if not rule.weekdays and len(rule.month_days) <= 1:
        (day,) = rule.month_days or (start.day,)
        if day == -1:
            return _("%(every)s on the last day") % {"every": every}
        if day > 0:
            return _("%(every)s on day %(day)d") % {"every": every, "day": day}
    if len(rule.weekdays) == 1 and not rule.month_days:
        (named,) = rule.weekdays
        nth = _ordinals().get(named.nth)
        if nth:
            return _("%(every)s on the %(nth)s %(weekday)s") % {
                "every": every, "nth": nth, "weekday": WEEKDAYS[named.day],
            }  # fmt: skip
    return ""


def _ordinals() -> dict[int, str]:
    return {
        1: pgettext("weekday of the month", "first"),
        2: pgettext("weekday of the month", "second"),
        3: pgettext("weekday of the month", "third"),
        4: pgettext("weekday of the month", "fourth"),
        5: pgettext("weekday of the month", "fifth"),
        -1: pgettext("weekday of the month", "last"),
    }


def _raw(rule: Rule) -> str:
    weekdays = (f"{named.nth or ''}{DAYS[named.day]}" for named in rule.weekdays)
    parts = {
        "FREQ": rule.frequency.value,
        "INTERVAL": str(rule.interval) if rule.interval > 1 else "",
        "BYDAY": ",".join(weekdays),
        "BYMONTHDAY": ",".join(map(str, rule.month_days)),
        "BYMONTH": ",".join(map(str, rule.months)),
        "BYSETPOS": ",".join(map(str, rule.positions)),
        "WKST": DAYS[rule.week_start] if rule.week_start != calendar.MONDAY else "",
    }
    return ";".join(f"{name}={value}" for name, value in parts.items() if value)
