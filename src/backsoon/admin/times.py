"""Moments as the operator reads them: in their zone, with the exact time in UTC at hand."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Literal

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backsoon import store

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.utils.safestring import SafeString

Form = Literal["relative", "zoned", "exact", "full", "clock", "day"]
Away = Literal["until", "left"]


def time_element(moment: dt.datetime, form: Form = "relative") -> SafeString:
    """A ``<time>`` in the reader's zone with the exact moment in UTC as its title.

    *form* is ``"relative"`` ("14:05, 42 minutes ago"), ``"zoned"`` ("14:05 CET, 42 minutes ago"),
    ``"exact"`` ("14:05"; with the date when it is not today's), ``"full"`` (date, time and zone),
    ``"clock"`` ("14:05") or ``"day"`` (day of the week, date and time).
    """
    now = store.utc_now()
    utc = moment.astimezone(dt.UTC)
    texts: dict[Form, Callable[[dt.datetime, dt.datetime], str]] = {
        "relative": lambda moment, now: _relative(moment, now, _exact(moment, now)),
        "zoned": lambda moment, now: _relative(moment, now, _zoned(moment, now)),
        "exact": _exact,
        "full": lambda moment, _now: full(moment),
        "clock": lambda moment, _now: clock(moment),
        "day": lambda moment, _now: f"{day(moment)}, {clock(moment)}",
    }
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        utc.strftime("%Y-%m-%d %H:%M:%S UTC"),
        texts[form](moment, now),
    )


def _exact(moment: dt.datetime, now: dt.datetime) -> str:
    local = timezone.localtime(moment)
    is_today = local.date() == timezone.localtime(now).date()
    return date_format(local, "TIME_FORMAT" if is_today else "DATETIME_FORMAT")


def _zoned(moment: dt.datetime, now: dt.datetime) -> str:
    return f"{_exact(moment, now)} {_zone(moment)}".strip()


def full(moment: dt.datetime) -> str:
    """Date, time and zone, in the reader's zone."""
    local = timezone.localtime(moment)
    return f"{date_format(local, 'DATETIME_FORMAT')} {local.tzname() or ''}".strip()


def clock(moment: dt.datetime) -> str:
    """The time of day in the reader's zone, without its zone."""
    return date_format(timezone.localtime(moment), "TIME_FORMAT")


def day(moment: dt.datetime) -> str:
    """The day of the week and the date, in the reader's zone."""
    local = timezone.localtime(moment)
    return f"{date_format(local, 'D')} {date_format(local, 'DATE_FORMAT')}"


def period(start: dt.datetime, end: dt.datetime | None) -> SafeString:
    """From when to when, as two ``<time>`` in the reader's zone; the day and the zone once, where
    both have the same. ``None`` is an end that nobody has set.
    """
    begins, zone = timezone.localtime(start), _zone(start)
    if end is None:
        return format_html("{} {}", time_element(start, "day"), zone)
    same_day = timezone.localtime(end).date() == begins.date()
    return format_html(
        "{}{}{}{} {}",
        time_element(start, "day"),
        "" if zone == _zone(end) else f" {zone}",
        "–" if same_day else " – ",
        time_element(end, "clock" if same_day else "day"),
        _zone(end),
    )


def period_in_utc(start: dt.datetime, end: dt.datetime | None) -> str:
    """The same in UTC, short: the date of the end only where it is another one."""
    begins = start.astimezone(dt.UTC)
    if end is None:
        return f"{begins:%Y-%m-%d %H:%M} UTC"
    ends = end.astimezone(dt.UTC)
    same_day = begins.date() == ends.date()
    return f"{begins:%Y-%m-%d %H:%M}–{ends:{'%H:%M' if same_day else '%Y-%m-%d %H:%M'}} UTC"


def length(span: dt.timedelta) -> str:
    """How long, in the two largest units that are needed."""
    # Days have 24 hours here; the words of Django count months where a number of days is longer.
    start = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    if span < dt.timedelta(minutes=1):
        return ngettext("%(count)d second", "%(count)d seconds", int(span.total_seconds())) % {
            "count": int(span.total_seconds())
        }
    return timesince(start, start + span, depth=2)


def away(moment: dt.datetime, form: Away = "until") -> str:
    """How far a moment to come is away: "in 3 hours", or ("left") "3 hours left"."""
    depth = 2 if form == "left" else 1  # what is left is counted on
    span = {"span": timeuntil(moment, store.utc_now(), depth=depth)}
    return _("%(span)s left") % span if form == "left" else _("in %(span)s") % span


def _zone(moment: dt.datetime) -> str:
    return timezone.localtime(moment).tzname() or ""


def _relative(moment: dt.datetime, now: dt.datetime, said: str) -> str:
    values = {"time": said}
    if abs(now - moment) < dt.timedelta(minutes=1):
        return _("%(time)s, just now") % values if moment <= now else values["time"]
    if moment < now:
        return _("%(time)s, %(span)s ago") % (values | {"span": timesince(moment, now, depth=1)})
    return _("%(time)s, in %(span)s") % (values | {"span": timeuntil(moment, now, depth=1)})
