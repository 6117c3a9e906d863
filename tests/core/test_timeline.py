"""Where closures lie on a calendar, in zones whose days have 23, 24, 25 hours, or none."""

from __future__ import annotations

import calendar
import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backsoon.core.schedule import merged_spans
from backsoon.core.timeline import Month, days_between, start_of, stretch, together
from backsoon.core.vocabulary import Window

ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Paris",
        "America/New_York",
        "America/Santiago",  # clocks jump over midnight
        "Australia/Lord_Howe",  # by half an hour
        "Pacific/Apia",  # has skipped a whole day
    )
]
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)

zones = st.sampled_from(ZONES)
dates = st.dates(dt.date(2010, 1, 1), dt.date(2030, 12, 31))
moments = st.builds(
    lambda date, seconds: dt.datetime.combine(date, dt.time(), dt.UTC) + seconds,
    dates,
    st.timedeltas(dt.timedelta(0), DAY),
)
lengths = st.timedeltas(dt.timedelta(seconds=1), dt.timedelta(days=20))


@given(dates, moments, lengths, zones)
def test_a_later_moment_never_lies_further_left(
    first: dt.date, moment: dt.datetime, later: dt.timedelta, zone: dt.tzinfo
) -> None:
    here, there = (days_between(first, each, zone) for each in (moment, moment + later))
    assert here <= there


@given(dates, zones)
def test_a_day_begins_at_a_whole_number(day: dt.date, zone: dt.tzinfo) -> None:
    begin = start_of(day, zone)
    if begin.astimezone(zone).date() == day:  # else the zone has no such day
        assert days_between(day, begin, zone) == 0


@given(moments, lengths, zones)
def test_the_weeks_show_every_hour_of_a_span_and_no_other(
    start: dt.datetime, length: dt.timedelta, zone: dt.tzinfo
) -> None:
    end = start + length
    monday = start.astimezone(zone).date()
    monday -= dt.timedelta(days=monday.weekday() + 7)
    shown = 0.0
    for week in range(6):
        first = monday + dt.timedelta(days=7 * week)
        place = stretch(start, end, first, zone)
        inside = start < start_of(first + 7 * DAY, zone) and end > start_of(first, zone)
        assert (place is not None) is inside
        if place is None:
            continue
        assert place.comes_from_before is (start < start_of(first, zone))
        assert place.goes_on is (end > start_of(first + 7 * DAY, zone))
        shown += place.width
    expected = days_between(monday, end, zone) - days_between(monday, start, zone)
    assert shown == pytest.approx(expected, abs=1e-6)


@given(moments, lengths, zones, st.floats(0, 1))
def test_a_stretch_lies_within_its_week_and_covers_the_days_that_it_names(
    start: dt.datetime, length: dt.timedelta, zone: dt.tzinfo, least: float
) -> None:
    first = start.astimezone(zone).date()
    place = stretch(start, start + length, first, zone, least)
    assert place is not None
    assert place.width >= least
    assert place.left >= 0
    assert place.left + place.width <= 7 + 1e-9
    assert place.first_day == 0
    last = (start + length - dt.timedelta(microseconds=1)).astimezone(zone).date()
    assert place.days == min((last - first).days, 6) + 1


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [("Europe/Paris", dt.date(2026, 3, 29), 23), ("Europe/Paris", dt.date(2026, 10, 25), 25)],
)
def test_a_day_of_23_or_25_hours_is_as_wide_as_any_other(
    zone: str, day: dt.date, hours: int
) -> None:
    begin = start_of(day, ZoneInfo(zone))
    place = stretch(begin, begin + hours * HOUR, day, ZoneInfo(zone))
    assert place is not None
    assert (place.left, place.width, place.days) == (0, 1, 1)


@given(st.lists(st.tuples(moments, lengths), max_size=12))
def test_what_is_together_is_what_visitors_meet_as_one_closure(
    given_spans: list[tuple[dt.datetime, dt.timedelta]],
) -> None:
    spans = [(start, start + length) for start, length in given_spans]
    groups = together(spans)
    assert sorted(place for group in groups for place in group) == list(range(len(spans)))
    assert [
        (min(spans[place][0] for place in group), max(spans[place][1] for place in group))
        for group in groups
    ] == merged_spans([Window(*span) for span in spans])


@given(st.integers(1970, 9000), st.integers(1, 12), st.integers(-30, 30), st.integers(0, 6))
def test_months_follow_one_another_and_their_weeks_are_whole(
    year: int, number: int, shift: int, first_weekday: int
) -> None:
    month = Month(year, number)
    other = month.shifted(shift)
    if other is not None:
        assert other.shifted(-shift) == month
    weeks = month.weeks(first_weekday)
    assert weeks == calendar.Calendar(first_weekday).monthdatescalendar(year, number)
    assert all(len(week) == 7 and week[0].weekday() == first_weekday for week in weeks)
    days = [day for week in weeks for day in week]
    assert days == [days[0] + n * DAY for n in range(len(days))]
    assert {day for day in days if day.month == number} >= {month.first}


def test_the_calendar_has_a_first_and_a_last_month() -> None:
    assert Month(1970, 1).shifted(-1) is None
    assert Month(9000, 12).shifted(1) is None
    with pytest.raises(ValueError, match="no month"):
        Month(2026, 13)
