"""The words that the rest of Backsoon is written in.

All values are frozen. Those with a rule of their own refuse to be built wrongly, so that nobody
who receives one has to check it again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Mode(StrEnum):
    """What the site does with ordinary visitors."""

    OPEN = "open"
    READ_ONLY = "read_only"
    CLOSED = "closed"

    @property
    def severity(self) -> int:
        """How much it takes away: of two causes at the same time the more severe one rules."""
        return _SEVERITY[self]


_SEVERITY = {Mode.OPEN: 0, Mode.READ_ONLY: 1, Mode.CLOSED: 2}


class Why(StrEnum):
    """What brought the present state about."""

    OPEN = "open"
    SWITCH = "switch"
    WINDOW = "window"
    UNKNOWN = "unknown"
    """The process could not read the state, and refusing is the safe answer."""


class UserKind(StrEnum):
    """What is known of whoever sent the request."""

    UNKNOWN = "unknown"
    """Nobody has looked yet; looking costs a session and a query."""
    ANONYMOUS = "anonymous"
    ORDINARY = "ordinary"
    ADMINISTRATOR = "administrator"


def _keep_in_utc(holder: object, *names: str) -> None:
    """Put the moments *names* of a frozen *holder* into UTC; refuse those without a zone.

    Python compares two moments of the same zone by their wall clocks, which run the same hour
    twice when summer time ends; in UTC no hour comes twice.
    """
    for name in names:
        moment: dt.datetime | None = getattr(holder, name)
        if moment is None:
            continue
        if moment.utcoffset() is None:
            raise ValueError(f"{name} must be an aware datetime, not {moment!r}")
        object.__setattr__(holder, name, moment.astimezone(dt.UTC))


@dataclass(frozen=True, slots=True)
class Switch:
    """The manual on/off, with the circumstances of its last change."""

    mode: Mode = Mode.OPEN
    since: dt.datetime | None = None
    by: str = ""
    reason: str = ""
    open_at_end: bool = False
    """Whether the expected end is a timer that opens the site, not just a promise to visitors."""
    overdue_at: dt.datetime | None = None
    """When the closure has lasted longer than anybody meant it to; ``None`` for never.

    A later expected end puts it off: see :func:`backsoon.core.state.overdue_from`.
    """
    opens_when_overdue: bool = False
    """Whether the site opens at that moment, or only an alarm is raised."""
    cut_streams_at: dt.datetime | None = None
    """From when on the streams of ordinary visitors are ended; ``None`` lets them run out."""
    run: str = ""
    """The command that the site is closed for, while it runs."""

    def __post_init__(self) -> None:
        _keep_in_utc(self, "since", "overdue_at", "cut_streams_at")


@dataclass(frozen=True, slots=True)
class Notice:
    """What visitors are told: the texts and pictures of the page."""

    title: str = ""
    message: str = ""
    button_url: str = ""
    button_text: str = ""
    image_url: str = ""
    icon: str = ""
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """The stored settings, as one consistent reading."""

    switch: Switch = field(default_factory=Switch)
    ends_at: dt.datetime | None = None
    """When operators expect to be back; ``None`` when nobody has said."""
    generation: int = 0
    """Number of the last closure by switch that ended logins (unix milliseconds or higher)."""
    notices: Mapping[str, Notice] = field(default_factory=lambda: MappingProxyType({"": Notice()}))
    """Texts by language; the key ``""`` holds what serves every other language."""

    def __post_init__(self) -> None:
        _keep_in_utc(self, "ends_at")
        if "" not in self.notices:
            raise ValueError("notices must have an entry for every other language (key '')")

    def notice(self, language: str) -> Notice:
        """The texts for *language*, for its base (``fr`` of ``fr-ca``), or for every other."""
        for code in (language, language.partition("-")[0]):
            if code in self.notices:
                return self.notices[code]
        return self.notices[""]


@dataclass(frozen=True, slots=True)
class Words:
    """What visitors are told about one window; empty texts leave those of the settings."""

    title: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """A planned closure, ``[starts_at, ends_at)``; without an end it lasts until somebody opens."""

    starts_at: dt.datetime
    ends_at: dt.datetime | None = None
    mode: Mode = Mode.CLOSED
    keep_logins: bool = False
    reason: str = ""
    uid: str = ""
    """Which one it is, for ever; empty where nobody has to tell it from others."""
    number: int | None = None
    """How people call it."""
    words: Mapping[str, Words] = field(default_factory=lambda: MappingProxyType({}))
    """By language; the key ``""`` holds what serves every other language."""
    notice: dt.timedelta | None = None
    """How long before its start visitors are told; ``None`` where the settings say it."""
    sequence: int = 0
    """How often its plan was changed."""
    series: str = ""
    """Which series it belongs to; empty for none."""
    occurrence: dt.datetime | None = None
    """When it begins by the rule of its series, wherever it was moved since."""

    def __post_init__(self) -> None:
        _keep_in_utc(self, "starts_at", "ends_at", "occurrence")
        if self.ends_at is not None and self.ends_at <= self.starts_at:
            raise ValueError("a window must end after it starts")
        if self.mode is Mode.OPEN:
            raise ValueError("a window that opens the site makes no sense")

    def told(self, language: str) -> Words:
        """The words for *language*, text by text: its own, its base's (``fr`` of ``fr-ca``), or
        those for every other language.
        """
        found = [self.words.get(c, Words()) for c in (language, language.partition("-")[0], "")]
        return Words(
            title=next((words.title for words in found if words.title), ""),
            message=next((words.message for words in found if words.message), ""),
        )

    def covers(self, moment: dt.datetime) -> bool:
        """Whether *moment* lies in the window; the end itself does not."""
        return self.starts_at <= moment and (self.ends_at is None or moment < self.ends_at)


@dataclass(frozen=True, slots=True)
class Brake:
    """An order that was given on one host while the database was away, and rules there alone."""

    mode: Mode
    """Closed or open; an emergency knows nothing between."""
    at: dt.datetime
    by: str = ""
    reason: str = ""
    host: str = ""
    """Where it was given."""
    generation: int = 0
    """Logins stamped with a lower number end on this host."""
    epoch: int | None = None
    """The last change of the switch that the host knew of; ``None`` when it knew of none."""

    def __post_init__(self) -> None:
        _keep_in_utc(self, "at")
        if self.mode not in (Mode.OPEN, Mode.CLOSED):
            raise ValueError("a brake closes or opens")


@dataclass(frozen=True, slots=True)
class State:
    """What is true at one moment, and until when it stays true without anybody doing anything."""

    mode: Mode
    why: Why
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    """The end that visitors are told; may lie in the past, then ``late`` is true."""
    late: bool = False
    overdue_at: dt.datetime | None = None
    """When operators are alarmed about a closure by hand; may lie in the past."""
    overdue: bool = False
    """Whether the closure by hand has lasted too long."""
    generation: int = 0
    """Logins stamped with a lower number have ended."""
    reason: str = ""
    by: str = ""
    window: Window | None = None
    """The planned closure that rules, if one does."""
    next_change: dt.datetime | None = None
    """The first moment at which something changes by itself for visitors, ``late`` included."""
    next_look: dt.datetime | None = None
    """The first moment at which this state has to be resolved again; that of the alarm counts."""

    @property
    def is_open(self) -> bool:
        """Whether everybody gets through."""
        return self.mode is Mode.OPEN


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one request, and nothing of Django's."""

    method: str = "GET"
    exempt_by: str = ""
    """The configured path or own route that lets it by, in words; empty when none does."""
    network: str = ""
    """The configured network that its address lies in; empty when none does."""
    always_open: bool = False
    """Whether the view is marked with ``@always_open``."""
    holds_pass: bool = False
    """Whether it brought a valid signed pass: worth a look at the user, not more."""
    user: UserKind = UserKind.UNKNOWN
