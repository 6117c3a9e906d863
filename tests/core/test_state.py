"""What is true at a moment: the switch and the windows together."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backsoon.core.state import (
    DEFAULT_RETRY_SECONDS,
    LONGEST_RETRY_SECONDS,
    OVERDUE_GRACE,
    is_overdue,
    notice_of,
    opens_from,
    overdue_from,
    resolve_state,
    retry_after,
)
from backsoon.core.vocabulary import Mode, Notice, Policy, State, Switch, Why, Window, Words
from tests.core.timeline import HORIZON, LAST_EDGE, Span, bases, moment, schedules, zones

NOON = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
PARIS = ZoneInfo("Europe/Paris")

Schedule = list[tuple[Span, dt.tzinfo]]

modes = st.sampled_from(list(Mode))
ends = st.none() | st.integers(0, LAST_EDGE)


def policy_of(
    base: dt.datetime, mode: Mode, end: int | None, zone: dt.tzinfo, timer: bool
) -> Policy:
    return Policy(
        switch=Switch(mode, since=base, by="ann", reason="by hand", open_at_end=timer),
        ends_at=None if end is None else moment(base, end, zone),
        generation=7,
    )


def severest(found: list[Mode]) -> Mode:
    return next((m for m in (Mode.CLOSED, Mode.READ_ONLY) if m in found), Mode.OPEN)


def walked_end(schedule: list[Span], minute: int) -> int | None:
    """The first minute from *minute* on that no window covers; ``None`` when there is none."""
    return next(
        (m for m in range(minute, HORIZON + 1) if not any(s.covers(m) for s in schedule)), None
    )


def as_severe(schedule: list[Span], mode: Mode) -> list[Span]:
    """The windows that take away at least as much as *mode*: the others end nobody's wait."""
    return [span for span in schedule if severest([span.mode, mode]) is span.mode]


@given(bases, schedules, modes, ends, st.booleans(), zones)
@settings(max_examples=25, deadline=None)
def test_the_state_is_what_a_walk_through_every_minute_finds(
    base: dt.datetime,
    schedule: Schedule,
    mode: Mode,
    end: int | None,
    timer: bool,
    zone: dt.tzinfo,
) -> None:
    policy = policy_of(base, mode, end, zone, timer)
    windows = [span.window(base, words) for span, words in schedule]
    only_spans = [span for span, _words in schedule]
    for minute in range(HORIZON):
        state = resolve_state(policy, windows, moment(base, minute, zone))
        by_hand = Mode.OPEN if timer and end is not None and end <= minute else mode
        covering = [span for span in only_spans if span.covers(minute)]
        planned = severest([span.mode for span in covering])

        assert state.mode is severest([by_hand, planned])
        assert state.is_open is (state.mode is Mode.OPEN)
        if state.is_open:
            assert (state.why, state.since, state.until) == (Why.OPEN, None, None)
        elif state.mode is by_hand:
            assert (state.why, state.by, state.reason) == (Why.SWITCH, "ann", "by hand")
            assert state.since == base
            told = end
            if end is not None and as_severe(covering, by_hand):
                beyond = walked_end(as_severe(only_spans, by_hand), minute)
                told = None if beyond is None else max(end, beyond)
            assert state.until == (None if told is None else moment(base, told))
            assert state.late is (told is not None and told <= minute)
        else:
            assert state.why is Why.WINDOW
            assert state.reason in {s.reason for s in covering if s.mode is state.mode}
            over = walked_end(as_severe(only_spans, state.mode), minute)
            assert state.until == (None if over is None else moment(base, over))
            assert state.late is False

        started = [
            int(moment(base, span.start).timestamp() * 1000)
            for span in only_spans
            if span.start <= minute and span.mode is Mode.CLOSED and not span.keep_logins
        ]
        assert state.generation == max([7, *started])


@given(bases, schedules, modes, ends, st.booleans(), zones)
@settings(max_examples=25, deadline=None)
def test_nothing_changes_before_the_next_look(
    base: dt.datetime,
    schedule: Schedule,
    mode: Mode,
    end: int | None,
    timer: bool,
    zone: dt.tzinfo,
) -> None:
    policy = policy_of(base, mode, end, zone, timer)
    windows = [span.window(base, words) for span, words in schedule]
    line = [resolve_state(policy, windows, moment(base, m, zone)) for m in range(HORIZON)]
    for minute, state in enumerate(line):
        now = moment(base, minute)
        assert state.next_look is None or state.next_look > now
        for later in range(minute + 1, HORIZON):
            if state.next_look is not None and state.next_look <= moment(base, later):
                break
            assert line[later] == state


