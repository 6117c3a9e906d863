"""What people are to be told of, found by comparing what is true before and after."""

from __future__ import annotations

import dataclasses
import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from backsoon.core.state import resolve_state
from backsoon.core.telling import (
    LATEST,
    Moment,
    Occasion,
    Timetable,
    brought_by_change,
    brought_by_clock,
)
from backsoon.core.vocabulary import Mode, Policy, Switch, Window, Words

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)
TABLE = Timetable(reminders=(DAY, HOUR))
OPEN = Policy()


def window(start: float, end: float | None, uid: str = "a", **values: object) -> Window:
    """From *start* to *end*, in hours after noon."""
    ends_at = None if end is None else NOON + end * HOUR
    return Window(NOON + start * HOUR, ends_at, uid=uid, **values)  # type: ignore[arg-type]


def by_hand(hours_ago: float, **values: object) -> Policy:
    switch = Switch(Mode.CLOSED, since=NOON - hours_ago * HOUR, **values)  # type: ignore[arg-type]
    return Policy(switch=switch)


def clock(*windows: Window, now: dt.datetime = NOON, policy: Policy = OPEN) -> list[Occasion]:
    return list(brought_by_clock(policy, windows, now, TABLE))


def change(
    before: list[Window],
    after: list[Window],
    policy: Policy = OPEN,
    policy_after: Policy | None = None,
) -> list[Occasion]:
    after_policy = policy if policy_after is None else policy_after
    return list(brought_by_change((policy, before), (after_policy, after), NOON, TABLE))


def kinds(occasions: list[Occasion]) -> list[Moment]:
    return [occasion.moment for occasion in occasions]


# -- What a change brings ----------------------------------------------------------------------


def test_a_plan_is_announced() -> None:
    (told,) = change([], [window(2, 3)])
    assert (told.moment, told.key) == (Moment.ANNOUNCED, "announced:a")
    assert told.expires_at == NOON + 2 * HOUR


def test_a_plan_without_notice_is_not_for_the_public() -> None:
    (told,) = change([], [window(2, 3, notice=dt.timedelta(0))])
    assert not told.public


def test_the_closures_of_a_series_are_not_announced_when_they_are_planned() -> None:
    assert change([], [window(2, 3, series="s")]) == []


def test_other_times_are_a_change_that_tells_the_old_ones_too() -> None:
    (told,) = change([window(2, 3)], [window(4, 5, sequence=1)])
    assert (told.moment, told.key) == (Moment.CHANGED, "changed:a:1")
    assert told.earlier == (NOON + 2 * HOUR, NOON + 3 * HOUR)


def test_other_words_are_a_change() -> None:
    assert kinds(change([window(2, 3)], [window(2, 3, words={"": Words("Move")})])) == ["changed"]


def test_another_notice_is_nothing_to_tell() -> None:
    assert change([window(2, 3)], [window(2, 3, notice=HOUR, sequence=1)]) == []


def test_a_plan_that_is_taken_back_is_cancelled() -> None:
    assert kinds(change([window(2, 3)], [])) == ["cancelled"]


def test_a_plan_that_begins_now_has_started_and_was_not_announced() -> None:
    assert kinds(change([], [window(0, 1)])) == ["started"]


def test_closing_by_hand_is_a_start_and_opening_an_end() -> None:
    closed = by_hand(0)
    opened = Policy(switch=Switch(since=NOON))
    assert kinds(change([], [], OPEN, closed)) == ["started"]
    assert kinds(change([], [], by_hand(2), opened)) == ["ended"]


def test_closing_by_hand_in_a_planned_closure_is_no_second_start() -> None:
    assert kinds(change([window(-1, None)], [window(-1, None)], OPEN, by_hand(0))) == []


def test_a_later_end_is_an_extension_and_an_earlier_one_a_change() -> None:
    assert kinds(change([window(-1, 1)], [window(-1, 2)])) == ["extended"]
    assert kinds(change([window(-1, 2)], [window(-1, 1)])) == ["changed"]
    assert kinds(change([window(-1, 2)], [window(-1, None)])) == ["extended"]


def test_the_end_of_windows_that_touch_is_the_last_one() -> None:
    (told,) = change([window(-1, 1), window(1, 3, "b")], [window(-1, 1), window(1, 4, "b")])[:1]
    assert (told.moment, told.until) == (Moment.EXTENDED, NOON + 4 * HOUR)


