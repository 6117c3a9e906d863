"""``/admin/settings/calendar/``: what is planned and what has been, month by month.

The picture shows where in the week closures lie; the list below it says the same in words, and is
what phones and screen readers get.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format, get_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from backsoon import recurrence, store
from backsoon.core.timeline import Month, Stretch, days_between, start_of, stretch, together
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import StoreUnavailableError
from backsoon.models import Series
from backsoon.models import Window as WindowRow

from . import byhand, status, times
from .pages import NOT_STORED, render, require_change

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from .byhand import ByHand

MOST = 300
"""How many closures of one month are shown."""

MINUTE = 1 / (24 * 60)
LEAST = 45 * MINUTE
"""How wide a short closure is drawn, in days: six pixels on a screen, three on a phone."""


class Condition(StrEnum):
    """Where a closure stands."""

    RUNNING = "running"
    PLANNED = "planned"
    OVER = "over"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Closure:
    """A closure as the calendar tells of it."""

    number: int | None
    """How people call it; ``None`` for one by hand."""
    starts_at: dt.datetime
    ends_at: dt.datetime | None
    drawn_end: dt.datetime
    """Where the picture ends it; one without an end has to end somewhere on paper."""
    condition: Condition
    read_only: bool
    keep_logins: bool
    title: str
    reason: str
    by: str
    planned_start: dt.datetime
    planned_end: dt.datetime | None
    cancelled_at: dt.datetime | None
    repeats: str
    """How it comes again, in words; empty for once."""

    @property
    def url(self) -> str:
        """Where it can be changed; empty when it is too late for that."""
        if self.number is None or not self.is_ahead:
            return ""
        return reverse("backsoon_admin:planned", args=[self.number])

    @property
    def report_url(self) -> str:
        """Where it is told how it went; empty while it goes on, and for one by hand."""
        if self.number is None or self.condition is not Condition.OVER:
            return ""
        return f"{reverse('backsoon_admin:report')}?window={self.number}"

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        return f"backsoon-closure-{self.number or f'{self.starts_at:%Y%m%d%H%M%S}'}"

    @property
    def is_ahead(self) -> bool:
        """Whether it goes on, or is to come."""
        return self.condition in (Condition.RUNNING, Condition.PLANNED)

    @property
    def went_otherwise(self) -> bool:
        """Whether what came of it is not what was planned."""
        return self.condition in (Condition.OVER, Condition.RUNNING) and (
            (self.planned_start, self.planned_end) != (self.starts_at, self.ends_at)
        )

    @property
    def length(self) -> str:
        """How long it lasts, in words; empty where nobody knows."""
        return times.length(self.ends_at - self.starts_at) if self.ends_at is not None else ""


@dataclass(slots=True)
class Group:
    """Closures that touch: visitors meet them as one."""

    closures: list[Closure]

    @property
    def starts_at(self) -> dt.datetime:
        """When the first begins."""
        return self.closures[0].starts_at

    @property
    def ends_at(self) -> dt.datetime | None:
        """The one end that is true for all; ``None`` where one of them lasts until opened."""
        ends = [each.ends_at for each in self.closures]
        return None if None in ends else max(end for end in ends if end is not None)

    @property
    def drawn_end(self) -> dt.datetime:
        """Where the picture ends it."""
        return max(each.drawn_end for each in self.closures)

    @property
    def condition(self) -> Condition:
        """Where it stands as a whole."""
        found = {each.condition for each in self.closures}
        return next(each for each in Condition if each in found)

    @property
    def is_one_of_many(self) -> bool:
        """Whether it has to be said that they are one."""
        return len(self.closures) > 1

    @property
    def is_mixed(self) -> bool:
        """Whether visitors can read during a part of it."""
        return len({each.read_only for each in self.closures}) > 1


@dataclass(frozen=True, slots=True)
class Bar:
    """A group within one week of the picture."""

    group: Group
    place: Stretch

    @property
    def x(self) -> int:
        """From the left, in minutes of the week."""
        return round(self.place.left / MINUTE)

    @property
    def width(self) -> int:
        """In minutes."""
        return round(self.place.width / MINUTE)

    @property
    def column(self) -> int:
        """The column of its first day, counted from 1."""
        return self.place.first_day + 1


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the picture."""

    date: dt.date
    in_month: bool
    is_today: bool
    begins_month: str
    """The name of the month where one begins, else empty."""


@dataclass(frozen=True, slots=True)
class Week:
    """A line of the picture."""

    days: list[Day]
    bars: list[Bar]
    now: int | None
    """Where the present lies, in minutes of the week; ``None`` if in another."""


