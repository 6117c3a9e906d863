"""Looking again: a change that was overtaken is made of what is true then."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial

from backsoon import store
from backsoon.changes import (
    Origin,
    Outcome,
    Plan,
    carry_out,
    overtaken,
)
from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import State
from backsoon.exceptions import ConflictError
from backsoon.openings import cleared
from backsoon.snapshots import Mark, Snapshot


def attempt(
    make_plan: Callable[[Snapshot, dt.datetime], Plan],
    origin: Origin,
    reason: str,
    expected: Mark | None,
    *,
    force: bool = False,
    checked: bool = True,
) -> Outcome:
    """Carry out a change of the switch.

    A caller who expects nothing means "whatever it is now": being overtaken is then no conflict
    but a reason to look again, a few times. What was checked was another closure, though.
    """
    for attempts_left in reversed(range(3)):
        before = store.load()
        if expected is not None and before.mark.epoch != expected.epoch:
            raise overtaken(before.mark.epoch)
        plan, now = cleared(partial(make_plan, before), before, force=force, checked=checked)
        try:
            return carry_out(plan, before, origin, reason, now)
        except ConflictError:
            outdated = "checks" in plan.remarks and not current_state().is_open
            if expected is not None or outdated or not attempts_left:
                raise
    raise AssertionError("the last attempt returns or raises")


def current_state() -> State:
    """What is true now, read from the database (the gate answers requests without reading)."""
    snapshot = store.load()
    return resolve_state(snapshot.policy, snapshot.windows, store.utc_now())