def test_a_closure_found_in_the_table_is_told_as_a_start() -> None:
    after = (by_hand(0), ())
    found = brought_by_change(after, after, NOON, TABLE, from_outside=True)
    assert kinds(list(found)) == ["started"]


# -- What the clock brings ---------------------------------------------------------------------


def test_start_and_end_of_a_window_come_by_themselves() -> None:
    assert kinds(clock(window(-1, 1))) == ["started"]
    assert kinds(clock(window(-2, -1))) == ["ended"]


def test_nobody_is_told_of_a_start_when_all_is_over() -> None:
    assert "started" not in kinds(clock(window(-2, -1)))


def test_one_that_opens_itself_has_ended() -> None:
    policy = dataclasses.replace(by_hand(2, open_at_end=True), ends_at=NOON - MINUTE)
    assert kinds(clock(policy=policy)) == ["ended"]


def test_what_lies_before_the_last_switch_was_told_then() -> None:
    assert clock(window(-3, -2), policy=Policy(switch=Switch(since=NOON - HOUR))) == []


def test_what_is_long_past_is_not_told() -> None:
    assert clock(window(-14, -13)) == []


def test_windows_that_touch_begin_once_and_end_once() -> None:
    both = window(-3, -2), window(-2, -1, "b")
    assert kinds(clock(*both)) == ["ended"]
    assert clock(*both)[0].at == NOON - HOUR
    assert kinds(clock(*both, now=NOON - 1.5 * HOUR)) == ["started"]


def test_nobody_is_told_that_the_site_is_back_while_it_is_closed_by_hand() -> None:
    assert clock(window(-2, -1), policy=by_hand(3)) == []


def test_a_window_is_announced_when_its_notice_begins() -> None:
    assert kinds(clock(window(23, 24))) == ["announced", "reminder"]
    assert kinds(clock(window(25, 26))) == []


def test_only_the_shortest_reminder_is_due_and_only_for_a_while() -> None:
    def leads(now: dt.datetime) -> list[dt.timedelta | None]:
        return [o.lead for o in clock(window(48, 49), now=now) if o.moment is Moment.REMINDER]

    start = NOON + 48 * HOUR
    assert leads(start - DAY - MINUTE) == []
    assert leads(start - DAY) == [DAY]
    assert leads(start - DAY + 7 * HOUR) == []
    assert leads(start - HOUR) == [HOUR]
    assert leads(start - HOUR + 16 * MINUTE) == []
    assert leads(start) == []


def test_a_window_without_notice_is_neither_announced_nor_reminded_of() -> None:
    assert clock(window(0.5, 1, notice=dt.timedelta(0))) == []


# -- Against the obvious answer ----------------------------------------------------------------

SPANS = st.lists(
    st.tuples(st.integers(-40, 40), st.integers(1, 20)).map(
        lambda span: Window(NOON + span[0] * MINUTE, NOON + (span[0] + span[1]) * MINUTE)
    ),
    max_size=5,
)


@given(SPANS)
def test_starts_and_ends_are_those_of_a_walk_along_the_minutes(windows: list[Window]) -> None:
    named = [dataclasses.replace(w, uid=str(n)) for n, w in enumerate(windows)]
    end = NOON + 120 * MINUTE
    turns = []
    was_open = True
    for minute in range(-60, 120):
        now = NOON + minute * MINUTE
        is_open = resolve_state(OPEN, named, now).is_open
        if is_open and not was_open:
            turns.append(now)
        was_open = is_open
    assert [o.at for o in clock(*named, now=end)] == turns
    assert end - LATEST < NOON - 60 * MINUTE


@given(SPANS, st.integers(-60, 60), st.integers(0, 30))
def test_the_same_moment_has_the_same_key_whoever_looks_and_when(
    windows: list[Window], minute: int, later: int
) -> None:
    named = [dataclasses.replace(w, uid=str(n)) for n, w in enumerate(windows)]
    first = clock(*named, now=NOON + minute * MINUTE)
    second = clock(*named, now=NOON + (minute + later) * MINUTE)
    ends = {o.key for o in first if o.moment is Moment.ENDED}
    assert ends <= {o.key for o in second}
