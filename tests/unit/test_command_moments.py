"""Moments that people type."""

from __future__ import annotations

import datetime as dt

import pytest
from django.test import override_settings

from backsoon.management.maintenance.moments import parse_end, parse_past
from backsoon.management.maintenance.words import span

NOW = dt.datetime(2026, 1, 15, 12, tzinfo=dt.UTC)
PARIS = override_settings(TIME_ZONE="Europe/Paris")


def after(**length: float) -> dt.datetime:
    return NOW + dt.timedelta(**length)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("+2h", after(hours=2)),
        ("+90m", after(minutes=90)),
        ("+1d12h", after(hours=36)),
        ("+5s", after(seconds=5)),
        ("+1d2h3m4s", after(days=1, hours=2, minutes=3, seconds=4)),
        (" +2h ", after(hours=2)),
        ("2026-01-15T14:00Z", after(hours=2)),
        ("2026-01-15T15:00+01:00", after(hours=2)),
        ("2026-01-15 14:00", after(hours=2)),
        ("20260115T1400Z", after(hours=2)),
    ],
)
def test_lengths_and_iso_moments_are_read(text: str, moment: dt.datetime) -> None:
    assert parse_end(text, NOW) == moment


@pytest.mark.parametrize(
    "text",
    [
        "", "+", "2h", "+h", "+2", "+2x", "+2h1d", "+-2h", "++2h", "+ 2h", "+2h ago", "+٣h",
        "14:00", "noon", "2026-13-01T00:00", "2026-01-15T25:00", "1e9", "0", "+0s", "+0d0h",
        "-2h", "+999999999999999d", "+999999999d",
        "+" + "9" * 5_000 + "h", "9999-12-31T23:59-23:00",
        "0001-01-01T00:00+23:00", "2026-01-15", "2026-W03-4", "2027-06-01T00:00Z",
        "2026-01-15T12:00Z", "2020-01-01T00:00Z",
    ],
)  # fmt: skip
def test_everything_else_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="Give a moment such as"):
        parse_end(text, NOW)


@PARIS
def test_a_moment_without_offset_lies_in_the_zone_of_the_settings() -> None:
    assert parse_end("2026-01-15T14:00", NOW) == after(hours=1)
    assert parse_end("2026-07-15T14:00", NOW) == dt.datetime(2026, 7, 15, 12, tzinfo=dt.UTC)


@PARIS
def test_a_time_that_the_clocks_skip_is_explained() -> None:
    with pytest.raises(ValueError, match="does not exist in Europe/Paris") as caught:
        parse_end("2026-03-29T02:30", NOW)
    assert "Did you mean 2026-03-29T03:30+02:00?" in str(caught.value)


@PARIS
def test_a_time_that_the_clocks_show_twice_is_explained() -> None:
    with pytest.raises(ValueError, match="happens twice in Europe/Paris") as caught:
        parse_end("2026-10-25T02:30", NOW)
    assert "2026-10-25T02:30+02:00 or 2026-10-25T02:30+01:00" in str(caught.value)


@PARIS
@pytest.mark.parametrize("offset", ["+02:00", "+01:00"])
def test_with_an_offset_such_a_time_is_clear(offset: str) -> None:
    assert parse_end(f"2026-10-25T02:30{offset}", NOW).minute == 30


@PARIS
def test_the_minutes_around_a_change_of_the_clocks_are_clear() -> None:
    before, behind = (parse_end(f"2026-03-29T0{hour}", NOW) for hour in ("1:59", "3:00"))
    assert behind - before == dt.timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", after(hours=-2)),
        ("-2h", after(hours=-2)),
        ("7d", after(days=-7)),
        ("2026-01-10", dt.datetime(2026, 1, 10, tzinfo=dt.UTC)),
        ("2026-01-10T12:00Z", after(days=-5)),
        ("2030-01-01", dt.datetime(2030, 1, 1, tzinfo=dt.UTC)),
    ],
)
def test_looking_back_takes_days_moments_and_lengths(text: str, moment: dt.datetime) -> None:
    assert parse_past(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "-", "once", "2x", "999999999d", "999999999999d", "+2h"])
def test_looking_back_to_nowhere_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Give a moment such as"):
        parse_past(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 seconds"),
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (90, "1 minute 30 seconds"),
        (7_199, "2 hours"),
        (7_260, "2 hours 1 minute"),
        (90_000, "1 day 1 hour"),
        (604_800, "7 days"),
    ],
)
def test_lengths_are_told_by_their_two_largest_units(seconds: int, words: str) -> None:
    assert span(dt.timedelta(seconds=seconds)) == words
