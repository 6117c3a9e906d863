"""What there is to tell, against a slow look at every minute."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backsoon.core.news import Closure, Kind, announced_from, news_of, next_news
from backsoon.core.vocabulary import Mode, Window

NOON = dt.datetime(2030, 1, 31, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
LAST = 40


def at(minute: int) -> dt.datetime:
    return NOON + minute * MINUTE


@st.composite
def closures(draw: st.DrawFn) -> list[Closure]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, 30))
        length = draw(st.one_of(st.none(), st.integers(1, 15)))
        cancelled = draw(st.one_of(st.none(), st.integers(0, start)))
        found.append(
            Closure(
                Window(at(start), None if length is None else at(start + length), uid=str(number)),
                created_at=at(draw(st.integers(-30, start))),
                cancelled_at=None if cancelled is None else at(cancelled),
                planned=draw(st.booleans()),
            )
        )
    return found


@settings(deadline=None)
@given(plan=closures(), now=st.integers(0, LAST))
def test_it_began_and_ended_exactly_when_the_site_did(plan: list[Closure], now: int) -> None:
    news = news_of(plan, at(now), DAY)
    valid = [closure.window for closure in plan if closure.cancelled_at is None]
    closed = [any(window.covers(at(minute)) for window in valid) for minute in range(-1, now + 1)]
    turns = list(itertools.pairwise(closed))
    began = [at(minute) for minute, turn in enumerate(turns) if turn == (False, True)]
    ended = [at(minute) for minute, turn in enumerate(turns) if turn == (True, False)]
    assert sorted(one.at for one in news if one.kind is Kind.BEGAN) == began
    assert sorted(one.at for one in news if one.kind is Kind.ENDED) == ended


@settings(deadline=None)
@given(plan=closures(), now=st.integers(0, LAST))
def test_the_latest_comes_first_and_nothing_from_the_future(plan: list[Closure], now: int) -> None:
    moments = [one.at for one in news_of(plan, at(now), DAY)]
    assert moments == sorted(moments, reverse=True)
    assert all(moment <= at(now) for moment in moments)


@settings(deadline=None)
@given(plan=closures(), now=st.integers(0, LAST))
def test_until_the_next_moment_nothing_else_is_told(plan: list[Closure], now: int) -> None:
    plan = [closure for closure in plan if closure.cancelled_at is None]
    following = next_news(plan, at(now), 10 * MINUTE)
    for minute in range(now, LAST):
        if following is not None and following <= at(minute):
            break
        assert news_of(plan, at(minute), 10 * MINUTE) == news_of(plan, at(now), 10 * MINUTE)


def planned(*, created: int = -600, **changes: object) -> Closure:
    window = Window(at(0), at(60), uid="w", **changes)  # type: ignore[arg-type]
    return Closure(window, at(created))


def kinds(closure: Closure, now: int) -> list[Kind]:
    return [one.kind for one in news_of([closure], at(now), HOUR)]


def test_visitors_are_told_from_the_notice_on_and_not_a_moment_earlier() -> None:
    assert kinds(planned(), -61) == []
    assert kinds(planned(), -60) == [Kind.ANNOUNCED]
    assert announced_from(planned(created=-30), HOUR) == at(-30)
    assert announced_from(planned(notice=2 * HOUR), HOUR) == at(-120)
    assert kinds(planned(), 0) == [Kind.BEGAN, Kind.ANNOUNCED]
    assert kinds(planned(), 60) == [Kind.ENDED, Kind.BEGAN, Kind.ANNOUNCED]


def test_a_plan_that_nobody_shall_be_told_of_is_told_when_it_shows() -> None:
    silent = planned(notice=dt.timedelta(0))
    assert kinds(silent, -1) == []
    assert kinds(silent, 0) == [Kind.BEGAN]


@pytest.mark.parametrize(("cancelled", "told"), [(-61, []), (-30, [Kind.CANCELLED])])
def test_what_was_not_announced_is_not_cancelled_in_public(
    cancelled: int, told: list[Kind]
) -> None:
    plan = planned()
    plan = Closure(plan.window, plan.created_at, cancelled_at=at(cancelled))
    assert kinds(plan, 200) == told


@pytest.mark.parametrize(("changed", "told"), [(-90, False), (-30, True), (30, True), (60, False)])
def test_a_change_is_told_after_the_announcement_and_before_the_end(
    changed: int, told: bool
) -> None:
    plan = planned(sequence=1)
    plan = Closure(plan.window, plan.created_at, changed_at=at(changed))
    assert (Kind.CHANGED in kinds(plan, 200)) is told


def test_a_stricter_closure_within_a_milder_one_begins_but_the_milder_one_ends_it() -> None:
    mild = Closure(Window(at(0), at(30), Mode.READ_ONLY, uid="mild"), at(0), planned=False)
    strict = Closure(Window(at(10), at(20), uid="strict"), at(0), planned=False)
    told = [(one.kind, one.at) for one in news_of([mild, strict], at(40), DAY)]
    assert told == [(Kind.ENDED, at(30)), (Kind.BEGAN, at(10)), (Kind.BEGAN, at(0))]