@given(bases, schedules, zones)
@settings(max_examples=25, deadline=None)
def test_with_windows_apart_the_next_change_is_the_very_minute_of_the_change(
    base: dt.datetime, schedule: Schedule, zone: dt.tzinfo
) -> None:
    apart: list[Span] = []
    for span in sorted((s for s, _words in schedule), key=lambda s: s.start):
        if not apart or (apart[-1].end is not None and span.start > apart[-1].end):
            apart.append(span)
    windows = [span.window(base, zone) for span in apart]
    line = [resolve_state(Policy(), windows, moment(base, m, zone)) for m in range(HORIZON)]
    for minute, state in enumerate(line):
        changes = (m for m in range(minute + 1, HORIZON) if line[m].mode is not state.mode)
        first = next(changes, None)
        assert state.next_change == (None if first is None else moment(base, first))


@given(bases, schedules, modes, ends, st.booleans(), zones, zones)
@settings(max_examples=25, deadline=None)
def test_the_words_in_which_a_moment_is_told_change_nothing(
    base: dt.datetime,
    schedule: Schedule,
    mode: Mode,
    end: int | None,
    timer: bool,
    one: dt.tzinfo,
    other: dt.tzinfo,
) -> None:
    for minute in range(0, HORIZON, 7):
        assert resolve_state(
            policy_of(base, mode, end, one, timer),
            [span.window(base, one) for span, _words in schedule],
            moment(base, minute, one),
        ) == resolve_state(
            policy_of(base, mode, end, other, timer),
            [span.window(base, other) for span, _words in schedule],
            moment(base, minute, other),
        )


@given(bases, schedules, modes, ends, st.integers(0, HORIZON))
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_windows_does_not_matter_for_mode_end_and_generation(
    base: dt.datetime,
    schedule: Schedule,
    mode: Mode,
    end: int | None,
    minute: int,
) -> None:
    windows = [span.window(base, dt.UTC) for span, _words in schedule]
    policy = policy_of(base, mode, end, dt.UTC, timer=False)
    now = moment(base, minute)
    straight = resolve_state(policy, windows, now)
    turned = resolve_state(policy, windows[::-1], now)
    assert replace(straight, reason="", window=None) == replace(turned, reason="", window=None)


def test_without_anything_stored_the_site_is_open() -> None:
    assert resolve_state(Policy(), [], NOON) == State(Mode.OPEN, Why.OPEN)


def test_the_switch_rules_over_a_window_of_the_same_mode() -> None:
    policy = Policy(Switch(Mode.CLOSED, since=NOON - MINUTE, by="ann"))
    state = resolve_state(policy, [Window(NOON - HOUR, NOON + HOUR)], NOON)
    assert (state.why, state.since, state.by) == (Why.SWITCH, NOON - MINUTE, "ann")


def test_a_closing_window_rules_over_a_switch_that_only_forbids_writing() -> None:
    policy = Policy(Switch(Mode.READ_ONLY, since=NOON - HOUR))
    window = Window(NOON - MINUTE, NOON + HOUR, reason="planned")
    state = resolve_state(policy, [window], NOON)
    assert (state.mode, state.why, state.reason) == (Mode.CLOSED, Why.WINDOW, "planned")


def test_the_expected_end_is_a_promise_and_opens_nothing() -> None:
    policy = Policy(Switch(Mode.CLOSED), ends_at=NOON)
    before = resolve_state(policy, [], NOON - MINUTE)
    after = resolve_state(policy, [], NOON)
    assert (before.mode, before.late) == (Mode.CLOSED, False)
    assert (after.mode, after.late) == (Mode.CLOSED, True)


def test_as_a_timer_the_expected_end_opens_at_its_very_moment() -> None:
    policy = Policy(Switch(Mode.CLOSED, open_at_end=True), ends_at=NOON)
    before = resolve_state(policy, [], NOON - dt.timedelta(microseconds=1))
    assert (before.mode, before.next_change) == (Mode.CLOSED, NOON)
    assert resolve_state(policy, [], NOON).is_open


def test_a_timer_without_an_end_never_opens() -> None:
    policy = Policy(Switch(Mode.CLOSED, open_at_end=True))
    assert resolve_state(policy, [], NOON + 10_000 * HOUR).mode is Mode.CLOSED


def test_a_timer_opens_nothing_while_a_window_lasts() -> None:
    policy = Policy(Switch(Mode.CLOSED, open_at_end=True), ends_at=NOON)
    window = Window(NOON - HOUR, NOON + HOUR)
    state = resolve_state(policy, [window], NOON)
    assert (state.mode, state.why, state.until) == (Mode.CLOSED, Why.WINDOW, NOON + HOUR)


