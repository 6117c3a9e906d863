"""A time line in whole minutes, so that oracles count instead of comparing datetimes.

Each base lies just before a change of clocks somewhere; the same minute is told in the words of
different zones, among them ones in which an hour comes twice, or is missing, or is half an hour.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from backsoon.core.vocabulary import Mode, Window

LAST_EDGE = 160
HORIZON = LAST_EDGE + 20
"""Minutes that are looked at; no window begins or ends after :data:`LAST_EDGE`."""

BASES = (
    dt.datetime(2026, 10, 24, 23, 30, tzinfo=dt.UTC),  # Paris: 02:00 to 03:00 comes twice
    dt.datetime(2026, 3, 28, 23, 30, tzinfo=dt.UTC),  # Paris: 02:00 to 03:00 is missing
    dt.datetime(2026, 11, 1, 4, 30, tzinfo=dt.UTC),  # New York: 01:00 to 02:00 comes twice
    dt.datetime(2026, 4, 4, 13, 30, tzinfo=dt.UTC),  # Lord Howe: half an hour comes twice
)

ZONES: tuple[dt.tzinfo, ...] = (
    dt.UTC,
    ZoneInfo("Europe/Paris"),
    ZoneInfo("America/New_York"),
    ZoneInfo("Australia/Lord_Howe"),
    ZoneInfo("Asia/Kathmandu"),
)


@dataclass(frozen=True)
class Span:
    """A window in minutes."""

    start: int
    end: int | None
    mode: Mode
    keep_logins: bool
    reason: str

    def covers(self, minute: int) -> bool:
        return self.start <= minute and (self.end is None or minute < self.end)

    def window(self, base: dt.datetime, zone: dt.tzinfo) -> Window:
        return Window(
            starts_at=moment(base, self.start, zone),
            ends_at=None if self.end is None else moment(base, self.end, zone),
            mode=self.mode,
            keep_logins=self.keep_logins,
            reason=self.reason,
        )


def moment(base: dt.datetime, minute: int, zone: dt.tzinfo = dt.UTC) -> dt.datetime:
    """The moment *minute* minutes after *base*, in the words of *zone*."""
    return (base + dt.timedelta(minutes=minute)).astimezone(zone)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    start = draw(st.integers(0, LAST_EDGE - 1))
    endless = draw(st.sampled_from([False] * 5 + [True]))
    return Span(
        start,
        None if endless else draw(st.integers(start + 1, LAST_EDGE)),
        draw(st.sampled_from([Mode.CLOSED, Mode.READ_ONLY])),
        draw(st.booleans()),
        draw(st.sampled_from(["", "new servers", "backup"])),
    )


bases = st.sampled_from(BASES)
zones = st.sampled_from(ZONES)
schedules = st.lists(st.tuples(spans(), zones), max_size=5)
