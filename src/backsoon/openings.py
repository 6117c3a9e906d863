"""Before a change opens the site: whether it does, and the checks that may speak against it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import conf, store
from .core.state import resolve_state
from .core.vocabulary import Mode, Window
from .registrar import serves_async
from .reopening import remarks, require_passed, run_checks

if TYPE_CHECKING:
    from .changes import Plan
    from .core.checkup import Checked
    from .snapshots import Snapshot


def check_reopening() -> tuple[Checked, ...]:
    """What comes of every check of ``BACKSOON["REOPEN_CHECKS"]`` now. Changes nothing."""
    return run_checks(is_async=serves_async())


def cleared(
    make_plan: Callable[[dt.datetime], Plan], before: Snapshot, *, force: bool, checked: bool = True
) -> tuple[Plan, dt.datetime]:
    """The plan that can be carried out, and the moment for which it was made.

    If it opens the site, the checks are run first, unless not *checked*; what came of them is noted
    in the plan. Raises :class:`backsoon.exceptions.ChecksFailedError` unless *force*.
    """
    now = store.utc_now()
    plan = make_plan(now)
    if not checked or not conf.current().reopen_checks or not opens(plan, before, now):
        return plan, now
    results = check_reopening()
    if not force:
        require_passed(results)
    now = store.utc_now()  # they have taken their time
    plan = make_plan(now)
    plan.remarks |= remarks(results)
    return plan, now


def opens(plan: Plan, before: Snapshot, now: dt.datetime) -> bool:
    """Whether a site that is not open at *now* is open once *plan* is carried out."""
    if resolve_state(before.policy, before.windows, now).is_open:
        return False
    policy = before.policy
    if "mode" in plan.control:
        switch = dataclasses.replace(policy.switch, mode=Mode(plan.control["mode"]))
        policy = dataclasses.replace(policy, switch=switch)
    windows = [window for each in before.windows if (window := _after(plan, each, now)) is not None]
    return resolve_state(policy, windows, now).is_open


def _after(plan: Plan, window: Window, now: dt.datetime) -> Window | None:
    """*window* as *plan* leaves it; ``None`` where it takes it back."""
    values = plan.windows.get(window.uid, {})
    if values.get("cancelled_at") is not None:
        return None
    if "ends_at" not in values:
        return window
    return dataclasses.replace(window, ends_at=values["ends_at"])