def test_visitors_are_told_the_end_of_the_window_when_it_lies_behind_the_expected_end() -> None:
    policy = Policy(Switch(Mode.CLOSED), ends_at=NOON + MINUTE)
    state = resolve_state(policy, [Window(NOON - HOUR, NOON + HOUR)], NOON)
    assert state.until == NOON + HOUR


def test_a_read_only_window_or_one_that_keeps_logins_ends_none() -> None:
    windows = [
        Window(NOON - HOUR, mode=Mode.READ_ONLY),
        Window(NOON - HOUR, keep_logins=True),
        Window(NOON + HOUR),
    ]
    assert resolve_state(Policy(generation=3), windows, NOON).generation == 3


def test_a_naive_moment_is_refused() -> None:
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(ValueError, match="aware"):
        resolve_state(Policy(), [], naive)
    with pytest.raises(ValueError, match="ends_at must be an aware datetime"):
        Policy(ends_at=naive)
    with pytest.raises(ValueError, match="since must be an aware datetime"):
        Switch(since=naive)


def test_a_policy_needs_texts_for_every_other_language() -> None:
    with pytest.raises(ValueError, match="every other language"):
        Policy(notices={"fr": Notice()})


@pytest.mark.parametrize(
    ("language", "title"),
    [("fr", "bientôt"), ("fr-ca", "bientôt"), ("pt-br", "jà"), ("pt", "soon"), ("", "soon")],
)
def test_the_notice_is_that_of_the_language_or_its_base_or_the_rest(
    language: str, title: str
) -> None:
    texts = {"": Notice("soon"), "fr": Notice("bientôt"), "pt-br": Notice("jà")}
    assert Policy(notices=texts).notice(language).title == title


@given(st.integers(-(10**9), 10**9), zones)
@settings(max_examples=80, deadline=None)
def test_a_client_waits_until_the_end_but_never_less_than_a_second_nor_more_than_a_day(
    seconds: int, zone: dt.tzinfo
) -> None:
    end = NOON + dt.timedelta(seconds=seconds)
    told = retry_after(State(Mode.CLOSED, Why.SWITCH, until=end), NOON.astimezone(zone))
    if seconds <= 0:
        assert told == DEFAULT_RETRY_SECONDS
    else:
        assert told == min(seconds, LONGEST_RETRY_SECONDS)
    assert 1 <= told <= LONGEST_RETRY_SECONDS


def test_a_client_waits_two_minutes_when_nobody_knows_the_end() -> None:
    assert retry_after(State(Mode.CLOSED, Why.SWITCH), NOON) == 120


def test_a_client_waits_at_least_one_second_for_an_end_that_is_nearer() -> None:
    soon = NOON + dt.timedelta(milliseconds=300)
    assert retry_after(State(Mode.CLOSED, Why.SWITCH, until=soon), NOON) == 1


def test_a_client_waits_through_the_hour_that_comes_twice() -> None:
    now = dt.datetime(2026, 10, 25, 2, 59, tzinfo=PARIS, fold=0)
    until = dt.datetime(2026, 10, 25, 3, 0, tzinfo=PARIS)
    assert retry_after(State(Mode.CLOSED, Why.WINDOW, until=until), now) == 3660


# -- A closure that lasts too long -------------------------------------------------------------


@given(bases, schedules, modes, ends, ends, st.booleans(), st.booleans(), zones)
@settings(max_examples=25, deadline=None)
def test_a_forgotten_closure_is_overdue_and_open_at_the_very_minute(
    base: dt.datetime,
    schedule: Schedule,
    mode: Mode,
    end: int | None,
    limit: int | None,
    timer: bool,
    opens: bool,
    zone: dt.tzinfo,
) -> None:
    overdue_at = None if limit is None else moment(base, limit, zone)
    policy = policy_of(base, mode, end, zone, timer)
    switch = replace(policy.switch, overdue_at=overdue_at, opens_when_overdue=opens)
    policy = replace(policy, switch=switch)
    windows = [span.window(base, words) for span, words in schedule]
    line = [resolve_state(policy, windows, moment(base, m, zone)) for m in range(HORIZON)]
    for minute, state in enumerate(line):
        timed_out = timer and end is not None and end <= minute
        too_long = (
            mode is not Mode.OPEN
            and limit is not None
            and limit <= minute
            and (end is None or (end + 60 <= minute and not timer))
        )
        by_hand = Mode.OPEN if timed_out or (too_long and opens) else mode
        planned = severest([s.mode for s, _words in schedule if s.covers(minute)])
        assert state.mode is severest([by_hand, planned])
        assert state.overdue is (too_long and by_hand is not Mode.OPEN)
        for later in range(minute + 1, HORIZON):
            if state.next_look is not None and state.next_look <= moment(base, later):
                break
            assert line[later] == state


