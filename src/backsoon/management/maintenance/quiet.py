"""``maintenance quiet``: when in the week a closure turns the fewest away."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from backsoon import conf, store, traffic
from backsoon.core.traffic import LEVELS, WEEK, Sureness, Week, rounded
from backsoon.traffic import Suggestion

from . import words
from .console import usage_error
from .moments import parse_length

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console

HELP = "Say when in the week a closure turns the fewest requests away."
FAILURE = "The quiet hours are not known"

DEFAULT_LENGTH = dt.timedelta(hours=1)

HEAD = "     0     3     6     9    12    15    18    21"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--length", default="1h", metavar="LENGTH", help="How long it takes (2h, 90m); default 1h."
    )


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Tell the quietest stretches, and how busy each hour of the week is."""
    length = _length(options["length"])
    now, zone = store.utc_now(), timezone.get_current_timezone()
    week = traffic.average_week(now, zone)
    found = traffic.suggestions(week, length, now, zone)
    console.answer(_data(week, length, found), _lines(week, length, found, now))


def _length(text: str) -> dt.timedelta:
    try:
        length = parse_length(text)
    except ValueError as error:
        raise usage_error(f"{FAILURE}: --length: {error}") from None
    if not dt.timedelta(0) < length <= WEEK:
        raise usage_error(f"{FAILURE}: --length: {text} is not between a moment and 7 days.")
    return length


def _data(week: Week, length: dt.timedelta, found: list[Suggestion]) -> dict[str, Any]:
    return {
        "counting": conf.current().count_traffic,
        "sureness": week.sureness.value,
        "since": words.iso(week.since),
        "until": words.iso(week.until),
        "zone": timezone.get_current_timezone_name(),
        "length": round(length.total_seconds()),
        "quietest": [
            {
                "weekday": each.slot.weekday,
                "starts_at": words.iso(each.starts_at),
                "ends_at": words.iso(each.ends_at),
                "requests": round(each.slot.requests, 2),
            }
            for each in found
        ],
        "hours": [
            {
                "weekday": hour // 24,
                "hour": hour % 24,
                "requests": None if average is None else round(average, 2),
                "observed": round(week.observed[hour], 2),
            }
            for hour, average in enumerate(week.averages)
        ],
    }


def _lines(
    week: Week, length: dt.timedelta, found: list[Suggestion], now: dt.datetime
) -> Iterator[str]:
    if not conf.current().count_traffic:
        yield 'Requests are not counted: BACKSOON["COUNT_TRAFFIC"] is False.'
    if week.since is None:
        yield (
            "Nothing was counted yet. Quiet hours can be told when the site has been open for a "
            "week; each process stores its counts once a minute."
        )
        return
    zone = timezone.get_current_timezone_name()
    if week.sureness is Sureness.NONE:
        yield (
            f"Not enough was counted yet to tell quiet hours: counting began at "
            f"{words.clock(week.since, now)}. It takes a week in which the site is open at least "
            "half of the time."
        )
    else:
        rough = "" if week.sureness is Sureness.GOOD else ", a rough figure after so little time"
        yield f"The quietest {words.span(length)} of an average week ({zone}{rough}):"
        yield from _suggested(found, now)
    yield ""
    yield from _table(week)


def _suggested(found: list[Suggestion], now: dt.datetime) -> Iterator[str]:
    if not found:
        yield "  None is known well enough all the way through. Ask for less: --length 1h"
    for each in found:
        start = timezone.localtime(each.starts_at)
        yield (
            f"  {calendar.day_name[each.slot.weekday]} {start:%H:%M} to "
            f"{timezone.localtime(each.ends_at):%H:%M}: {about(each.slot.requests)}; next at "
            f"{words.clock(each.starts_at, now)}, in {words.span(each.starts_at - now)}"
        )


def about(requests: float) -> str:
    """An average in words."""
    number = rounded(requests)
    if number == 0:
        return "no requests" if requests == 0 else "less than one request"
    return f"about {number:,} request{'' if number == 1 else 's'}"


def _table(week: Week) -> Iterator[str]:
    """How busy each hour is, by figures: one line for each day, one column for each hour."""
    yield f"{HEAD}   requests a day"
    levels, averages = week.levels, week.averages
    for day in range(7):
        hours = slice(24 * day, 24 * day + 24)
        figures = " ".join("-" if level is None else str(level) for level in levels[hours])
        total = rounded(sum(each or 0.0 for each in averages[hours]))
        yield f"{calendar.day_abbr[day]}  {figures}   {total:,}"
    most = max((each for each in averages if each is not None), default=0.0)
    yield (
        f"0: nobody; 1 to {LEVELS}: up to {_limits(most)} requests an hour; -: not known. Counted "
        f"in {sum(week.observed):,.0f} hours of the last {traffic.KEPT_WEEKS} weeks."
    )


def _limits(most: float) -> str:
    limits = [rounded(most * (level / LEVELS) ** 2) for level in range(1, LEVELS + 1)]
    return ", ".join(f"{limit:,}" for limit in limits)
