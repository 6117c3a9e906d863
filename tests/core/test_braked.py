"""What an order on one host makes of what was read: what it says holds, and no login revives."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backsoon.core.state import braked, resolve_state
from backsoon.core.vocabulary import Brake, Mode, Notice, Policy, State, Switch, Why, Window
from tests.core.timeline import HORIZON, Span, bases, moment, schedules, zones

NOON = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)

ON = Brake(Mode.CLOSED, NOON, "ann@web1", "fire", "web1", generation=9, epoch=4)
OFF = Brake(Mode.OPEN, NOON, "ann@web1", "back", "web1", epoch=4)

OPEN = Policy(generation=5)
CLOSED = Policy(
    switch=Switch(Mode.CLOSED, since=NOON - HOUR, by="bob", reason="release", open_at_end=True),
    ends_at=NOON + HOUR,
    generation=5,
    notices={"": Notice(message="Moving house")},
)


def after(policy: Policy, brake: Brake, now: dt.datetime, *windows: Window) -> State:
    return resolve_state(*braked(policy, windows, brake), now)


def test_on_closes_an_open_site_and_says_who_when_and_why() -> None:
    state = after(OPEN, ON, NOON)
    assert (state.mode, state.why, state.since) == (Mode.CLOSED, Why.SWITCH, NOON)
    assert (state.by, state.reason) == ("ann@web1", "fire")
    assert state.generation == 9


def test_on_holds_also_when_a_timer_would_have_opened() -> None:
    assert after(CLOSED, ON, NOON + 2 * HOUR).mode is Mode.CLOSED


def test_on_keeps_the_expected_end_unless_it_has_passed() -> None:
    assert after(CLOSED, ON, NOON).until == NOON + HOUR
    overdue = dataclasses.replace(CLOSED, ends_at=NOON)
    assert after(overdue, ON, NOON).until is None


def test_off_opens_a_closed_site_and_forgets_the_end() -> None:
    state = after(CLOSED, OFF, NOON)
    assert (state.mode, state.until, state.next_change) == (Mode.OPEN, None, None)
    assert state.generation == 5


def test_off_opens_also_in_a_planned_window_and_the_logins_that_it_ended_stay_ended() -> None:
    window = Window(NOON - HOUR, NOON + HOUR)
    ended = resolve_state(OPEN, [window], NOON).generation
    state = after(OPEN, OFF, NOON, window)
    assert state.mode is Mode.OPEN
    assert state.generation == ended > OPEN.generation


def test_the_texts_of_the_page_stay() -> None:
    for brake in (ON, OFF):
        assert braked(CLOSED, (), brake)[0].notices == CLOSED.notices


def test_an_order_neither_makes_read_only_nor_lacks_a_time_zone() -> None:
    with pytest.raises(ValueError, match="closes or opens"):
        Brake(Mode.READ_ONLY, NOON)
    with pytest.raises(ValueError, match="aware"):
        Brake(Mode.OPEN, NOON.replace(tzinfo=None))


@given(
    bases,
    schedules,
    zones,
    st.sampled_from(list(Mode)),
    st.none() | st.integers(0, HORIZON),
    st.booleans(),
    st.integers(0, HORIZON),
    st.integers(0, HORIZON),
    st.sampled_from([Mode.OPEN, Mode.CLOSED]),
)
@settings(max_examples=200, deadline=None)
def test_whatever_was_read_the_order_holds_from_then_on_and_no_ended_login_comes_back(
    base: dt.datetime,
    schedule: list[tuple[Span, dt.tzinfo]],
    zone: dt.tzinfo,
    mode: Mode,
    end: int | None,
    timer: bool,
    pulled: int,
    later: int,
    ordered: Mode,
) -> None:
    windows = tuple(span.window(base, its_zone) for span, its_zone in schedule)
    ends_at = None if end is None else moment(base, end, zone)
    policy = Policy(switch=Switch(mode, since=base, open_at_end=timer), ends_at=ends_at)
    at = moment(base, pulled, zone)
    known = resolve_state(policy, windows, at)
    brake = Brake(ordered, at, generation=known.generation + 1 if ordered is Mode.CLOSED else 0)
    state = after(policy, brake, moment(base, pulled + later, zone), *windows)
    assert state.mode is ordered
    assert state.generation >= known.generation
