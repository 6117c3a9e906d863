"""What a change of the switch consists of, before anything is written."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any

from . import conf
from .changes import Origin, Plan
from .core.state import is_overdue, opens_from, switch_mode
from .core.vocabulary import Mode, Switch
from .definitions import parse_moment
from .editing import END_KEY, SWITCH_KEY, storable, stored
from .models import Change
from .scheduling import end_all, written_again
from .snapshots import Entry, Snapshot


def plan_closure(
    plan: Plan,
    before: Snapshot,
    mode: Mode,
    now: dt.datetime,
    origin: Origin,
    reason: str,
    keep_logins: bool = False,
    open_at_end: bool = False,
) -> None:
    """Close, or make read-only, as a new closure with a number of its own."""
    plan.action = Change.Action.CLOSED
    plan.entries[SWITCH_KEY] = Entry("true")
    ended = before.policy.ends_at is not None and before.policy.ends_at <= now
    if ended and END_KEY not in plan.entries:
        plan.entries[END_KEY] = Entry()  # left over from an earlier closure
    plan.control = {
        "mode": mode.value,
        "since": now,
        "changed_by": origin.label,
        "reason": storable(reason),
        "open_at_end": open_at_end,
        "cut_streams_at": None,
        "run": {},
        "opens_when_overdue": conf.current().open_when_overdue,
        **limited(now, dt.timedelta(seconds=conf.current().max_closure)),
    }
    if mode is Mode.CLOSED and not keep_logins:
        plan.control["generation"] = next_generation(before.policy.generation, now)


def plan_switching(
    plan: Plan, before: Snapshot, now: dt.datetime, origin: Origin, reason: str
) -> None:
    """Move the switch if the settings of *plan* say so."""
    wanted = plan.entries.pop(SWITCH_KEY, None)
    end = plan.entries.get(END_KEY)
    stands_open = before.policy.switch.mode is Mode.OPEN
    has_opened_itself = not stands_open and switch_mode(before.policy, now) is Mode.OPEN
    if wanted is not None and wanted.value and (stands_open or has_opened_itself):
        plan_closure(plan, before, Mode.CLOSED, now, origin, reason)
    elif wanted is not None and not wanted.value and not stands_open:
        plan_opening(plan, before, now, origin, reason)
        end_all(plan, before, now)
    elif has_opened_itself and plan.entries:
        # The timer's opening is written down first: a new end must not close the site again.
        plan_opening(plan, before, now, origin, reason)
        plan.action = Change.Action.SETTINGS
        if end is not None:
            plan.entries[END_KEY] = end
    else:
        if wanted is not None:
            plan.entries[SWITCH_KEY] = wanted  # the row was broken, the switch stays where it is
        plan_timers(plan, before, now)


def plan_timers(plan: Plan, before: Snapshot, now: dt.datetime) -> None:
    """Give the closure a new number if *plan* moves the moment at which it opens by itself.

    Else a worker that cannot be reached would open at the old moment, and its acknowledgement of
    the old number would still say that it does not. An alarm that has been raised can be raised
    again if the closure is not overdue any more.
    """
    policy = before.policy
    switch = dataclasses.replace(
        policy.switch,
        open_at_end=plan.control.get("open_at_end", policy.switch.open_at_end),
        overdue_at=plan.control.get("overdue_at", policy.switch.overdue_at),
    )
    end = plan.entries[END_KEY].value if END_KEY in plan.entries else None
    ends_at = policy.ends_at if end is None else parse_moment(end) if end else None
    after = dataclasses.replace(policy, switch=switch, ends_at=ends_at)
    if opens_from(after) != opens_from(policy):
        plan.control.setdefault("open_at_end", switch.open_at_end)
    if is_overdue(policy, now) and not is_overdue(after, now):
        plan.control["alarmed"] = False
    if plan.control:
        plan.action = plan.action or Change.Action.SETTINGS


def limited(now: dt.datetime, longest: dt.timedelta | None) -> dict[str, Any]:
    """After what time somebody is alarmed about the closure: zero for never, ``None`` as it is."""
    if longest is None:
        return {}
    return {"overdue_at": now + longest if longest else None, "alarmed": False}


def plan_opening(
    plan: Plan, before: Snapshot, now: dt.datetime, origin: Origin, reason: str
) -> None:
    """Open, and forget the expected end: it belonged to the closure that ends.

    Planned closures that go on are another cause; :func:`backsoon.scheduling.end_all` ends them.
    """
    plan.action = Change.Action.OPENED
    plan.entries[SWITCH_KEY] = Entry()
    plan.entries.pop(END_KEY, None)
    if stored(before, END_KEY).value:
        plan.entries[END_KEY] = Entry()
    plan.control = {
        "mode": Mode.OPEN.value,
        "since": now,
        "changed_by": origin.label,
        "reason": storable(reason),
        "open_at_end": False,
        "cut_streams_at": None,
        "run": {},
        "overdue_at": None,
        "opens_when_overdue": False,
        "alarmed": False,
    }


def plan_again(known: Snapshot, before: Snapshot) -> Plan:
    """Switch and windows as *known* says, for a database that went back to what *before* says."""
    switch, end = known.policy.switch, known.policy.ends_at
    return Plan(
        action=Change.Action.NOTICED,
        windows=written_again(known, before),
        entries={
            SWITCH_KEY: Entry("" if switch.mode is Mode.OPEN else "true"),
            END_KEY: Entry(end.isoformat() if end is not None else ""),
        },
        control={
            "mode": switch.mode.value,
            "since": switch.since,
            "changed_by": switch.by,
            "reason": switch.reason,
            "open_at_end": switch.open_at_end,
            "overdue_at": switch.overdue_at,
            "opens_when_overdue": switch.opens_when_overdue,
            "alarmed": False,  # rather twice than never
            "generation": max(known.policy.generation, before.policy.generation),
            "epoch": max(known.mark.epoch, before.mark.epoch) + 1,
            "revision": max(known.mark.revision, before.mark.revision) + 1,
        },
    )


def particulars(
    now: dt.datetime, cut_streams_after: float | None, run: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a closure may have besides: when streams are cut (seconds from *now*), and for what."""
    control: dict[str, Any] = {}
    if cut_streams_after is not None:
        control["cut_streams_at"] = now + dt.timedelta(seconds=cut_streams_after)
    if run is not None:
        control["run"] = dict(run)
    return control


def amended(
    switch: Switch, until: dt.datetime | None, open_at_end: bool, reason: str
) -> dict[str, Any]:
    """What changes about a closure that has begun already."""
    control: dict[str, Any] = {}
    if until is not None and open_at_end != switch.open_at_end:
        control["open_at_end"] = open_at_end
    if reason and reason != switch.reason:
        control["reason"] = storable(reason)
    return control


def next_generation(stored: int, now: dt.datetime) -> int:
    """The number of a closure that ends logins.

    Unix milliseconds at least, so that a number lost with a database never comes back and revives
    old signed cookies; one more than the stored one at least, so that it grows whatever the clock.
    """
    return max(stored + 1, int(now.timestamp() * 1000))
