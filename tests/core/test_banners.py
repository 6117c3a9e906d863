"""What visitors are told about closures to come, against an oracle that looks at each minute."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from backsoon.core.banners import Banner, banners_at, last_closure, next_turn
from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import Mode, Policy, Switch, Window, Words

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
NONE = dt.timedelta(0)
MODES = (Mode.READ_ONLY, Mode.CLOSED)


def at(minute: int) -> dt.datetime:
    return NOON + minute * MINUTE


def told(
    *windows: Window, now: dt.datetime = NOON, notice: dt.timedelta = 60 * MINUTE
) -> list[tuple[Mode, bool, dt.datetime | None, dt.datetime | None]]:
    state = resolve_state(Policy(), windows, now)
    found = banners_at(state, windows, now, notice)
    return [(b.mode, b.is_now, b.starts_at, b.ends_at) for b in found]


windows = st.lists(
    st.builds(
        lambda start, length, mode, notice: Window(
            at(start),
            None if length is None else at(start + length),
            mode,
            notice=None if notice is None else notice * MINUTE,
        ),
        st.integers(-10, 30),
        st.none() | st.integers(1, 15),
        st.sampled_from(MODES),
        st.none() | st.integers(0, 20),
    ),
    max_size=4,
)


def mode_at(plans: list[Window], moment: dt.datetime) -> Mode:
    return resolve_state(Policy(), plans, moment).mode


@given(windows, st.integers(0, 40))
def test_the_closure_that_is_told_begins_and_ends_when_the_site_does(
    plans: list[Window], minute: int
) -> None:
    now = at(minute)
    for mode, is_now, start, end in told(*plans, now=now, notice=15 * MINUTE):
        if is_now:
            continue
        assert start is not None
        assert start > now
        assert mode_at(plans, start).severity >= mode.severity
        last = at(120) if end is None else end
        moment = start
        while moment < last:
            assert mode_at(plans, moment).severity >= mode.severity
            moment += MINUTE
        if end is not None and mode is Mode.CLOSED:
            assert mode_at(plans, end) is not Mode.CLOSED


@given(windows, st.integers(0, 40))
def test_between_two_turns_nothing_else_is_told(plans: list[Window], minute: int) -> None:
    now, notice = at(minute), 15 * MINUTE
    turn = next_turn(plans, now, notice)
    state = resolve_state(Policy(), plans, now)
    before = told(*plans, now=now, notice=notice)
    end = min(m for m in (turn, state.next_change, at(60)) if m is not None)
    moment = now
    while moment < end:
        assert told(*plans, now=moment, notice=notice) == before
        moment += MINUTE / 2


@given(windows, st.integers(0, 40))
def test_who_wants_no_notice_is_told_nothing_and_a_closed_site_neither(
    plans: list[Window], minute: int
) -> None:
    now = at(minute)
    quiet = [Window(w.starts_at, w.ends_at, w.mode, notice=NONE) for w in plans]
    assert all(is_now for _mode, is_now, _start, _end in told(*quiet, now=now))
    if mode_at(plans, now) is Mode.CLOSED:
        assert told(*plans, now=now) == []


def test_a_plan_is_told_exactly_from_its_lead_time_on() -> None:
    plan = Window(at(60), at(90))
    assert told(plan, now=NOON - dt.timedelta(microseconds=1)) == []
    assert told(plan) == [(Mode.CLOSED, False, at(60), at(90))]
    assert next_turn([plan], at(-1), 60 * MINUTE) == NOON
    assert next_turn([plan], NOON, 60 * MINUTE) == at(60)
    assert next_turn([plan], at(60), 60 * MINUTE) is None


def test_a_lead_time_longer_than_the_calendar_is_since_ever() -> None:
    plan = Window(at(60), at(90), notice=dt.timedelta.max)
    assert next_turn([plan], NOON, NONE) == at(60)


def test_other_words_are_another_banner() -> None:
    plan = Window(at(1), words={"": Words("One", "")})
    other = Window(at(1), words={"": Words("Another", "")})
    one, two = (Banner(Mode.CLOSED, False, at(1), None, window) for window in (plan, other))
    assert one.identity != two.identity
    assert one.identity == Banner(Mode.CLOSED, False, at(1), None, plan).identity


def test_the_last_closure_is_that_of_the_plan_or_of_the_switch() -> None:
    plan = Window(at(-30), at(-20), keep_logins=True)
    ahead = Window(at(30), at(40))
    state = resolve_state(Policy(), [plan, ahead], NOON)
    assert last_closure(Policy(), state, [plan, ahead], NOON) == (at(-30), at(-20), None)

    began = int(at(-10).timestamp() * 1000)
    policy = Policy(Switch(Mode.OPEN, since=at(-5)), generation=began)
    state = resolve_state(policy, [plan], NOON)
    assert last_closure(policy, state, [plan], NOON) == (at(-10), at(-5), at(-10))


def test_a_timer_that_has_run_out_has_ended_the_closure() -> None:
    policy = Policy(Switch(Mode.CLOSED, since=at(-9), open_at_end=True), ends_at=at(-1))
    state = resolve_state(policy, [], NOON)
    assert state.is_open
    assert last_closure(policy, state, [], NOON).ended == at(-1)
