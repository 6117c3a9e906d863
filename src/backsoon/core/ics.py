"""Events as an iCalendar object (RFC 5545), in UTC, so that no time zone has to be described."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST_LINE = 75
"""Octets of a line, its end not counted (RFC 5545, 3.1)."""

_LINE_ENDS = re.compile("\r\n|[\r\n\x0b\x0c\x85\u2028\u2029]")
"""Everything that some parser takes for the end of a line."""

_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
"""What must not stand in a text (RFC 5545, 3.1: CONTROL)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event."""

    uid: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    created_at: dt.datetime
    modified_at: dt.datetime
    sequence: int
    summary: str
    description: str = ""
    cancelled: bool = False
    url: str = ""


def calendar(events: Iterable[Event], *, name: str, language: str, refresh: dt.timedelta) -> bytes:
    """The calendar *name* with *events*, whose texts are in *language*.

    Clients are asked to come again after *refresh*. Equal arguments give equal bytes.
    """
    every = f"PT{max(1, int(refresh.total_seconds()) // 60)}M"
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Backsoon//django-backsoon//EN",
        "CALSCALE:GREGORIAN",
        f"NAME:{escaped(name)}",
        f"X-WR-CALNAME:{escaped(name)}",
        f"REFRESH-INTERVAL;VALUE=DURATION:{every}",
        f"X-PUBLISHED-TTL:{every}",
    ]
    for event in events:
        lines += _lines_of(event, language)
    lines.append("END:VCALENDAR")
    return b"".join(folded(line) + b"\r\n" for line in lines)


def _lines_of(event: Event, language: str) -> list[str]:
    lines = [
        "BEGIN:VEVENT",
        f"UID:{escaped(event.uid)}",
        f"DTSTAMP:{_utc(event.modified_at)}",
        f"CREATED:{_utc(event.created_at)}",
        f"LAST-MODIFIED:{_utc(event.modified_at)}",
        f"SEQUENCE:{event.sequence}",
        f"STATUS:{'CANCELLED' if event.cancelled else 'CONFIRMED'}",
        f"DTSTART:{_utc(event.starts_at)}",
        f"DTEND:{_utc(event.ends_at)}",
        f"SUMMARY;LANGUAGE={language}:{escaped(event.summary)}",
    ]
    if event.description:
        lines.append(f"DESCRIPTION;LANGUAGE={language}:{escaped(event.description)}")
    if event.url:
        lines.append(f"URL:{_CONTROLS.sub('', _LINE_ENDS.sub('', event.url))}")
    # Whoever looks on is not busy because of it.
    return [*lines, "TRANSP:TRANSPARENT", "CLASS:PUBLIC", "END:VEVENT"]


def escaped(text: str) -> str:
    """*text* as a value of type TEXT (RFC 5545, 3.3.11)."""
    text = _CONTROLS.sub("", _LINE_ENDS.sub("\n", text))
    for sign in ("\\", ";", ","):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", "\\n")


def folded(line: str) -> bytes:
    """*line* encoded, and folded where it is too long, never inside a character."""
    rest = line.encode(errors="replace")  # half a surrogate pair, for one
    pieces: list[bytes] = []
    room = LONGEST_LINE
    while len(rest) > room:
        cut = room
        while rest[cut] & 0b1100_0000 == 0b1000_0000:  # in the middle of a character
            cut -= 1
        pieces.append(rest[:cut])
        rest = rest[cut:]
        room = LONGEST_LINE - 1  # the blank that a continuation begins with counts
    return b"\r\n ".join([*pieces, rest])


def _utc(moment: dt.datetime) -> str:
    moment = moment.astimezone(dt.UTC)
    # strftime() does not write years before 1000 with four digits everywhere.
    return f"{moment.year:04}{moment:%m%dT%H%M%SZ}"
