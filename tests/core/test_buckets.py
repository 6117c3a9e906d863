"""Who has asked how often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backsoon.core.buckets import Buckets, bucket_name

steps = st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 200)), max_size=60)


@given(steps, st.integers(1, 5), st.sampled_from([0.5, 10.0, 60.0]))
def test_in_any_span_nobody_gets_more_than_a_bucket_and_what_came_back(
    asked: list[tuple[str, float]], tokens: int, seconds: float
) -> None:
    buckets = Buckets(tokens, seconds)
    now = 0.0
    given_to: dict[str, list[float]] = {"a": [], "b": []}
    for name, pause in asked:
        now += pause
        if not buckets.take(name, now):
            given_to[name].append(now)
    for times in given_to.values():
        for first, start in enumerate(times):
            for last, end in enumerate(times[first:], first):
                assert last - first + 1 <= tokens + (end - start) / seconds + 1e-6


@given(steps, st.integers(1, 5), st.sampled_from([0.5, 10.0, 60.0]))
def test_who_waits_as_long_as_was_said_is_let_by(
    asked: list[tuple[str, float]], tokens: int, seconds: float
) -> None:
    buckets = Buckets(tokens, seconds)
    now = 0.0
    for name, pause in asked:
        now += pause
        wait = buckets.take(name, now)
        assert 0 <= wait <= seconds
        if wait:
            now += wait + 1e-6
            assert buckets.take(name, now) == 0


def test_who_asked_last_is_remembered_and_the_others_are_forgotten() -> None:
    buckets = Buckets(1, 60, most=3)
    for number in range(1_000):
        assert buckets.take(str(number), 0) == 0
    assert len(buckets) == 3
    assert buckets.take("999", 0) == 60
    assert buckets.take("1", 0) == 0


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    buckets = Buckets(1, 60)
    assert buckets.take("a", 100) == 0
    assert buckets.take("a", 50) == 60


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("2a00:1450:4001:82b::200e", "2a00:1450:4001:82b::/64"),
        ("2a00:1450:4001:82b:ffff::1", "2a00:1450:4001:82b::/64"),
        ("127.0.0.1", ""),
        ("10.1.2.3", ""),
        ("::ffff:10.1.2.3", ""),
        ("fe80::1", ""),
        ("", ""),
        ("unix:", ""),
        ("8.8.8.8:443", ""),
    ],
)
def test_a_client_counts_by_its_network_and_what_is_not_public_counts_together(
    address: str, name: str
) -> None:
    assert bucket_name(address) == name
