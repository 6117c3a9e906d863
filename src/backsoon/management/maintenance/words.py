"""The state in words and as data."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils import timezone

from backsoon.core.vocabulary import Brake, Mode, State, Switch, Why
from backsoon.snapshots import Mark

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def state_data(state: State, mark: Mark) -> dict[str, Any]:
    """The state as ``--json`` gives it: moments in ISO 8601, UTC."""
    return {
        "mode": state.mode.value,
        "maintenance_mode": not state.is_open,
        "why": state.why.value,
        "since": iso(state.since),
        "by": state.by,
        "reason": state.reason,
        "until": iso(state.until),
        "late": state.late,
        "overdue_at": iso(state.overdue_at),
        "overdue": state.overdue,
        "next_change": iso(state.next_change),
        "generation": state.generation,
        "epoch": mark.epoch,
        "revision": mark.revision,
    }


def state_line(state: State, mark: Mark, switch: Switch, now: dt.datetime) -> str:
    """The state in one line: what is on, since when, and what visitors meet."""
    if state.is_open:
        opened = switch.since if switch.mode is Mode.OPEN else None
        since = f" since {clock(opened, now)}" if opened else ""
        return f"Maintenance is off{since} (epoch {mark.epoch}). The site is open."
    since = f" since {clock(state.since, now)}" if state.since else ""
    planned = "Planned maintenance" if state.why is Why.WINDOW else "Maintenance"
    if state.mode is Mode.READ_ONLY:
        on, effect = "on, read-only,", "Visitors can look at the site but change nothing"
    else:
        on, effect = "on", "Visitors see the page"
    return f"{planned} is {on}{since} (epoch {mark.epoch}). {effect}{_end(state, switch, now)}."


def _end(state: State, switch: Switch, now: dt.datetime) -> str:
    if state.until is None:
        return ""
    if state.late:
        return f"; the expected end, {clock(state.until, now)}, has passed"
    if opens_itself(state, switch):
        return f" until {clock(state.until, now)}, when the site opens by itself"
    return f"; the expected end is {clock(state.until, now)}"


def end_sentence(state: State, switch: Switch, now: dt.datetime) -> str:
    """What happens at the end; empty when no end is known."""
    if state.until is None:
        return ""
    if state.late:
        return (
            f"{clock(state.until, now)}, {span(now - state.until)} ago; open it by hand when done"
        )
    opens = (
        "then the site opens by itself" if opens_itself(state, switch) else "a promise, no timer"
    )
    return f"{clock(state.until, now)}, in {span(state.until - now)}; {opens}"


def alarm_sentence(state: State, switch: Switch, now: dt.datetime) -> str:
    """When the closure has lasted too long, and what happens then; empty where nothing does."""
    moment = state.overdue_at
    if moment is None or state.why is not Why.SWITCH:
        return ""
    if state.overdue:
        return f"the closure has lasted too long since {clock(moment, now)}"
    then = "the site opens then" if switch.opens_when_overdue else "the site stays closed"
    return f"{clock(moment, now)}, in {span(moment - now)}, if it is not open by then; {then}"


def ends_logins(generation: int, since: dt.datetime | None) -> bool:
    """Whether the closure of *since* ended the logins of ordinary users.

    Its number is its moment at least then, in Unix milliseconds.
    """
    return since is not None and generation >= int(since.timestamp() * 1000)


def adjective(mode: Mode) -> str:
    """*mode* as one says it: ``read-only``."""
    return mode.value.replace("_", "-")


def brake_data(brake: Brake) -> dict[str, Any]:
    """An order on one host as ``--json`` gives it."""
    return {
        "mode": brake.mode.value,
        "at": iso(brake.at),
        "by": brake.by,
        "reason": brake.reason,
        "host": brake.host,
        "generation": brake.generation,
        "epoch": brake.epoch,
    }


def brake_line(brake: Brake, now: dt.datetime) -> str:
    """An order on one host in one line."""
    what = "closed" if brake.mode is Mode.CLOSED else "opened"
    reason = f" ({brake.reason})" if brake.reason else ""
    return f"{what} on {brake.host} at {clock(brake.at, now)} by {brake.by}{reason}"


def opens_itself(state: State, switch: Switch) -> bool:
    """Whether the end that is told is one at which the site really opens."""
    return state.until is not None and (switch.open_at_end or state.why is Why.WINDOW)


def clock(moment: dt.datetime, now: dt.datetime) -> str:
    """*moment* in the settings' time zone, with the zone; the day only if it is not today."""
    local, today = timezone.localtime(moment), timezone.localtime(now).date()
    day = "" if local.date() == today else f"{local:%Y-%m-%d} "
    return f"{day}{local:%H:%M %Z}"


def span(length: dt.timedelta) -> str:
    """*length* by its two largest units: ``1 hour 20 minutes``."""
    seconds = max(0, round(length.total_seconds()))
    if seconds >= 60:
        seconds = round(seconds, -1) if seconds < 600 else 60 * round(seconds / 60)
    parts = []
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts[:2]) or "0 seconds"


def iso(moment: dt.datetime | None) -> str | None:
    """*moment* in ISO 8601, UTC."""
    return moment.astimezone(dt.UTC).isoformat() if moment else None
