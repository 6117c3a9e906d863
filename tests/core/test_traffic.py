"""The hours of the week, against an oracle that goes through them minute by minute."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backsoon.core.traffic import (
    HOURS,
    LEVELS,
    NOTHING,
    QUARTERS,
    STEP,
    WEEK,
    Observation,
    Slot,
    Sureness,
    Week,
    cost,
    fold,
    next_time,
    quarter_of_week,
    quietest,
)

MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)
MONDAY = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
"""Four weeks before the clocks of Europe are set forward; on the 8th, those of America."""

ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu",
        "Australia/Lord_Howe", "America/St_Johns", "Pacific/Kiritimati",
    )
]  # fmt: skip

zones = st.sampled_from(ZONES)
moments = st.integers(0, 8 * 7 * 24 * 60).map(lambda minutes: MONDAY + minutes * MINUTE)
observations = st.lists(
    st.builds(
        lambda hour, requests, minutes: Observation(MONDAY + hour * HOUR, requests, minutes),
        st.integers(0, 8 * HOURS - 1),
        st.integers(0, 1000),
        st.integers(0, 60),
    ),
    max_size=60,
    unique_by=lambda each: each.start,
)
averages = st.lists(
    st.one_of(st.none(), st.integers(0, 50), st.floats(0.001, 1000)), min_size=1, max_size=29
).map(lambda some: list(itertools.islice(itertools.cycle(some), HOURS)))
"""For each hour of the week; short lists are repeated, shifted from day to day."""


def week_of(values: list[float | None], observed: float = 4.0) -> Week:
    """One in which these are the averages, seen for *observed* weeks."""
    quarters = [value for value in values for _quarter in range(4)]
    return Week(
        tuple((value or 0.0) / 4 * observed for value in quarters),
        tuple(0.0 if value is None else observed for value in quarters),
        MONDAY,
        MONDAY + 4 * WEEK,
    )


def busy_week() -> Week:
    """100 in each hour of the day, 10 at night, 2 on Sunday from three to five."""
    values: list[float | None] = [100.0 if 7 <= hour % 24 < 22 else 10.0 for hour in range(HOURS)]
    values[6 * 24 + 3] = values[6 * 24 + 4] = 2.0
    return week_of(values)


# -- From counts to a week ---------------------------------------------------------------------


@given(observations, zones)
@settings(max_examples=40, deadline=None)
def test_each_counted_minute_goes_to_the_hour_that_the_clocks_showed_then(
    seen: list[Observation], zone: ZoneInfo
) -> None:
    requests, observed = [0.0] * HOURS, [0.0] * HOURS
    by_quarter = [0.0] * QUARTERS
    for each in seen:
        for minute in range(60):
            local = (each.start + minute * MINUTE).astimezone(zone)
            hour = local.weekday() * 24 + local.hour
            if each.minutes:
                requests[hour] += each.requests / 60
                observed[hour] += each.minutes / 60 / 60
                by_quarter[4 * hour + local.minute // 15] += each.requests / 60
    week = fold(seen, zone)
    assert week.requests == pytest.approx(by_quarter)
    assert week.observed == pytest.approx(observed)
    for hour, average in enumerate(week.averages):
        if average is not None:
            assert average == pytest.approx(requests[hour] / observed[hour])
        else:
            assert observed[hour] < 0.5


@given(observations, zones)
@settings(max_examples=30, deadline=None)
def test_nothing_that_was_counted_is_lost_or_counted_twice(
    seen: list[Observation], zone: ZoneInfo
) -> None:
    week = fold(seen, zone)
    assert math.fsum(week.requests) == pytest.approx(sum(o.requests for o in seen if o.minutes))
    assert math.fsum(week.observed) == pytest.approx(sum(o.minutes for o in seen) / 60)


def test_an_hour_that_was_closed_for_most_of_it_does_not_look_quiet() -> None:
    seen = [Observation(MONDAY, 120, 60), Observation(MONDAY + WEEK, 60, 30)]
    assert fold(seen, dt.UTC).averages[0] == pytest.approx(120)


def test_an_hour_of_which_too_little_was_seen_has_no_average() -> None:
    week = fold([Observation(MONDAY, 5, 20)], dt.UTC)
    assert week.averages[0] is None
    assert week.levels[0] is None


# -- What a closure would cost -----------------------------------------------------------------


@given(averages, moments, st.integers(0, 30 * 60), zones)
@settings(max_examples=40, deadline=None)
def test_a_closure_costs_what_its_minutes_cost(
    values: list[float | None], start: dt.datetime, minutes: int, zone: ZoneInfo
) -> None:
    requests = unknown = 0.0
    for minute in range(minutes):
        value = values[quarter_of_week((start + minute * MINUTE).astimezone(zone)) // 4]
        requests += (value or 0.0) / 60
        unknown += value is None
    found = cost(week_of(values), start, start + minutes * MINUTE, zone)
    assert found.requests == pytest.approx(requests)
    assert found.unknown / MINUTE == pytest.approx(unknown, abs=1e-6)


def test_a_closure_of_seconds_costs_its_share() -> None:
    week = week_of([3600.0] * HOURS)
    start = MONDAY + dt.timedelta(minutes=14, seconds=50)
    found = cost(week, start, start + dt.timedelta(seconds=20), dt.UTC)
    assert found.requests == pytest.approx(20)


def test_a_closure_says_how_often_its_hours_were_seen() -> None:
    times = [4.0] * QUARTERS
    times[4:8] = [2.0] * 4
    week = Week((0.0,) * QUARTERS, tuple(times), MONDAY, MONDAY + 4 * WEEK)
    assert cost(week, MONDAY, MONDAY + 2 * HOUR, dt.UTC).observed == pytest.approx(3)


# -- The quietest slots ------------------------------------------------------------------------


def slow_cost(values: list[float | None], start: int, minutes: int) -> float | None:
    """Of *minutes* from minute *start* of the week on; None where any is unknown."""
    total = 0.0
    for minute in range(start, start + minutes):
        value = values[minute // 60 % HOURS]
        if value is None:
            return None
        total += value / 60
    return total


@given(averages, st.integers(1, 30 * 60))
@settings(max_examples=25, deadline=None)
def test_no_slot_is_quieter_than_the_first(values: list[float | None], minutes: int) -> None:
    week = week_of(values)
    step = STEP // MINUTE
    costs = [slow_cost(values, start, minutes) for start in range(0, HOURS * 60, step)]
    known = [each for each in costs if each is not None]
    found = quietest(week, minutes * MINUTE)
    if week.sureness is Sureness.NONE or not known:
        assert not found
        return
    assert found[0].requests == pytest.approx(min(known), abs=1e-5)
    for slot in found:
        own = slow_cost(values, slot.offset // MINUTE, minutes)
        assert slot.requests == pytest.approx(own, abs=1e-5)
    assert [slot.requests for slot in found] == sorted(
        (slot.requests for slot in found), key=lambda requests: round(requests, 6)
    )


@given(averages, st.integers(1, 40 * 60))
@settings(max_examples=30, deadline=None)
def test_slots_lie_on_different_days_and_share_no_minute(
    values: list[float | None], minutes: int
) -> None:
    found = quietest(week_of(values), minutes * MINUTE, 7)
    covered = [
        (slot.offset // MINUTE + minute) % (HOURS * 60)
        for slot in found
        for minute in range(minutes)
    ]
    assert len(covered) == len(set(covered))
    assert len({slot.weekday for slot in found}) == len(found)


def test_the_quietest_slot_may_go_over_the_end_of_the_week() -> None:
    values: list[float | None] = [50.0] * HOURS
    values[HOURS - 1] = values[0] = 1.0
    slot = quietest(week_of(values), 2 * HOUR)[0]
    assert (slot.weekday, slot.offset, slot.requests) == (6, 167 * HOUR, 2.0)


def test_a_slot_begins_at_the_half_hour_where_that_is_quieter() -> None:
    values: list[float | None] = [60.0] * HOURS
    values[10] = 0.0
    values[9] = 10.0
    assert quietest(week_of(values), 90 * MINUTE)[0].offset == dt.timedelta(hours=9, minutes=30)


def test_of_slots_that_are_as_quiet_the_one_comes_first_that_may_take_longer() -> None:
    values: list[float | None] = [50.0] * HOURS
    values[30] = 0.0
    values[99:102] = [0.0, 0.0, 0.0]
    assert quietest(week_of(values), HOUR)[0].offset == 100 * HOUR


def test_in_a_zone_beside_the_hour_the_quiet_hour_is_found_where_it_begins() -> None:
    seen = [
        Observation(MONDAY + hour * HOUR, 6 if hour % HOURS in (3, 4) else 100, 60)
        for hour in range(4 * HOURS)
    ]
    slot = quietest(fold(seen, ZoneInfo("Asia/Kolkata")), 2 * HOUR)[0]
    assert slot.offset == dt.timedelta(hours=8, minutes=30)
    assert slot.requests == pytest.approx(12)


@pytest.mark.parametrize("length", [dt.timedelta(0), -HOUR, WEEK + MINUTE])
def test_there_is_no_slot_of_no_length_nor_of_more_than_a_week(length: dt.timedelta) -> None:
    assert quietest(busy_week(), length) == []


def test_the_quietest_hours_of_a_plausible_week_are_found() -> None:
    first, second, third = quietest(busy_week(), 2 * HOUR)
    assert (first.weekday, first.offset % dt.timedelta(days=1)) == (6, 3 * HOUR)
    assert first.requests == pytest.approx(4)
    assert second.requests == third.requests == pytest.approx(20)


# -- How sure it is ----------------------------------------------------------------------------


def seen_for(hours: int) -> Week:
    return fold([Observation(MONDAY + hour * HOUR, 5, 60) for hour in range(hours)], dt.UTC)


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        (0, Sureness.NONE),
        (HOURS - 1, Sureness.NONE),
        (HOURS, Sureness.ROUGH),
        (3 * HOURS - HOURS // 2 - 1, Sureness.ROUGH),
        (3 * HOURS, Sureness.GOOD),
    ],
)
def test_how_sure_it_is_depends_on_how_long_it_was_counted(hours: int, expected: Sureness) -> None:
    assert seen_for(hours).sureness is expected


def test_two_moments_a_month_apart_say_nothing() -> None:
    seen = [Observation(MONDAY, 5, 60), Observation(MONDAY + 4 * WEEK, 5, 60)]
    assert fold(seen, dt.UTC).sureness is Sureness.NONE
    assert quietest(fold(seen, dt.UTC), HOUR) == []


def test_where_nothing_was_counted_nothing_is_said() -> None:
    assert fold([], dt.UTC) == NOTHING
    assert set(NOTHING.levels) == {None}


@given(averages)
def test_the_busiest_hour_has_the_highest_level_and_an_empty_one_the_lowest(
    values: list[float | None],
) -> None:
    levels = week_of(values).levels
    known = [value for value in values if value is not None]
    for value, level in zip(values, levels, strict=True):
        assert (level is None) == (value is None)
        if value is not None and level is not None:
            assert 0 <= level <= LEVELS
            assert (level == 0) == (value == 0)
            assert value != max(known) or level == (LEVELS if value else 0)


# -- When a slot comes -------------------------------------------------------------------------


@given(st.integers(0, HOURS * 2 - 1), moments, zones)
@settings(max_examples=40, deadline=None)
def test_the_next_time_is_the_first_at_which_the_clocks_show_it(
    number: int, after: dt.datetime, zone: ZoneInfo
) -> None:
    slot = Slot(number * STEP, HOUR, 0.0)
    found = next_time(slot, after, zone)
    minute = after
    while True:
        local = minute.astimezone(zone)
        since_monday = dt.timedelta(
            days=local.weekday(), hours=local.hour, minutes=local.minute, seconds=local.second
        )
        if since_monday == slot.offset:
            break
        minute += MINUTE
    assert found == minute


def test_a_time_that_the_clocks_skip_comes_a_week_later() -> None:
    paris = ZoneInfo("Europe/Paris")
    slot = Slot(dt.timedelta(days=6, hours=2, minutes=30), HOUR, 0.0)
    found = next_time(slot, dt.datetime(2026, 3, 28, tzinfo=dt.UTC), paris)
    assert found.astimezone(paris) == dt.datetime(2026, 4, 5, 2, 30, tzinfo=paris)
