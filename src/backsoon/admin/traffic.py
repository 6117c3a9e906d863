"""Quiet hours in the admin: how busy each hour of the week is, and what a closure would cost.

:func:`heat_map` is for every page that includes ``backsoon/admin/_heatmap.html``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django.utils.dates import WEEKDAYS, WEEKDAYS_ABBR
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods

from backsoon import conf, store, traffic
from backsoon.core.traffic import HOURS, LEVELS, NOTHING, Sureness, Week, cost, rounded
from backsoon.exceptions import StoreUnavailableError
from backsoon.http.users import may_change

from . import quiet, status, times
from .pages import NOT_STORED, render

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from backsoon.traffic import Suggestion

DEFAULT_LENGTH = dt.timedelta(hours=1)

_HOUR = dt.timedelta(hours=1)
_DAY = dt.timedelta(days=1)

FARTHEST = dt.timedelta(days=366)
"""From now on, or ago, a start may be asked about."""

Span = tuple[dt.datetime, dt.datetime]


@dataclass(frozen=True, slots=True)
class Cell:
    """An hour of the week."""

    level: int | None
    """From 0 to :data:`backsoon.core.traffic.LEVELS`; ``None`` when it is not known."""
    short: str
    """What fits into a column on a phone."""
    words: str
    is_quiet: bool
    """Whether a suggested slot lies in it."""
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Row:
    """An hour of the day on all days of the week."""

    time: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Choice:
    """A suggested slot."""

    starts_at: dt.datetime
    """In UTC, as the next."""
    ends_at: dt.datetime
    words: str
    """From when to when, with day and zone."""
    cost: str
    """``about 12 requests``"""


def heat_map(length: dt.timedelta = DEFAULT_LENGTH, chosen: Span | None = None) -> dict[str, Any]:
    """What the template of the heat map gets, in the reader's zone and language.

    *length* is how long the closure takes, for the suggestions; *chosen* are start and end of the
    one that somebody plans, if there is one. Asks the database once; when that fails ``trouble`` is
    a sentence for the reader, and everything else as if nothing had been counted.
    """
    now, zone = store.utc_now(), timezone.get_current_timezone()
    trouble, week = "", NOTHING
    try:
        with status.savepoint():
            week = traffic.average_week(now, zone)
    except StoreUnavailableError:
        trouble = _("The database did not answer, so the quiet hours are not known.")
    found = traffic.suggestions(week, length, now, zone)
    marked = {hour for each in found for hour in _touched((each.starts_at, each.ends_at), zone)}
    picked = set(_touched(chosen, zone)) if chosen is not None else set()
    return {
        "trouble": trouble,
        "is_counting": conf.current().count_traffic,
        "state": _state(week),
        "is_known": week.sureness is not Sureness.NONE,
        "is_empty": week.since is None,
        "zone": timezone.get_current_timezone_name(),
        "length": _span(length),
        "days": [
            {"short": str(WEEKDAYS_ABBR[day]), "name": str(WEEKDAYS[day])} for day in range(7)
        ],
        "rows": list(_rows(week, marked, picked)),
        "legend": list(_legend(week)),
        "suggestions": [_choice(each) for each in found],
        "chosen": _told_cost(week, chosen, zone) if chosen is not None else "",
        "has_chosen": bool(picked),
    }


def _touched(span: Span, zone: dt.tzinfo) -> list[int]:
    """The hours of the week that *span* touches."""
    start, end = (moment.astimezone(dt.UTC) for moment in span)
    end = min(end, start + HOURS * _HOUR)
    found, moment = [], start
    while moment < end:
        local = moment.astimezone(zone)
        found.append(local.weekday() * 24 + local.hour)
        moment += dt.timedelta(hours=1) - dt.timedelta(
            minutes=local.minute, seconds=local.second, microseconds=local.microsecond
        )
    return found


# -- The map -----------------------------------------------------------------------------------


def _rows(week: Week, marked: set[int], picked: set[int]) -> list[Row]:
    averages, levels = week.averages, week.levels
    return [
        Row(
            f"{time:02d}:00",
            [
                Cell(
                    levels[hour],
                    _short(averages[hour]),
                    _in_words(averages[hour]),
                    hour in marked,
                    hour in picked,
                )
                for hour in range(time, HOURS, 24)
            ],
        )
        for time in range(24)
    ]


def _legend(week: Week) -> list[dict[str, Any]]:
    """Up to how many requests an hour each level goes."""
    most = max((each for each in week.averages if each is not None), default=0.0)
    return [
        {"level": level, "words": number_format(rounded(most * (level / LEVELS) ** 2))}
        for level in range(1, LEVELS + 1)
        if most
    ]


def _short(average: float | None) -> str:
    if average is None:
        return "–"
    number = rounded(average)
    if number == 0 and average:
        return "<1"
    for size, sign in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            digits = 1 if number < 10 * size else 0
            return f"{number_format(number / size, digits)}{sign}"
    return str(number)


def _in_words(average: float | None) -> str:
    return _("not known") if average is None else _about(average)


def _about(requests: float) -> str:
    number = rounded(requests)
    if number == 0:
        return _("less than one request") if requests else _("no requests")
    return ngettext("about %(number)s request", "about %(number)s requests", number) % {
        "number": number_format(number, force_grouping=True)
    }


# -- What is said ------------------------------------------------------------------------------


def _state(week: Week) -> str:
    """From how much all of it was learnt."""
    if week.since is None:
        return _(
            "Nothing was counted yet. Quiet hours can be told when the site has been open for a "
            "week."
        )
    since = times.full(week.since)
    if week.sureness is Sureness.NONE:
        return _(
            "Not enough was counted yet to tell quiet hours. Counting began on %(time)s; it takes "
            "a week in which the site is open at least half of the time."
        ) % {"time": since}
    if week.sureness is Sureness.ROUGH:
        return _(
            "Counted since %(time)s. That is less than three weeks, so take the numbers as rough."
        ) % {"time": since}
    return _("Averages of what was counted since %(time)s.") % {"time": since}


def _choice(each: Suggestion) -> Choice:
    start, end = timezone.localtime(each.starts_at), timezone.localtime(each.ends_at)
    values = {
        "weekday": WEEKDAYS[start.weekday()],
        "start": date_format(start, "TIME_FORMAT"),
        "end": date_format(end, "TIME_FORMAT"),
        "date": date_format(start, "DATE_FORMAT"),
        "zone": start.tzname() or "",
    }
    return Choice(
        each.starts_at,
        each.ends_at,
        _("%(weekday)s %(start)s to %(end)s %(zone)s, next on %(date)s") % values,
        _about(each.slot.requests),
    )


def _told_cost(week: Week, chosen: Span, zone: dt.tzinfo) -> str:
    """What the chosen time would cost, and how sure that is."""
    if week.sureness is Sureness.NONE or chosen[0] >= chosen[1]:
        return ""
    found = cost(week, *chosen, zone)
    length = chosen[1] - chosen[0]
    if found.unknown >= length:
        return _("Nothing is known of that time: the site has not been open then.")
    day = WEEKDAYS[chosen[0].astimezone(zone).weekday()]
    values = {"requests": _about(found.requests), "weekday": day}
    if length <= _DAY:
        told = _("On an average %(weekday)s, %(requests)s would be turned away in that time.")
    else:
        told = _("On average, %(requests)s would be turned away in that time.")
    sentences = [told % values]
    if found.unknown:
        sentences.append(
            _("Of %(span)s of it nothing is known, so it may be more.")
            % {"span": _span(found.unknown)}
        )
    if week.sureness is Sureness.ROUGH:
        sentences.append(_("It was counted for less than three weeks: a rough figure."))
    return " ".join(sentences)


def _span(length: dt.timedelta) -> str:
    minutes = max(1, round(length / dt.timedelta(minutes=1)))
    hours, minutes = divmod(minutes, 60)
    parts = []
    if hours:
        parts.append(ngettext("%(number)d hour", "%(number)d hours", hours) % {"number": hours})
    if minutes:
        text = ngettext("%(number)d minute", "%(number)d minutes", minutes)
        parts.append(text % {"number": minutes})
    return " ".join(parts)


# -- The page ----------------------------------------------------------------------------------

LENGTHS = {
    "15": gettext_lazy("15 minutes"),
    "30": gettext_lazy("30 minutes"),
    "60": gettext_lazy("1 hour"),
    "120": gettext_lazy("2 hours"),
    "240": gettext_lazy("4 hours"),
    "480": gettext_lazy("8 hours"),
    "1440": gettext_lazy("24 hours"),
}
"""By minutes."""


class QuietHoursForm(forms.Form):
    """How long the closure takes, and a start to ask about."""

    length = forms.ChoiceField(
        label=gettext_lazy("How long it takes"), choices=list(LENGTHS.items()), initial="60"
    )
    start = forms.DateTimeField(
        label=gettext_lazy("If it began at (optional)"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )

    def clean_start(self) -> dt.datetime | None:
        """Not so far away that no calendar reaches there."""
        start: dt.datetime | None = self.cleaned_data["start"]
        if start is not None and abs(start - store.utc_now()) > FARTHEST:
            raise forms.ValidationError(_("Give a time within a year."))
        return start

    @property
    def wanted(self) -> dt.timedelta:
        """How long."""
        given = self.cleaned_data.get("length") if self.is_bound else None
        return dt.timedelta(minutes=int(given)) if given else DEFAULT_LENGTH

    @property
    def chosen(self) -> Span | None:
        """From when to when, if a start was given."""
        start = self.cleaned_data.get("start") if self.is_bound else None
        return (start, start + self.wanted) if start is not None else None


@require_http_methods(["GET", "HEAD"])
def quiet_hours_page(request: HttpRequest) -> HttpResponseBase:
    """How busy each hour of the week is; ``?length=`` (minutes) and ``?start=`` ask about one."""
    if not quiet.may_see(request.user):
        raise PermissionDenied(_("How busy the site is, is for administrators to see."))
    form = QuietHoursForm(request.GET if "length" in request.GET else None)
    form.is_valid()
    heat = heat_map(form.wanted, form.chosen)
    links, plans = status.links(), may_change(request.user)
    context = {
        "title": _("Quiet hours"),
        "parent": {"url": links["calendar_url"], "label": _("Planned closures")}
        if plans and links["calendar_url"]
        else None,
        "form": form,
        "heat": heat,
        "plan_url": links["plan_url"] if plans else "",
        "backsoon_reading": status.last_known(),
    }
    code = NOT_STORED if heat["trouble"] else 200
    return render(request, "backsoon/admin/quiet_hours.html", context, code)
