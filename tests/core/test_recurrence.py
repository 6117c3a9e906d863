"""Rules of recurrence, told the same days as by another library, and bounded whatever they say."""

from __future__ import annotations

import dataclasses
import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from dateutil import rrule as other
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backsoon.core.recurrence import DAYS, Flaw, Frequency, Rule, RuleError, Weekday, days, parse
from backsoon.core.recurrence import starts as starts_of

FIRST = dt.date(2030, 1, 6)  # a Sunday
PARIS = ZoneInfo("Europe/Paris")


def dates(text: str, first: dt.date = FIRST, length: int = 400) -> list[str]:
    return [str(day) for day in days(parse(text), first, first + dt.timedelta(days=length))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FREQ=WEEKLY;BYDAY=SU;COUNT=3", ["2030-01-06", "2030-01-13", "2030-01-20"]),
        ("freq=weekly;count=2", ["2030-01-06", "2030-01-13"]),
        ("RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=2", ["2030-01-06", "2030-01-20"]),
        ("FREQ=MONTHLY;BYDAY=1SU;COUNT=3", ["2030-01-06", "2030-02-03", "2030-03-03"]),
        ("FREQ=MONTHLY;BYDAY=-1SU;COUNT=2", ["2030-01-27", "2030-02-24"]),
        ("FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=2", ["2030-01-31", "2030-02-28"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=2", ["2030-01-31", "2030-02-28"]),
        ("FREQ=DAILY;INTERVAL=10;COUNT=2", ["2030-01-06", "2030-01-16"]),
        ("FREQ=YEARLY", ["2030-01-06", "2031-01-06"]),
    ],
)
def test_a_rule_names_its_days(text: str, expected: list[str]) -> None:
    assert dates(text) == expected


def test_a_day_that_a_month_does_not_have_is_left_out() -> None:
    last_day = dt.date(2030, 1, 31)
    assert dates("FREQ=MONTHLY;COUNT=3", last_day) == ["2030-01-31", "2030-03-31", "2030-05-31"]


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("", Flaw.PART),
        ("weekly", Flaw.PART),
        ("INTERVAL=2", Flaw.FREQUENCY),
        ("FREQ=WEEKLY;FREQ=DAILY", Flaw.PART),
        ("FREQ=WEEKLY;X=1", Flaw.PART),
        ("FREQ=WEEKLY;", Flaw.PART),
        ("FREQ=WEEKLY\nDTSTART:20300101", Flaw.VALUE),
        ("FREQ=SECONDLY;COUNT=1000000000", Flaw.TIME),
        ("FREQ=HOURLY", Flaw.TIME),
        ("FREQ=DAILY;BYHOUR=1,2,3", Flaw.TIME),
        ("FREQ=FORTNIGHTLY", Flaw.VALUE),
        ("FREQ=DAILY;INTERVAL=0", Flaw.VALUE),
        ("FREQ=DAILY;INTERVAL=-1", Flaw.VALUE),
        ("FREQ=DAILY;INTERVAL=99999999999999999999", Flaw.VALUE),
        ("FREQ=DAILY;COUNT=1001", Flaw.VALUE),
        ("FREQ=DAILY;COUNT=٣", Flaw.VALUE),
        ("FREQ=DAILY;INTERVAL=+-3", Flaw.VALUE),
        ("FREQ=MONTHLY;BYDAY=6SU", Flaw.VALUE),
        ("FREQ=MONTHLY;BYDAY=0SU", Flaw.VALUE),
        ("FREQ=WEEKLY;BYDAY=2SU", Flaw.VALUE),
        ("FREQ=WEEKLY;BYDAY=SO", Flaw.VALUE),
        ("FREQ=MONTHLY;BYMONTHDAY=32", Flaw.VALUE),
        ("FREQ=YEARLY;BYMONTH=13", Flaw.VALUE),
        ("FREQ=YEARLY;BYMONTH=-1", Flaw.VALUE),
        ("FREQ=DAILY;UNTIL=tomorrow", Flaw.VALUE),
        ("FREQ=DAILY;UNTIL=20301301", Flaw.VALUE),
        ("FREQ=DAILY;COUNT=3;UNTIL=20300201", Flaw.CONTRADICTION),
        ("FREQ=WEEKLY;BYMONTHDAY=1", Flaw.CONTRADICTION),
        ("FREQ=MONTHLY;BYSETPOS=1", Flaw.CONTRADICTION),
        ("FREQ=DAILY;" + "BYMONTH=1," * 100, Flaw.LENGTH),
    ],
)
def test_what_is_no_rule_is_refused_with_the_reason(text: str, flaw: Flaw) -> None:
    with pytest.raises(RuleError) as caught:
        parse(text)
    assert caught.value.flaw is flaw


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYDAY=SU;BYSETPOS=366",
        "FREQ=YEARLY;INTERVAL=1000;BYMONTH=4;BYMONTHDAY=31",
    ],
)
def test_a_rule_that_fits_no_day_names_none(text: str) -> None:
    assert dates(text, length=3 * 366) == []


# -- Moments -----------------------------------------------------------------------------------


def moments(text: str, first: dt.datetime, count: int) -> list[str]:
    found = starts_of(parse(text), first, first + dt.timedelta(days=800))
    return [f"{moment:%m-%d %H:%MZ}" for moment, _n in zip(found, range(count), strict=False)]


def test_the_time_of_day_stays_when_clocks_change() -> None:
    first = dt.datetime(2030, 3, 24, 4, tzinfo=PARIS)
    assert moments("FREQ=WEEKLY", first, 3) == ["03-24 03:00Z", "03-31 02:00Z", "04-07 02:00Z"]


