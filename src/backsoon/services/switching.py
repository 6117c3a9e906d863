"""The verbs of the switch: close, open, and what belongs to a closure by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from backsoon import conf
from backsoon.changes import (
    CODE,
    Origin,
    Outcome,
    Plan,
)
from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import Mode
from backsoon.editing import (
    END_KEY,
    SWITCH_KEY,
    clean_given,
    differing,
)
from backsoon.exceptions import InvalidSettingError
from backsoon.models import Change
from backsoon.overdue import extended, too_long
from backsoon.plans import (
    amended,
    limited,
    particulars,
    plan_closure,
    plan_opening,
    plan_timers,
)
from backsoon.scheduling import end_all
from backsoon.snapshots import Mark, Snapshot
from backsoon.waiting import quiet, require_no_transaction

from .attempts import attempt


def close_site(
    *,
    origin: Origin = CODE,
    reason: str = "",
    message: str | None = None,
    until: dt.datetime | None = None,
    mode: Mode = Mode.CLOSED,
    keep_logins: bool = False,
    open_at_end: bool = False,
    expected: Mark | None = None,
    wait: float | None = None,
    cut_streams_after: float | None = None,
    run: Mapping[str, Any] | None = None,
    longest: dt.timedelta | None = None,
) -> Outcome:
    """Close the site, or make it read-only, until somebody opens it.

    *message* replaces the stored message in every language; *until* (aware, in the future) is the
    end that visitors are told, and with *open_at_end* also a timer. Ordinary logins end unless
    *keep_logins*. Closing a closed site changes only what is given and is no new closure.

    With *wait* it returns as soon as no ordinary unit runs any more, in any process, and waits for
    that so many seconds at most. The request that asks for it would wait for itself, unless it is
    set apart first (:func:`backsoon.inflight.set_apart`). *cut_streams_after* so many seconds the
    streams of ordinary visitors are ended. *run* tells for which command the site is closed.
    *longest*, from now, is after what time somebody is alarmed about it, instead of
    ``BACKSOON["MAX_CLOSURE"]``; zero means never.

    Raises :class:`InvalidSettingError`, :class:`ConflictError` when *expected* is given and
    somebody else switched since, :class:`StoreUnavailableError` when nothing was written, and
    :class:`NotQuietError` when the site is closed and something may still run.
    """
    if mode is Mode.OPEN:
        raise ValueError("use open_site() to open")
    if open_at_end and until is None:
        raise InvalidSettingError({END_KEY: [_("Opening at the end needs an end.")]})
    cleaned = clean_given(message, until)
    if longest is not None and not dt.timedelta(0) <= longest <= conf.LONGEST_CLOSURE:
        raise InvalidSettingError({SWITCH_KEY: [too_long()]})
    if wait is not None:
        require_no_transaction()

    def plan(before: Snapshot, now: dt.datetime) -> Plan:
        plan = Plan(entries=differing(before, cleaned), run=run or {})
        current = resolve_state(before.policy, before.windows, now)
        same = current.mode is mode and before.policy.switch.mode is mode
        if not same or before.changed_outside:
            plan_closure(plan, before, mode, now, origin, reason, keep_logins, open_at_end)
        else:
            plan.control = amended(before.policy.switch, until, open_at_end, reason)
            plan.action = Change.Action.SETTINGS
        plan.control |= particulars(now, cut_streams_after, run) | limited(now, longest)
        if plan.action == Change.Action.SETTINGS:
            plan_timers(plan, before, now)
        return plan

    return quiet(attempt(plan, origin, reason, expected), wait)


def open_site(
    *,
    origin: Origin = CODE,
    reason: str = "",
    keep_planned: bool = False,
    expected: Mark | None = None,
    wait: float | None = None,
    force: bool = False,
    checked: bool = True,
) -> Outcome:
    """Open the site. The expected end is forgotten: it belonged to the closure that ends. A planned
    closure that goes on ends now, and with *keep_planned* goes on; those to come stay.

    With *wait* it returns as soon as every worker knows, after so many seconds at most. Opening an
    open site changes nothing. ``BACKSOON["REOPEN_CHECKS"]`` are run first, before anything is
    written; with *force* it opens whatever comes of them, and the history says so. Not *checked*
    is for what never went to work on the site, and takes its own closure back.

    Raises :class:`ChecksFailedError` when the site stays closed because of them; else as
    :func:`close_site`.
    """
    if wait is not None:
        require_no_transaction()

    def plan(before: Snapshot, now: dt.datetime) -> Plan:
        plan = Plan()
        if not keep_planned:
            end_all(plan, before, now)
        if plan.windows or before.policy.switch.mode is not Mode.OPEN or before.changed_outside:
            plan_opening(plan, before, now, origin, reason)
        return plan

    outcome = attempt(plan, origin, reason, expected, force=force, checked=checked)
    return quiet(outcome, wait, opened=True)


def record_run(
    run: Mapping[str, Any], *, origin: Origin, expected: Mark, forget: bool = False
) -> Outcome:
    """Note what became of the command that the site is closed for; the closure stays as it is.

    With *forget* only in the history: the site is closed for something else.

    Raises :class:`ConflictError` when somebody switched since *expected*.
    """

    def plan(before: Snapshot, now: dt.datetime) -> Plan:
        kept = {} if forget else dict(run)
        return Plan(control={"run": kept}, run=run, action=Change.Action.SETTINGS)

    return attempt(plan, origin, "", expected)


def extend_closure(
    length: dt.timedelta,
    *,
    origin: Origin = CODE,
    reason: str = "",
    expected: Mark | None = None,
) -> Outcome:
    """Let a closure by hand last *length* longer before anybody is alarmed about it.

    Longer than it was meant to last until now; from now on, if that time has passed already or
    there was none. A later expected end does the same, and tells visitors. The closure gets a new
    number, so whoever waits for it has to begin anew.

    Raises :class:`InvalidSettingError` when the site is not closed by hand, or the time is too
    long; else as :func:`close_site`.
    """

    def plan(before: Snapshot, now: dt.datetime) -> Plan:
        return extended(before, now, length)

    return attempt(plan, origin, reason, expected)