@dataclass(slots=True)
class Section:
    """A part of the list."""

    name: str
    label: str
    groups: list[Group] = field(default_factory=list)


@require_http_methods(["GET", "HEAD"])
def calendar_page(request: HttpRequest) -> HttpResponseBase:
    """The closures of one month (``?month=2030-01``; the present one without)."""
    require_change(request)
    now = store.utc_now()
    month = month_in(request.GET.get("month", ""), now)
    reading = status.read()
    try:
        begin, end = _bounds(month)
        rows, upcoming = _rows(begin, end, now), _next_after(month, now)
        by_hand = byhand.between(reading.snapshot, begin, end)
        unread = bool(reading.trouble)
    except StoreUnavailableError:
        rows, upcoming, by_hand, unread = [], None, [], True
    closures = [closure_of(row, now) for row in rows[:MOST]]
    closures += [closure_by_hand(each, now) for each in by_hand[:MOST]]
    groups = grouped(closures)
    this = Month.of(timezone.localtime(now))
    earlier, later = month.shifted(-1), month.shifted(1)
    context = {
        "title": _("Planned closures"),
        "month": month_name(month),
        "is_present": month == this,
        "earlier": earlier,
        "later": later,
        "weekdays": _weekdays(),
        "weeks": picture(month, groups, now),
        "sections": sections(groups),
        "left_out": max(len(rows) - MOST, 0),
        "upcoming": closure_of(upcoming, now) if upcoming else None,
        "unread": unread,
        "zone": timezone.get_current_timezone_name(),
        "may_see_history": status.may_see_history(request.user),
        "backsoon_reading": reading,
    }
    return render(
        request, "backsoon/admin/calendar.html", context, NOT_STORED if unread else 200
    )  # fmt: skip


_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})", re.ASCII)


def month_in(text: str, now: dt.datetime) -> Month:
    """The month that *text* names; the present one where it names none."""
    found = _MONTH.fullmatch(text)
    if found is not None:
        try:
            return Month(int(found[1]), int(found[2]))
        except ValueError:
            pass
    return Month.of(timezone.localtime(now))


def month_name(month: Month) -> str:
    """The month for people."""
    return date_format(month.first, "YEAR_MONTH_FORMAT")


# -- What is read ------------------------------------------------------------------------------


def _bounds(month: Month) -> tuple[dt.datetime, dt.datetime]:
    """From when to when the picture of *month* has a place for closures."""
    zone = timezone.get_current_timezone()
    weeks = month.weeks(_first_weekday())
    last = weeks[-1][-1] + dt.timedelta(days=1)
    return start_of(weeks[0][0], zone), start_of(last, zone)


def _rows(begin: dt.datetime, end: dt.datetime, now: dt.datetime) -> list[WindowRow]:
    """The planned closures of which a part lies in ``[begin, end)``, the earliest first."""
    reaches = Q(ends_at__gt=begin) | (Q(ends_at=None) & Q(starts_at__gte=begin))
    if now >= begin:
        # One without an end is drawn until now, and one that goes on belongs to the present.
        reaches |= Q(ends_at=None)
    with store.translated_errors():
        rows = WindowRow.objects.using(store.alias()).filter(reaches, starts_at__lt=end)
        return list(rows.select_related("series").order_by("starts_at", "pk"))


def _next_after(month: Month, now: dt.datetime) -> WindowRow | None:
    """The next closure to come that *month* does not show."""
    following = month.shifted(1)
    if following is None:
        return None
    zone = timezone.get_current_timezone()
    after = max(start_of(following.first, zone), now)
    with store.translated_errors():
        rows = WindowRow.objects.using(store.alias()).filter(cancelled_at=None)
        return rows.filter(starts_at__gte=after).order_by("starts_at").first()


def closure_of(row: WindowRow, now: dt.datetime) -> Closure:
    """*row* as the calendar tells of it."""
    condition = condition_of(row, now)
    return Closure(
        number=row.pk,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        drawn_end=row.ends_at or _drawn_end(row.starts_at, now, condition),
        condition=condition,
        read_only=row.mode == Mode.READ_ONLY.value,
        keep_logins=row.keep_logins,
        title=row.title,
        reason=row.reason,
        by=row.planned_by,
        planned_start=row.planned_start,
        planned_end=row.planned_end,
        cancelled_at=row.cancelled_at,
        repeats=repetition_of(row),
    )