def test_a_time_that_clocks_jump_over_is_taken_by_the_clocks_before_the_jump() -> None:
    first = dt.datetime(2030, 3, 24, 2, 30, tzinfo=PARIS)
    found = list(starts_of(parse("FREQ=WEEKLY;COUNT=2"), first, first + dt.timedelta(days=30)))
    assert f"{found[1].astimezone(PARIS):%d %H:%M}" == "31 03:30"


def test_of_a_time_that_comes_twice_the_first_is_meant_unless_the_first_start_says_otherwise() -> (
    None
):
    first = dt.datetime(2030, 10, 20, 2, 30, tzinfo=PARIS)
    assert moments("FREQ=WEEKLY", first, 2)[1] == "10-27 00:30Z"
    second_time = dt.datetime(2030, 10, 27, 2, 30, fold=1, tzinfo=PARIS)
    assert moments("FREQ=WEEKLY", second_time, 1) == ["10-27 01:30Z"]


@pytest.mark.parametrize(
    ("until", "count"),
    [
        ("20300113", 2),
        ("20300113T020000", 2),
        ("20300113T015959", 1),
        ("20300113T010000Z", 2),
        ("20300113T005959Z", 1),
        ("20290101", 0),
    ],
)
def test_until_is_a_day_or_a_moment_here_or_in_utc_and_belongs_to_the_rule(
    until: str, count: int
) -> None:
    first = dt.datetime(2030, 1, 6, 2, tzinfo=PARIS)
    assert len(moments(f"FREQ=WEEKLY;UNTIL={until}", first, 9)) == count


# -- Against another library -------------------------------------------------------------------


def _few(values: st.SearchStrategy[int], most: int = 3) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(values, max_size=most, unique=True).map(tuple)


def _without_zero(most: int) -> st.SearchStrategy[int]:
    return st.integers(-most, most).filter(bool)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    frequency = draw(st.sampled_from(Frequency))
    # Theirs breaks down (IndexError) where a month has no fifth such day.
    has_nth = frequency in (Frequency.MONTHLY, Frequency.YEARLY) and draw(st.booleans())
    # "Mondays, and the first Monday" are to them what is both, in RFC 5545 what is either.
    nth = _without_zero(4) if has_nth else st.just(0)
    weekdays = st.builds(Weekday, st.integers(0, 6), nth)
    rule = Rule(
        frequency,
        interval=draw(st.integers(1, 5)),
        count=draw(st.none() | st.integers(1, 8)),
        weekdays=tuple(draw(st.lists(weekdays, max_size=3, unique=True))),
        month_days=() if frequency is Frequency.WEEKLY else draw(_few(_without_zero(31))),
        months=draw(_few(st.integers(1, 12))),
        week_start=draw(st.integers(0, 6)),
    )
    # Theirs counts the positions of the first week from the first day on, not from the week's.
    if (rule.weekdays or rule.month_days or rule.months) and frequency is not Frequency.WEEKLY:
        rule = dataclasses.replace(rule, positions=draw(_few(_without_zero(6), most=2)))
    return rule


def as_theirs(rule: Rule, first: dt.date) -> other.rrule:
    weekdays = [
        other.weekday(named.day, named.nth) if named.nth else other.weekday(named.day)
        for named in rule.weekdays
    ]
    return other.rrule(
        getattr(other, rule.frequency),
        dtstart=dt.datetime.combine(first, dt.time()),
        interval=rule.interval,
        count=rule.count,
        wkst=rule.week_start,
        byweekday=weekdays or None,
        bymonthday=rule.month_days or None,
        bymonth=rule.months or None,
        bysetpos=rule.positions or None,
    )


def written(rule: Rule) -> str:
    named = (f"{day.nth or ''}{DAYS[day.day]}" for day in rule.weekdays)
    parts = {
        "FREQ": rule.frequency.value,
        "INTERVAL": str(rule.interval),
        "COUNT": str(rule.count or ""),
        "BYDAY": ",".join(named),
        "BYMONTHDAY": ",".join(map(str, rule.month_days)),
        "BYMONTH": ",".join(map(str, rule.months)),
        "BYSETPOS": ",".join(map(str, rule.positions)),
        "WKST": DAYS[rule.week_start],
    }
    return ";".join(f"{name}={value}" for name, value in parts.items() if value)


@settings(deadline=None, max_examples=200)
@given(rules(), st.dates(dt.date(2028, 1, 1), dt.date(2032, 12, 31)))
def test_the_days_are_those_that_dateutil_names(rule: Rule, first: dt.date) -> None:
    text = written(rule)
    assume(len(text) <= 200)
    last = first + dt.timedelta(days=900)
    ours = list(days(parse(text), first, last))
    assume(ours)  # where no day fits, theirs goes on to the year 9999
    theirs = []
    for moment in as_theirs(rule, first):
        if moment.date() > last:
            break
        theirs.append(moment.date())
    assert ours == theirs


@given(rules(), st.dates(dt.date(2028, 1, 1), dt.date(2032, 12, 31)), st.integers(0, 900))
def test_days_come_in_order_once_and_within_their_bounds(
    rule: Rule, first: dt.date, length: int
) -> None:
    last = first + dt.timedelta(days=length)
    found = list(days(rule, first, last))
    assert all(one < next_ for one, next_ in pairwise(found))
    assert all(first <= day <= last for day in found)
    assert rule.count is None or len(found) <= rule.count