def overdue_at_noon(**values: object) -> Policy:
    switch = Switch(Mode.CLOSED, since=NOON - 24 * HOUR, overdue_at=NOON)
    return Policy(replace(switch, **values))  # type: ignore[arg-type]


def test_an_overdue_closure_stays_closed_unless_it_was_meant_to_open() -> None:
    state = resolve_state(overdue_at_noon(), [], NOON)
    assert (state.mode, state.overdue, state.overdue_at) == (Mode.CLOSED, True, NOON)
    assert resolve_state(overdue_at_noon(opens_when_overdue=True), [], NOON).is_open


def test_the_moment_of_the_alarm_is_the_next_look_and_no_change_unless_the_site_opens_then() -> (
    None
):
    before = resolve_state(overdue_at_noon(), [], NOON - MINUTE)
    assert (before.overdue, before.overdue_at) == (False, NOON)
    assert (before.next_look, before.next_change) == (NOON, None)
    assert resolve_state(overdue_at_noon(), [], NOON).next_look is None
    opens = resolve_state(overdue_at_noon(opens_when_overdue=True), [], NOON - MINUTE)
    assert (opens.next_look, opens.next_change) == (NOON, NOON)


def test_a_read_only_site_is_overdue_as_a_closed_one_is() -> None:
    assert resolve_state(overdue_at_noon(mode=Mode.READ_ONLY), [], NOON).overdue


def test_an_open_site_is_never_overdue_whatever_was_stored() -> None:
    state = resolve_state(overdue_at_noon(mode=Mode.OPEN), [], NOON)
    assert (state.overdue, state.overdue_at, state.next_change) == (False, None, None)


def test_a_window_alone_is_never_overdue() -> None:
    state = resolve_state(Policy(), [Window(NOON - 100 * HOUR)], NOON)
    assert (state.mode, state.overdue, state.overdue_at) == (Mode.CLOSED, False, None)


def test_who_promised_visitors_a_later_end_is_not_alarmed_before() -> None:
    policy = replace(overdue_at_noon(), ends_at=NOON + 5 * HOUR)
    assert overdue_from(policy) == NOON + 5 * HOUR + OVERDUE_GRACE
    assert not is_overdue(policy, NOON + 5 * HOUR)
    earlier = replace(overdue_at_noon(), ends_at=NOON - 5 * HOUR)
    assert overdue_from(earlier) == NOON


def test_a_closure_that_opens_at_its_end_never_alarms_anybody() -> None:
    policy = replace(overdue_at_noon(open_at_end=True), ends_at=NOON + 100 * HOUR)
    assert overdue_from(policy) is None
    assert opens_from(policy) == NOON + 100 * HOUR


def test_an_end_at_the_end_of_the_calendar_is_no_fault() -> None:
    last = dt.datetime.max.replace(tzinfo=dt.UTC)
    assert overdue_from(replace(overdue_at_noon(), ends_at=last)) == last


def test_a_limit_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="overdue_at must be an aware datetime"):
        Switch(overdue_at=NOON.replace(tzinfo=None))


# -- What visitors are told ------------------------------------------------------------------------


def test_the_words_of_the_window_that_rules_are_told_text_by_text_and_no_others() -> None:
    policy = Policy(
        notices={"": Notice(title="Shop", message="Soon"), "fr": Notice(title="Boutique")}
    )
    window = Window(
        NOON, NOON + HOUR,
        words={"": Words(message="New machines"), "fr": Words("Travaux", "Machines")},
    )  # fmt: skip
    milder = Window(NOON, NOON + 2 * HOUR, Mode.READ_ONLY, words={"": Words("Look", "only")})
    windows = [milder, window]

    def told(now: dt.datetime, language: str, policy: Policy = policy) -> tuple[str, str]:
        notice = notice_of(policy, resolve_state(policy, windows, now), language)
        return notice.title, notice.message

    assert told(NOON, "en") == ("Shop", "New machines")
    assert told(NOON, "fr-ca") == ("Travaux", "Machines")
    assert told(NOON + HOUR, "fr") == ("Look", "only")
    assert told(NOON + 2 * HOUR, "en") == ("Shop", "Soon")
    by_hand = replace(policy, switch=Switch(Mode.CLOSED, NOON))
    assert told(NOON, "en", by_hand) == ("Shop", "Soon")
