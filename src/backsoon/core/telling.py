"""What people are to be told, and of which moment.

Some moments somebody brings about by a change, others the clock brings. Both are found by comparing
what is true before and after, so that nobody is told that the site is back while another closure
goes on. Each has a key: the same moment has the same one in whichever process it is found.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .state import resolve_state
from .vocabulary import Mode, Policy, State, Switch, Window


class Moment(StrEnum):
    """What has come to pass."""

    ANNOUNCED = "announced"
    CHANGED = "changed"
    REMINDER = "reminder"
    STARTED = "started"
    EXTENDED = "extended"
    ENDED = "ended"
    CANCELLED = "cancelled"


AHEAD = frozenset({Moment.ANNOUNCED, Moment.CHANGED, Moment.REMINDER})
"""Those that tell of what is to come."""

LATEST = dt.timedelta(hours=12)
"""After this time nobody is told any more of something that the clock brought."""

LATE_REMINDER = 4
"""A reminder comes late by this part of its length at most: a quarter of an hour of an hour."""

_INSTANT = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Timetable:
    """How early people are told."""

    notice: dt.timedelta = dt.timedelta(days=1)
    """Of windows that do not say it themselves."""
    reminders: tuple[dt.timedelta, ...] = ()
    """How long before the start they are told once more."""

    def notice_of(self, window: Window) -> dt.timedelta:
        """How long before its start *window* may be told of; zero for never."""
        return self.notice if window.notice is None else window.notice


@dataclass(frozen=True, slots=True)
class Occasion:
    """One moment that people are to be told of."""

    moment: Moment
    key: str
    at: dt.datetime
    """When it came to pass."""
    window: Window | None = None
    """The planned closure that it is about; ``None`` for one by hand."""
    starts_at: dt.datetime | None = None
    until: dt.datetime | None = None
    """The end that is told; windows that touch have one."""
    mode: Mode = Mode.CLOSED
    earlier: tuple[dt.datetime | None, dt.datetime | None] | None = None
    """Start and end as they were told before, where they were others."""
    lead: dt.timedelta | None = None
    """Of a reminder: how long before the start it is."""
    expires_at: dt.datetime | None = None
    """From when on it would mislead people."""
    public: bool = True
    """Whether it is for everybody; a closure without notice is not announced to them."""
    needs_announcement: dt.datetime | None = None
    """Told only to those who knew: its closure was announced, and before this moment."""
    fallback: bool = False
    """Whether, where it was not announced, this is its announcement."""

    def as_announcement(self) -> Occasion:
        """The same as the first word of its closure."""
        assert self.window is not None  # only windows are announced
        return dataclasses.replace(
            self, moment=Moment.ANNOUNCED, key=f"announced:{self.window.uid}", earlier=None,
            needs_announcement=None, fallback=False,
        )  # fmt: skip


# -- What a change brings ----------------------------------------------------------------------


def brought_by_change(
    before: tuple[Policy, Sequence[Window]],
    after: tuple[Policy, Sequence[Window]],
    now: dt.datetime,
    timetable: Timetable,
    *,
    from_outside: bool = False,
) -> Iterator[Occasion]:
    """What a change made at *now* has brought about.

    *from_outside*: the switch was set by other hands, so *before* tells of what they made already.
    """
    was, is_now = resolve_state(*before, now), resolve_state(*after, now)
    if from_outside:
        yield _ended(was, now) if is_now.is_open else _started(is_now, now)
    elif was.is_open and not is_now.is_open:
        yield _started(is_now, now)
    elif not was.is_open and is_now.is_open:
        yield _ended(was, now)
    elif not was.is_open:
        yield from _moved(was, is_now, now)
    yield from _replanned(before[1], after[1], now, timetable)


def _moved(was: State, is_now: State, now: dt.datetime) -> Iterator[Occasion]:
    """A closure goes on, and its end or its words are others."""
    later = _is_later(is_now.until, was.until)
    reworded = (
        was.window is not None
        and is_now.window is not None
        and was.window.uid == is_now.window.uid
        and was.window.words != is_now.window.words
    )
    if was.until == is_now.until and not reworded:
        return
    moment = Moment.EXTENDED if later else Moment.CHANGED
    yield Occasion(
        moment, _key(moment, now), now, is_now.window, is_now.since, is_now.until, is_now.mode,
        earlier=(was.since, was.until), expires_at=_expiry(is_now.until, now),
    )  # fmt: skip


def _is_later(end: dt.datetime | None, told: dt.datetime | None) -> bool:
    """Whether people who were told *told* have to wait longer than that."""
    if told is None:
        return False
    return end is None or end > told


def _replanned(
    before: Sequence[Window], after: Sequence[Window], now: dt.datetime, timetable: Timetable
) -> Iterator[Occasion]:
    known = {window.uid: window for window in before}
    remaining = {window.uid for window in after}
    for window in after:
        old = known.get(window.uid)
        if window.starts_at <= now or (old is not None and _plan_of(old) == _plan_of(window)):
            continue
        occasion = _ahead(Moment.ANNOUNCED, f"announced:{window.uid}", now, window, timetable)
        if old is not None:
            yield dataclasses.replace(
                occasion, moment=Moment.CHANGED, key=f"changed:{window.uid}:{window.sequence}",
                earlier=(old.starts_at, old.ends_at), needs_announcement=now,
                fallback=not window.series,
            )  # fmt: skip
        elif not window.series:  # those of a series are announced when their notice begins
            yield occasion
    for window in before:
        if window.uid not in remaining and window.starts_at > now:
            yield dataclasses.replace(
                _ahead(Moment.CANCELLED, f"cancelled:{window.uid}", now, window, timetable),
                needs_announcement=now,
                expires_at=window.starts_at + LATEST,
            )


def _plan_of(window: Window) -> object:
    return window.starts_at, window.ends_at, window.mode, dict(window.words)


# -- What the clock brings ---------------------------------------------------------------------


def brought_by_clock(
    policy: Policy, windows: Sequence[Window], now: dt.datetime, timetable: Timetable
) -> Iterator[Occasion]:
    """What has come to pass by *now* without anybody doing anything, and is not too late to tell.

    What lies before the last switch is left out: it was looked for when somebody switched.
    """
    yield from _turns(policy, windows, now)
    for window in windows:
        if window.starts_at <= now:
            continue
        notice = timetable.notice_of(window)
        if notice and window.starts_at - now <= notice:
            yield _ahead(Moment.ANNOUNCED, f"announced:{window.uid}", now, window, timetable)
        if notice:
            yield from _reminders(window, now, timetable)


def _turns(policy: Policy, windows: Sequence[Window], now: dt.datetime) -> Iterator[Occasion]:
    edges = {w.starts_at for w in windows} | {w.ends_at for w in windows if w.ends_at is not None}
    if policy.switch.open_at_end and policy.ends_at is not None:
        edges.add(policy.ends_at)
    for edge in sorted(edges):
        if not _is_to_be_told(edge, policy.switch, now):
            continue
        was = resolve_state(policy, windows, edge - _INSTANT)
        becomes = resolve_state(policy, windows, edge)
        if was.is_open and not becomes.is_open:
            if becomes.until is None or becomes.until > now:
                yield _started(becomes, edge)
        elif becomes.is_open and not was.is_open:
            yield _ended(was, edge)


def _is_to_be_told(edge: dt.datetime, switch: Switch, now: dt.datetime) -> bool:
    if not now - LATEST < edge <= now:
        return False
    return switch.since is None or edge > switch.since


def _reminders(window: Window, now: dt.datetime, timetable: Timetable) -> Iterator[Occasion]:
    for lead in sorted(timetable.reminders):  # the shortest that is due, and no other
        due = window.starts_at - lead
        if due <= now:
            if now - due <= lead / LATE_REMINDER:
                key = (
                    f"reminder:{window.uid}:{_stamp(window.starts_at)}:{int(lead.total_seconds())}"
                )
                yield dataclasses.replace(
                    _ahead(Moment.REMINDER, key, now, window, timetable),
                    lead=lead,
                    needs_announcement=due,
                )
            return


# -- Each kind ---------------------------------------------------------------------------------


def _started(state: State, at: dt.datetime) -> Occasion:
    return Occasion(
        Moment.STARTED, _key(Moment.STARTED, at), at, state.window, state.since or at,
        state.until, state.mode, expires_at=_expiry(state.until, at),
    )  # fmt: skip


def _ended(was: State, at: dt.datetime) -> Occasion:
    mode = Mode.CLOSED if was.is_open else was.mode
    return Occasion(
        Moment.ENDED, _key(Moment.ENDED, at), at, was.window, was.since, at, mode,
        expires_at=at + 2 * LATEST,
    )  # fmt: skip


def _ahead(
    moment: Moment, key: str, now: dt.datetime, window: Window, timetable: Timetable
) -> Occasion:
    return Occasion(
        moment, key, now, window, window.starts_at, window.ends_at, window.mode,
        expires_at=window.starts_at, public=bool(timetable.notice_of(window)),
    )  # fmt: skip


def _expiry(until: dt.datetime | None, at: dt.datetime) -> dt.datetime:
    return at + LATEST if until is None else max(until, at + dt.timedelta(hours=1))


def _key(moment: Moment, at: dt.datetime) -> str:
    return f"{moment}:{_stamp(at)}"


def _stamp(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
