"""When more fails than before, and since when the site has been open."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import Mode, Policy, Switch, Window
from backsoon.core.watch import ENOUGH_FAILURES, ENOUGH_REQUESTS, Share, has_risen, reopened_at

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)


@st.composite
def shares(draw: st.DrawFn) -> Share:
    requests = draw(st.integers(0, 10**6))
    return Share(requests, draw(st.integers(0, requests)))


@pytest.mark.parametrize(
    ("before", "after", "risen"),
    [
        (Share(1000, 3), Share(100, 14), True),
        (Share(1000, 3), Share(1000, 4), False),
        (Share(1000, 0), Share(19, 19), False),  # too few to say anything
        (Share(1000, 0), Share(1000, 4), False),  # one visitor who tries again
        (Share(), Share(100, 30), True),  # nothing is known of before: a third is never usual
        (Share(), Share(100, 5), False),
        (Share(100, 30), Share(100, 30), False),  # it was as bad before
        (Share(100, 30), Share(100, 70), True),
        (Share(10_000, 30), Share(10_000, 300), True),
    ],
)
def test_examples(before: Share, after: Share, risen: bool) -> None:
    assert has_risen(before, after) is risen


@given(shares(), shares())
def test_what_fails_no_more_often_than_before_is_no_rise(before: Share, after: Share) -> None:
    if after.failures * max(1, before.requests) <= before.failures * max(1, after.requests):
        assert not has_risen(before, after)


@given(shares(), shares(), st.integers(0, 1000))
def test_more_failures_never_calm_anybody(before: Share, after: Share, more: int) -> None:
    worse = Share(after.requests, min(after.requests, after.failures + more))
    assert has_risen(before, worse) or not has_risen(before, after)


@given(shares(), shares())
def test_of_few_requests_or_failures_nothing_is_said(before: Share, after: Share) -> None:
    if after.requests < ENOUGH_REQUESTS or after.failures < ENOUGH_FAILURES:
        assert not has_risen(before, after)


@given(st.integers(0, 10**6))
def test_a_site_on_which_everything_fails_is_found_out(requests: int) -> None:
    assert has_risen(Share(1000, 3), Share(requests, requests)) is (requests >= ENOUGH_REQUESTS)


@given(shares())
def test_the_share_is_one(share: Share) -> None:
    assert 0 <= share.part <= 1
    assert 0 <= share.percent <= 100


MINUTES = st.integers(-600, 600)


def at(minutes: int) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minutes)


@given(
    st.sampled_from([Mode.OPEN, Mode.CLOSED]),
    MINUTES,
    st.none() | MINUTES,
    st.lists(st.tuples(MINUTES, st.integers(1, 300)), max_size=4),
)
def test_since_it_opened_the_site_was_open_and_just_before_it_was_not(
    mode: Mode, since: int, ends: int | None, spans: list[tuple[int, int]]
) -> None:
    windows = [Window(at(start), at(start + length)) for start, length in spans]
    timer = ends is not None and ends > since
    policy = Policy(
        switch=Switch(mode, since=at(since), open_at_end=timer),
        ends_at=at(ends) if timer and ends is not None else None,
    )
    if not resolve_state(policy, windows, NOON).is_open:
        return
    opened = reopened_at(policy, windows, NOON)
    if opened is None:
        return
    for minute in range(round((NOON - opened).total_seconds() / 60) + 1):
        moment = opened + dt.timedelta(minutes=minute)
        assert resolve_state(policy, windows, moment).is_open
    just_before = resolve_state(policy, windows, opened - dt.timedelta(seconds=1))
    # What the switch was before it was opened is not stored with it.
    by_switch = mode is Mode.OPEN and opened == at(since)
    assert by_switch or not just_before.is_open


def test_of_a_site_that_never_closed_nothing_is_said() -> None:
    assert reopened_at(Policy(), (), NOON) is None
