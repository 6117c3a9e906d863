"""A calendar as another parser reads it."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import icalendar
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backsoon.core import ics

NOON = dt.datetime(2030, 1, 31, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
NASTY = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from('\\;,:"\r\n\t\x00\x07\x7f\x85\u2028\u202e€👩‍🚒é'),
    ),
    max_size=300,
)


def written(**changes: object) -> bytes:
    values: dict[str, object] = {
        "uid": "a1", "starts_at": NOON, "ends_at": NOON + HOUR, "created_at": NOON - HOUR,
        "modified_at": NOON - HOUR / 2, "sequence": 3, "summary": "Moving house",
    }  # fmt: skip
    event = ics.Event(**{**values, **changes})  # type: ignore[arg-type]
    return ics.calendar([event], name="Maintenance", language="en", refresh=HOUR)


def read(document: bytes) -> Any:
    (event,) = icalendar.Calendar.from_ical(document).walk("VEVENT")
    return event


def plain(text: str) -> str:
    """What of *text* a calendar can hold."""
    text = re.sub("\r\n|[\r\x0b\x0c\x85\u2028\u2029]", "\n", text)
    return re.sub("[\x00-\x08\x0e-\x1f\x7f]", "", text)


@settings(deadline=None)
@given(summary=NASTY, description=NASTY)
@example(summary="\\n is no new line;\r\nthis, is", description="\\\\;\\,")
@example(summary="a" * 5_000, description="👩‍🚒" * 500)
def test_whatever_is_written_is_read_again(summary: str, description: str) -> None:
    event = read(written(summary=summary, description=description))
    assert str(event["SUMMARY"]) == plain(summary)
    assert str(event.get("DESCRIPTION", "")) == plain(description)


@settings(deadline=None)
@given(summary=NASTY)
@example(summary="é" * 200)
@example(summary="\ud800 half a pair")
def test_lines_are_short_end_with_crlf_and_break_no_character(summary: str) -> None:
    document = written(summary=summary)
    assert document.endswith(b"END:VCALENDAR\r\n")
    lines = document.split(b"\r\n")
    assert all(len(line) <= 75 for line in lines)
    for line in lines:
        assert not re.search("[\x00-\x08\x0a-\x1f\x7f]", line.decode())


def test_an_event_says_when_which_and_how_often_it_was_changed() -> None:
    event = read(written())
    assert event["UID"] == "a1"
    assert event["DTSTART"].dt == NOON
    assert event["DTEND"].dt == NOON + HOUR
    assert event["DTSTAMP"].dt == event["LAST-MODIFIED"].dt == NOON - HOUR / 2
    assert event["SEQUENCE"] == 3
    assert event["STATUS"] == "CONFIRMED"
    assert event["SUMMARY"].params["LANGUAGE"] == "en"
    assert read(written(cancelled=True))["STATUS"] == "CANCELLED"


def test_times_of_any_zone_are_written_in_utc() -> None:
    paris = dt.timezone(dt.timedelta(hours=1))
    assert b"DTSTART:20300131T120000Z" in written(starts_at=NOON.astimezone(paris))
    early = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
    assert b"CREATED:00010101T000000Z" in written(created_at=early)


def test_an_address_brings_no_line_of_its_own() -> None:
    document = written(url="https://example.com/\r\nSTATUS:CANCELLED")
    assert read(document)["STATUS"] == "CONFIRMED"


def test_a_calendar_without_events_is_one() -> None:
    document = ics.calendar([], name="Ours; theirs", language="fr", refresh=HOUR)
    calendar: Any = icalendar.Calendar.from_ical(document)
    assert calendar.walk("VEVENT") == []
    assert b"\r\nNAME:Ours\\; theirs\r\n" in document
    assert b"X-WR-CALNAME:Ours\\; theirs" in document
    assert calendar["REFRESH-INTERVAL"].dt == HOUR
