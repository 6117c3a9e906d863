"""Windows on a time line, against oracles that walk through it minute by minute."""

from __future__ import annotations

import datetime as dt
import itertools
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings

from backsoon.core.schedule import (
    clashing,
    continuous_span,
    merged_spans,
    next_boundary,
    upcoming,
    windows_at,
)
from backsoon.core.vocabulary import Mode, Window
from tests.core.timeline import HORIZON, Span, bases, moment, schedules, zones

PARIS = ZoneInfo("Europe/Paris")
NOON = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)

Schedule = list[tuple[Span, dt.tzinfo]]


def walked_span(schedule: list[Span], minute: int) -> tuple[int, int | None] | None:
    """The unbroken closure around *minute*, found by walking both ways from it."""

    def covered(where: int) -> bool:
        return any(span.covers(where) for span in schedule)

    if not covered(minute):
        return None
    start = end = minute
    while covered(start - 1):
        start -= 1
    while covered(end):
        end += 1
        if end > HORIZON:
            return start, None
    return start, end


@given(bases, schedules, zones)
@settings(max_examples=25, deadline=None)
def test_spans_are_what_a_walk_through_every_minute_finds(
    base: dt.datetime, schedule: Schedule, zone: dt.tzinfo
) -> None:
    windows = [span.window(base, words) for span, words in schedule]
    for minute in range(HORIZON):
        now = moment(base, minute, zone)
        found = walked_span([span for span, _words in schedule], minute)
        expected = found and (
            moment(base, found[0]),
            None if found[1] is None else moment(base, found[1]),
        )
        assert continuous_span(windows, now) == expected
        covering = [span.reason for span, _words in schedule if span.covers(minute)]
        assert sorted(window.reason for window in windows_at(windows, now)) == sorted(covering)


@given(bases, schedules, zones)
@settings(max_examples=25, deadline=None)
def test_the_next_boundary_is_the_first_edge_that_a_walk_meets(
    base: dt.datetime, schedule: Schedule, zone: dt.tzinfo
) -> None:
    windows = [span.window(base, words) for span, words in schedule]
    edges = {edge for span, _words in schedule for edge in (span.start, span.end)}
    for minute in range(HORIZON):
        following = next((m for m in range(minute + 1, HORIZON + 1) if m in edges), None)
        expected = None if following is None else moment(base, following)
        assert next_boundary(windows, moment(base, minute, zone)) == expected


@given(bases, schedules)
@settings(max_examples=60, deadline=None)
def test_merged_spans_are_disjoint_in_order_and_independent_of_the_order_given(
    base: dt.datetime, schedule: Schedule
) -> None:
    windows = [span.window(base, words) for span, words in schedule]
    spans = merged_spans(windows)
    assert spans == merged_spans(windows[::-1])
    for (_start, end), (following, _end) in itertools.pairwise(spans):
        assert end is not None
        assert end < following, "touching spans must have become one"


def test_the_covering_windows_come_in_order_of_their_start() -> None:
    later = Window(NOON - HOUR, NOON + HOUR, reason="later")
    earlier = Window(NOON - 2 * HOUR, NOON + HOUR, reason="earlier")
    assert [w.reason for w in windows_at([later, earlier], NOON)] == ["earlier", "later"]


def test_a_window_begins_at_its_start_and_is_over_at_its_end() -> None:
    window = Window(NOON, NOON + HOUR)
    tick = dt.timedelta(microseconds=1)
    assert not window.covers(NOON - tick)
    assert window.covers(NOON)
    assert window.covers(NOON + HOUR - tick)
    assert not window.covers(NOON + HOUR)


def test_a_window_may_last_for_the_hour_that_comes_twice() -> None:
    begins = dt.datetime(2026, 10, 25, 2, 30, tzinfo=PARIS, fold=0)
    ends = dt.datetime(2026, 10, 25, 2, 30, tzinfo=PARIS, fold=1)
    window = Window(begins, ends)
    assert window.covers(dt.datetime(2026, 10, 25, 1, 0, tzinfo=dt.UTC))
    assert window.covers(dt.datetime(2026, 10, 25, 2, 5, tzinfo=PARIS, fold=1))
    assert not window.covers(dt.datetime(2026, 10, 25, 2, 35, tzinfo=PARIS, fold=1))


def test_a_window_ends_after_its_start_also_where_the_wall_clock_says_so_wrongly() -> None:
    with pytest.raises(ValueError, match="end after it starts"):
        # 02:15 comes an hour before 02:45 of the first round, whatever the clock on the wall says.
        Window(
            dt.datetime(2026, 10, 25, 2, 15, tzinfo=PARIS, fold=1),
            dt.datetime(2026, 10, 25, 2, 45, tzinfo=PARIS, fold=0),
        )


@pytest.mark.parametrize("ends_at", [NOON, NOON - HOUR])
def test_a_window_that_ends_before_it_begins_cannot_be_built(ends_at: dt.datetime) -> None:
    with pytest.raises(ValueError, match="end after it starts"):
        Window(NOON, ends_at)


def test_a_window_that_opens_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        Window(NOON, mode=Mode.OPEN)


def test_a_window_without_a_zone_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="starts_at must be an aware datetime"):
        Window(NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="ends_at must be an aware datetime"):
        Window(NOON, (NOON + HOUR).replace(tzinfo=None))


def test_without_windows_there_is_no_span_and_no_boundary() -> None:
    assert merged_spans([]) == []
    assert continuous_span([], NOON) is None
    assert next_boundary([], NOON) is None


@given(bases, schedules, zones)
@settings(max_examples=25, deadline=None)
def test_what_is_to_come_is_what_has_not_begun_in_order_of_time(
    base: dt.datetime, schedule: Schedule, zone: dt.tzinfo
) -> None:
    windows = [span.window(base, words) for span, words in schedule]
    for minute in range(0, HORIZON, 7):
        found = upcoming(windows, moment(base, minute, zone))
        starts = sorted(span.start for span, _words in schedule if span.start > minute)
        assert [window.starts_at for window in found] == [moment(base, s) for s in starts]


@given(bases, schedules, zones)
@settings(max_examples=25, deadline=None)
def test_windows_clash_when_they_share_a_minute_or_one_begins_as_the_other_ends(
    base: dt.datetime, schedule: Schedule, zone: dt.tzinfo
) -> None:
    windows = [span.window(base, words) for span, words in schedule]
    for start in range(0, HORIZON, 11):
        for end in (start + 1, start + 9, None):
            last = HORIZON if end is None else end
            # A visitor would notice no opening between the two: some minute belongs to both, or
            # the next one to the other.
            expected = sorted(
                span.start
                for span, _words in schedule
                if any(span.covers(m) for m in range(start, last))
                or span.end == start
                or span.start == last
            )
            found = clashing(
                windows,
                moment(base, start, zone),
                None if end is None else moment(base, end, zone),
            )
            assert [w.starts_at for w in found] == [moment(base, s) for s in expected]
