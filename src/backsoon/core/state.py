"""From stored settings and the clock to what is true now."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence

from .schedule import continuous_span, next_boundary, windows_at
from .vocabulary import Brake, Mode, Notice, Policy, State, Switch, Why, Window

DEFAULT_RETRY_SECONDS = 120
"""What a client is told to wait when nobody knows the end."""

LONGEST_RETRY_SECONDS = 24 * 3600
"""An end far away must not make a client sleep through an early opening."""

OVERDUE_GRACE = dt.timedelta(hours=1)
"""How long a closure may go on after its expected end before anybody is alarmed."""


def resolve_state(policy: Policy, windows: Sequence[Window], now: dt.datetime) -> State:
    """What is true at *now* (aware). Pure: same arguments, same answer, in every process.

    The switch and the windows are two causes; the more severe mode rules, and of two equal ones
    the switch, because a person set it by hand.
    """
    if now.utcoffset() is None:
        raise ValueError("now must be an aware datetime")
    now = now.astimezone(dt.UTC)
    by_hand = switch_mode(policy, now)
    covering = windows_at(windows, now)
    window_mode = max((w.mode for w in covering), key=lambda m: m.severity, default=Mode.OPEN)
    generation = max(policy.generation, *(_ended_logins(w, now) for w in windows), 0)
    overdue_at = overdue_from(policy) if by_hand is not Mode.OPEN else None
    ahead = [m for m in (policy.ends_at, opens_from(policy)) if m is not None and m > now]
    next_change = _earliest(next_boundary(windows, now), *ahead)
    alarm = overdue_at if overdue_at is not None and overdue_at > now else None
    next_look = _earliest(next_change, alarm)
    if by_hand is Mode.OPEN and window_mode is Mode.OPEN:
        return State(
            Mode.OPEN, Why.OPEN, generation=generation, next_change=next_change,
            next_look=next_look,
        )  # fmt: skip

    by_switch = by_hand.severity >= window_mode.severity
    mode = by_hand if by_switch else window_mode
    # A milder window that goes on afterwards is not what these visitors wait for.
    span = continuous_span([w for w in windows if w.mode.severity >= mode.severity], now)
    if by_switch:
        since, until = policy.switch.since, policy.ends_at
        if span is not None and until is not None and (span[1] is None or span[1] > until):
            until = span[1]  # opening by hand earlier than the window would open nothing
        reason, by, ruling = policy.switch.reason, policy.switch.by, None
    else:
        assert span is not None  # a window that covers now has a span around now
        since, until = span
        ruling = next(w for w in covering if w.mode is window_mode)
        reason, by = ruling.reason, ""
    return State(
        mode=mode,
        why=Why.SWITCH if by_switch else Why.WINDOW,
        since=since,
        until=until,
        late=until is not None and until <= now,
        overdue_at=overdue_at,
        overdue=overdue_at is not None and overdue_at <= now,
        generation=generation,
        reason=reason,
        by=by,
        window=ruling,
        next_change=next_change,
        next_look=next_look,
    )


def notice_of(policy: Policy, state: State, language: str) -> Notice:
    """What visitors are told in *language*: the words of the window that rules, if it has any."""
    notice = policy.notice(language)
    if state.window is None:
        return notice
    words = state.window.told(language)
    return dataclasses.replace(
        notice,
        title=words.title or notice.title,
        message=words.message or notice.message,
    )


def switch_mode(policy: Policy, now: dt.datetime) -> Mode:
    """The mode that the switch stands for at *now*: a timer that has run out stands for open."""
    opens_at = opens_from(policy)
    return Mode.OPEN if opens_at is not None and opens_at <= now else policy.switch.mode


def is_overdue(policy: Policy, now: dt.datetime) -> bool:
    """Whether the closure by the switch had lasted too long by *now*, also if it opened then."""
    overdue_at = overdue_from(policy)
    return overdue_at is not None and overdue_at <= now


def opens_from(policy: Policy) -> dt.datetime | None:
    """When the switch stands for open without anybody moving it; ``None`` for never.

    Who moves this moment has to give the closure a new number: workers acknowledge numbers, and one
    that cannot be reached would go by the old moment.
    """
    return _earliest(
        policy.ends_at if policy.switch.open_at_end else None,
        overdue_from(policy) if policy.switch.opens_when_overdue else None,
    )


def overdue_from(policy: Policy) -> dt.datetime | None:
    """From when the closure by the switch has lasted too long; ``None`` for never.

    Whoever told visitors an end meant the closure to last until then at least, so nobody is alarmed
    before that and :data:`OVERDUE_GRACE`.
    """
    switch = policy.switch
    if switch.mode is Mode.OPEN or switch.overdue_at is None:
        return None
    if policy.ends_at is None:
        return switch.overdue_at
    if switch.open_at_end:
        return None  # the timer ends it before
    return max(switch.overdue_at, _later(policy.ends_at, OVERDUE_GRACE))


def braked(
    policy: Policy, windows: Sequence[Window], brake: Brake
) -> tuple[Policy, tuple[Window, ...]]:
    """What is in force on a host where *brake* rules over what was read. Pure.

    Opening takes the windows out of force, too: whoever opens by hand in an emergency wants the
    site open. The logins that they ended stay ended.
    """
    if brake.mode is Mode.OPEN:
        ends_at = None
        ended = max((_ended_logins(window, brake.at) for window in windows), default=0)
        windows = ()
    else:
        overdue = policy.ends_at is not None and policy.ends_at <= brake.at
        ends_at = None if overdue else policy.ends_at
        ended = 0
    switch = Switch(brake.mode, since=brake.at, by=brake.by, reason=brake.reason)
    generation = max(policy.generation, brake.generation, ended)
    policy = dataclasses.replace(policy, switch=switch, ends_at=ends_at, generation=generation)
    return policy, tuple(windows)


def retry_after(state: State, now: dt.datetime) -> int:
    """Seconds a refused client should wait: until the told end if it lies ahead, else a default.

    At least 1 (RFC 9110, 10.2.3 takes non-negative integers; 0 would invite a busy loop).
    """
    now = now.astimezone(dt.UTC)  # two moments of one zone would be subtracted by wall clock
    if state.until is None or state.until <= now:
        return DEFAULT_RETRY_SECONDS
    return max(1, min(round((state.until - now).total_seconds()), LONGEST_RETRY_SECONDS))


def _ended_logins(window: Window, now: dt.datetime) -> int:
    """The generation a window stands for: its start, once that has come."""
    if window.keep_logins or window.mode is not Mode.CLOSED or window.starts_at > now:
        return 0
    return int(window.starts_at.timestamp() * 1000)


def _later(moment: dt.datetime, span: dt.timedelta) -> dt.datetime:
    """*span* after *moment*, as far as the calendar goes."""
    try:
        return moment + span
    except OverflowError:
        return moment


def _earliest(*moments: dt.datetime | None) -> dt.datetime | None:
    return min((m for m in moments if m is not None), default=None)
