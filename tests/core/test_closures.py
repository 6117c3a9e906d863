"""The closures that there were, as history and plans tell of them."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backsoon.core.closures import Fact, Span, extensions, joined, moment_of, spans_by_hand
from backsoon.core.vocabulary import Mode

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)


def at(minutes: int) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minutes)


def fact(minutes: int, action: str, before: Any = None, **after: Any) -> Fact:
    return Fact(at(minutes), action, before=before or {}, after=after)


def spans(*facts: Fact, now: int = 1000) -> list[tuple[int, int | None]]:
    return [_minutes(span) for span in spans_by_hand(facts, at(now))]


def _minutes(span: Any) -> tuple[int, int | None]:
    end = None if span.ends_at is None else round((span.ends_at - NOON).total_seconds() / 60)
    return round((span.starts_at - NOON).total_seconds() / 60), end


def test_one_lasts_from_closing_to_opening() -> None:
    assert spans(
        fact(0, "closed", mode="closed"),
        fact(5, "settings"),
        fact(9, "opened", mode="open"),
        fact(20, "closed", mode="closed"),
    ) == [(0, 9), (20, None)]


def test_becoming_more_severe_is_no_new_one() -> None:
    (span,) = spans_by_hand(
        [fact(0, "closed", mode="read_only"), fact(5, "closed", mode="closed"), fact(9, "opened")],
        at(10),
    )
    assert (_minutes(span), span.mode) == ((0, 9), Mode.CLOSED)


def test_a_timer_ends_it_whether_or_not_somebody_wrote_that_down() -> None:
    end = {"maintenance_ends_at": at(30).isoformat(), "open_at_end": True}
    assert spans(fact(0, "closed", mode="closed", **end)) == [(0, 30)]
    assert spans(fact(0, "closed", mode="closed", **end), now=29) == [(0, None)]
    assert spans(
        fact(0, "closed", mode="closed", **end), fact(60, "closed", mode="closed"), now=70
    )[0] == (0, 30)
    later = {"maintenance_ends_at": at(40).isoformat()}
    assert spans(fact(0, "closed", mode="closed", **end), fact(10, "settings", **later)) == [
        (0, 40)
    ]
    assert spans(
        fact(0, "closed", mode="closed", **end), fact(10, "settings", open_at_end=False)
    ) == [(0, None)]


def test_what_was_done_by_other_hands_counts() -> None:
    assert spans(fact(0, "noticed", mode="closed"), fact(9, "noticed", mode="open")) == [(0, 9)]


def test_an_end_is_put_off_or_not() -> None:
    def moved(name: str, old: int, new: int, action: str = "settings") -> Fact:
        return fact(5, action, {name: at(old).isoformat()}, **{name: at(new).isoformat()})

    assert extensions([moved("maintenance_ends_at", 10, 20), moved("ends_at", 10, 20)]) == 2
    assert extensions([moved("overdue_at", 10, 20), moved("ends_at", 20, 10)]) == 1
    assert extensions([moved("maintenance_ends_at", 10, 20, "closed")]) == 0
    assert extensions([fact(5, "settings", maintenance_ends_at=at(20).isoformat())]) == 0


def test_what_is_no_moment_is_none() -> None:
    assert moment_of(None) is moment_of("soon") is moment_of("2030-01-01T12:00") is None
    assert moment_of("2030-01-01T13:00:00+01:00") == NOON


SPANS = st.lists(st.tuples(st.integers(0, 100), st.none() | st.integers(1, 30)), max_size=6)


@given(SPANS)
def test_a_minute_is_in_a_closure_if_any_span_covers_it(lengths: list[tuple[int, Any]]) -> None:
    found = [
        Span(at(start), None if length is None else at(start + length), Mode.CLOSED)
        for start, length in lengths
    ]
    closures = joined(found)
    for minute in range(140):
        moment = at(minute)
        covering = [c for c in closures if c.starts_at <= moment]
        covering = [c for c in covering if c.ends_at is None or moment < c.ends_at]
        expected = any(
            s.starts_at <= moment and (s.ends_at is None or moment < s.ends_at) for s in found
        )
        assert bool(covering) is expected
        assert len(covering) <= 1
    assert sum(len(c.spans) for c in closures) == len(found)
    for earlier, later in itertools.pairwise(closures):
        assert earlier.ends_at is not None
        assert earlier.ends_at < later.starts_at