def closure_by_hand(found: ByHand, now: dt.datetime) -> Closure:
    """A closure by hand as the calendar tells of it: nobody planned it, so it went as it went."""
    ends = found.ends_at
    return Closure(
        number=None,
        starts_at=found.starts_at,
        ends_at=ends,
        drawn_end=ends or (now if found.goes_on else found.starts_at + dt.timedelta(minutes=1)),
        condition=Condition.RUNNING if found.goes_on else Condition.OVER,
        read_only=found.mode == Mode.READ_ONLY.value,
        keep_logins=False,
        title="",
        reason=found.reason,
        by=found.by,
        planned_start=found.starts_at,
        planned_end=ends,
        cancelled_at=None,
        repeats="",
    )


def repetition_of(row: WindowRow) -> str:
    """By which rule the closure comes again, in words; empty where it does not."""
    if row.series_id is None:
        return ""
    series = row.series
    try:
        if series is None or series.ended_at is not None:
            return _("was repeated")
        first = series.first_start.astimezone(recurrence.zone_of(series.zone))
        return recurrence.described(recurrence.rule_of(series.rule), first)
    except (Series.DoesNotExist, ValidationError):  # somebody changed the rows by hand
        return _("repeated")


def condition_of(row: WindowRow, now: dt.datetime) -> Condition:
    """Where the closure stands."""
    if row.cancelled_at is not None:
        return Condition.CANCELLED
    if row.starts_at > now:
        return Condition.PLANNED
    if row.ends_at is None or row.ends_at > now:
        return Condition.RUNNING
    return Condition.OVER


def _drawn_end(start: dt.datetime, now: dt.datetime, condition: Condition) -> dt.datetime:
    """Now, where it goes on; else the end of the day of its start: as far as one can see."""
    if condition is Condition.RUNNING:
        return now
    zone = timezone.get_current_timezone()
    return start_of(start.astimezone(zone).date() + dt.timedelta(days=1), zone)


# -- What is drawn -----------------------------------------------------------------------------


def grouped(closures: Iterable[Closure]) -> list[Group]:
    """The closures as visitors meet them. What was cancelled nobody met, so it stands alone, and
    what is over is not one with what is to come.
    """
    real = [each for each in closures if each.condition is not Condition.CANCELLED]
    spans = [(each.starts_at, max(each.drawn_end, each.starts_at)) for each in real]
    groups = [Group([real[place] for place in places]) for places in together(spans)]
    groups += [Group([each]) for each in closures if each.condition is Condition.CANCELLED]
    return sorted(groups, key=lambda group: group.starts_at)


def picture(month: Month, groups: Sequence[Group], now: dt.datetime) -> list[Week]:
    """The weeks of *month* with what lies in them."""
    zone = timezone.get_current_timezone()
    today = now.astimezone(zone).date()
    weeks = []
    for dates in month.weeks(_first_weekday()):
        places = [
            (group, stretch(group.starts_at, group.drawn_end, dates[0], zone, LEAST))
            for group in groups
        ]
        here = days_between(dates[0], now, zone)
        weeks.append(
            Week(
                [_day(date, month, today) for date in dates],
                [Bar(group, place) for group, place in places if place is not None],
                round(here / MINUTE) if 0 <= here < len(dates) else None,
            )
        )
    return weeks


def _day(date: dt.date, month: Month, today: dt.date) -> Day:
    return Day(
        date,
        in_month=date.month == month.month,
        is_today=date == today,
        begins_month=date_format(date, "M") if date.day == 1 else "",
    )


def _first_weekday() -> int:
    """The first day of the week where the reader is; 0 is Monday."""
    return (int(get_format("FIRST_DAY_OF_WEEK")) - 1) % 7


def _weekdays() -> list[str]:
    monday = dt.date(2001, 1, 1)
    first = _first_weekday()
    return [date_format(monday + dt.timedelta(days=first + n), "D") for n in range(7)]


def sections(groups: Iterable[Group]) -> list[Section]:
    """The list: what goes on, what is to come, and what has been, the latest first."""
    running = Section("running", _("Running now"))
    planned = Section("planned", _("To come"))
    over = Section("over", _("What is over"))
    cancelled = Section("cancelled", _("What was cancelled"))
    by_condition = {
        Condition.RUNNING: running,
        Condition.PLANNED: planned,
        Condition.OVER: over,
        Condition.CANCELLED: cancelled,
    }
    for group in groups:
        by_condition[group.condition].groups.append(group)
    over.groups.reverse()
    return [each for each in by_condition.values() if each.groups]
