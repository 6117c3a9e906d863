"""The verbs: every change goes through here, whoever asks for it.

Each validates, writes and records in one transaction, and tells this process and its listeners
after the commit. Nothing here knows a request.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import gettext as _

from . import conf, store
from .braking import Fate, merge_brake, pull_brake
from .changes import CODE, Origin, Outcome, Plan, carry_out, overtaken, record, settings_overtaken
from .core.state import resolve_state
from .core.vocabulary import Mode, State, Words
from .definitions import DEFINITIONS
from .editing import (
    END_KEY,
    MESSAGE_KEY,
    SWITCH_KEY,
    Values,
    clean_entries,
    clean_given,
    differing,
    merged,
    stored,
    tidied,
)
from .exceptions import ConflictError, InvalidSettingError, NoSuchWindowError
from .models import Change, SystemSetting
from .overdue import extended, raise_alarm, too_long
from .plans import (
    amended,
    limited,
    next_generation,
    particulars,
    plan_again,
    plan_closure,
    plan_opening,
    plan_switching,
    plan_timers,
)
from .repeating import RESERVE, continued, ended, repeated
from .scheduling import cancelled, current, end_all, moved, scheduled
from .signals import committed
from .snapshots import Entry, Mark, Snapshot
from .waiting import assume_dead, fence, quiet, require_no_transaction

__all__ = [
    "CODE",
    "END_KEY",
    "MESSAGE_KEY",
    "SWITCH_KEY",
    "Entry",
    "Fate",
    "Mark",
    "Origin",
    "Outcome",
    "adopt_outside_change",
    "assume_dead",
    "cancel",
    "close_site",
    "continue_series",
    "current_state",
    "end_series",
    "extend_closure",
    "fence",
    "init_defaults",
    "is_later",
    "maintenance",
    "merge_brake",
    "next_generation",
    "open_site",
    "pull_brake",
    "raise_alarm",
    "reassert",
    "record_run",
    "reschedule",
    "save_settings",
    "schedule",
]


# -- The verbs ---------------------------------------------------------------------------------


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

    return quiet(_switch(plan, origin, reason, expected), wait)


def open_site(
    *,
    origin: Origin = CODE,
    reason: str = "",
    keep_planned: bool = False,
    expected: Mark | None = None,
    wait: float | None = None,
) -> Outcome:
    """Open the site. The expected end is forgotten: it belonged to the closure that ends. A planned
    closure that goes on ends now, and with *keep_planned* goes on; those to come stay.

    With *wait* it returns as soon as every worker knows, after so many seconds at most. Opening an
    open site changes nothing. Raises as :func:`close_site`.
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

    return quiet(_switch(plan, origin, reason, expected), wait, opened=True)


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

    return _switch(plan, origin, "", expected)


def schedule(
    starts_at: dt.datetime,
    ends_at: dt.datetime | None = None,
    *,
    mode: Mode = Mode.CLOSED,
    keep_logins: bool = False,
    words: Mapping[str, Words] | None = None,
    notice: dt.timedelta | None = None,
    repeat: str = "",
    zone: str = "",
    reason: str = "",
    origin: Origin = CODE,
    expected: Mark | None = None,
) -> Outcome:
    """Plan a closure from *starts_at* to *ends_at* (aware), or until somebody opens.

    Every process closes and opens at these seconds by its own clock; nobody has to run for that.
    *words* is what visitors are told, by language; the key ``""`` serves every other, and what is
    empty is as in the settings. *notice* is how long before the start visitors are told, instead of
    ``BACKSOON["NOTICE"]``; zero tells them nothing. ``Outcome.windows`` holds the closure with its
    number.

    With *repeat*, a recurrence rule such as ``FREQ=WEEKLY;BYDAY=SU`` (RFC 5545), it comes again and
    again at that time of day by the clocks of *zone* (the current time zone, if not given). The
    closures of the next months are planned at once, the others as time goes by.

    Raises :class:`InvalidSettingError` with sentences for ``starts_at``, ``ends_at``, ``title``,
    ``message``, ``notice``, ``repeat`` and ``zone``; else as :func:`close_site`.
    """

    def plan(before: Snapshot, now: dt.datetime) -> Plan:
        planned = scheduled(
            now, starts_at, ends_at, mode=mode, keep_logins=keep_logins, words=words or {},
            notice=notice, reason=reason, origin=origin,
        )  # fmt: skip
        if repeat:
            repeated(planned, now, repeat, zone or get_current_timezone_name())
        return planned

    return _switch(plan, origin, reason, expected)


def reschedule(
    uid: str,
    *,
    starts_at: dt.datetime | None = None,
    ends_at: dt.datetime | None = None,
    until_opened: bool = False,
    words: Mapping[str, Words] | None = None,
    notice: dt.timedelta | None = None,
    reason: str = "",
    origin: Origin = CODE,
    expected: Mark | None = None,
) -> Outcome:
    """Change the times or words of the planned closure *uid*, also while it goes on.

    What is not given stays. A start that has come begins it at once; *until_opened* takes its end
    away. Raises as :func:`schedule`, and :class:`NoSuchWindowError` when it is over.
    """

    def plan(before: Snapshot, now: dt.datetime) -> Plan:
        window = current(before, now, uid)
        return moved(
            before, now, window, starts_at=starts_at, ends_at=ends_at, until_opened=until_opened,
            words=words, notice=notice,
        )  # fmt: skip

    return _switch(plan, origin, reason, expected)


def cancel(
    uid: str, *, reason: str = "", origin: Origin = CODE, expected: Mark | None = None
) -> Outcome:
    """Take the planned closure *uid* back; one that has begun ends now.

    Raises :class:`NoSuchWindowError` when it is over; else as :func:`close_site`.
    """

    def plan(before: Snapshot, now: dt.datetime) -> Plan:
        return cancelled(now, current(before, now, uid))

    return _switch(plan, origin, reason, expected)


def end_series(
    uid: str, *, reason: str = "", origin: Origin = CODE, expected: Mark | None = None
) -> Outcome:
    """Take back all closures to come of the series *uid*; there will be no more of them.

    Raises :class:`NoSuchWindowError` when it has ended; else as :func:`close_site`.
    """

    def plan(before: Snapshot, now: dt.datetime) -> Plan:
        series = store.find_series(uid)
        if series is None or series.ended_at is not None:
            raise NoSuchWindowError({"series": [_("There is no such series any more.")]})
        return ended(before, now, series)

    return _switch(plan, origin, reason, expected)


def continue_series() -> Outcome | None:
    """Plan further closures of the series that have few left. Done by every watcher, now and then.

    ``None`` where there is nothing to do: also while the site is not open, for somebody may be
    waiting for what is known under the present number, and when another process was faster.
    """
    before, now = store.load(), store.utc_now()
    if not resolve_state(before.policy, before.windows, now).is_open:
        return None
    rows, known = store.series_to_continue(now + RESERVE)
    if not rows:
        return None
    try:
        origin = Origin(channel=Change.Channel.SCHEDULE)
        return carry_out(continued(now, rows, known), before, origin, "", now)
    except ConflictError:
        return None


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

    return _switch(plan, origin, reason, expected)


def save_settings(
    entries: Values,
    *,
    origin: Origin = CODE,
    reason: str = "",
    base: Mapping[str, str] | None = None,
) -> Outcome:
    """Store settings by key, the switch among them.

    *base* holds the :meth:`Entry.digest` of what the caller saw. With it, two people who edit at
    once lose nothing: what only one of them changed is merged, and where both changed the same
    setting the second gets a :class:`ConflictError` with the values that are stored now.

    Raises :class:`InvalidSettingError` with sentences by key, and
    :class:`StoreUnavailableError` when nothing was written.
    """
    before = store.load()
    entries = {key: tidied(key, entry) for key, entry in entries.items()}
    if base is not None:
        entries, theirs = merged(before, entries, base)
        if theirs:
            raise settings_overtaken(theirs)
    cleaned = clean_entries(differing(before, entries))
    now = store.utc_now()
    plan = Plan(entries=differing(before, cleaned))
    plan_switching(plan, before, now, origin, reason)
    return carry_out(plan, before, origin, reason, now, exclusive=base is not None)


def init_defaults(*, origin: Origin = CODE) -> list[str]:
    """Make the rows that are missing, and say which. Never overwrites. Idempotent."""
    before = store.load()
    if not before.missing:
        return []
    now = store.utc_now()
    with store.translated_errors(), transaction.atomic(using=store.alias()):
        store.bump_revision()
        made = []
        for definition in DEFINITIONS:
            row = store.new_row(definition)
            if definition.key == SWITCH_KEY and before.policy.switch.mode is not Mode.OPEN:
                row.value = "true"  # the row was deleted during a closure: it must not reopen
            _row, created = SystemSetting.objects.using(store.alias()).get_or_create(
                key=row.key,
                defaults={
                    name: getattr(row, name)
                    for name in ("value", "setting_type", "group", "label", "help_text", "order")
                },
            )
            if created:
                made.append(definition.key)
        if made:
            record(
                Change.Action.INITIALIZED, origin, "", now, before.mark.epoch, {}, {"made": made}
            )
        transaction.on_commit(lambda: committed.send(sender=None), using=store.alias())
    return made


def adopt_outside_change() -> Outcome | None:
    """Make a closure or opening whole that somebody wrote into the table by hand.

    The new number ends the logins as any closure does. ``None`` when there is nothing to adopt,
    also because another process was faster.
    """
    before = store.load()
    if not before.changed_outside:
        return None
    origin = Origin(name="", channel=Change.Channel.DATABASE)
    now = store.utc_now()
    plan = Plan()
    if before.policy.switch.mode is Mode.OPEN:
        plan_opening(plan, before, now, origin, "")
    else:
        plan_closure(plan, before, before.policy.switch.mode, now, origin, "")
    plan.action = Change.Action.NOTICED
    try:
        return carry_out(plan, before, origin, "", now)
    except ConflictError:
        return None


def reassert(known: Snapshot) -> Outcome | None:
    """Write the switch as *known* again, where the database has gone back behind it.

    After a backup was restored or rows were deleted the database says what was true once. The
    higher epoch is the later decision; what it decided is stored again, under an epoch above both.
    ``None`` when there is nothing to do, also because another process was faster.
    """
    before = store.load()
    there, here = before.mark, known.mark
    if (there.epoch, there.revision) >= (here.epoch, here.revision) and not is_later(known, before):
        return None
    origin = Origin(name="", channel=Change.Channel.DATABASE)
    reason = _("The database had forgotten this: it was restored, or rows were deleted.")
    try:
        return carry_out(plan_again(known, before), before, origin, reason, store.utc_now())
    except ConflictError:
        return None


def is_later(known: Snapshot, read: Snapshot) -> bool:
    """Whether two switches bear the same number though they differ, and *known* is the later one.

    Numbers collide where a database was set back, and a process that had missed the last change
    wrote again what it knew.
    """
    ours, theirs = known.policy.switch, read.policy.switch
    outside = known.changed_outside or read.changed_outside
    if known.mark.epoch != read.mark.epoch or ours == theirs or outside:
        return False
    if ours.since is None or theirs.since is None or ours.since == theirs.since:
        return ours.mode.severity > theirs.mode.severity
    return ours.since > theirs.since


def current_state() -> State:
    """What is true now, read from the database (the gate answers requests without reading)."""
    snapshot = store.load()
    return resolve_state(snapshot.policy, snapshot.windows, store.utc_now())


@contextmanager
def maintenance(
    *,
    message: str | None = None,
    until: dt.datetime | None = None,
    reason: str = "",
    keep_logins: bool = False,
    origin: Origin = CODE,
) -> Iterator[Outcome]:
    """Close the site for the length of a ``with`` block.

    On the way out, also by an exception, it undoes only what it did itself: the site opens if the
    block closed it and nobody switched meanwhile, and a setting goes back if it still has the
    value that the block gave it.
    """
    given = clean_given(message, until)
    before, outcome = _close_knowingly(
        origin=origin, reason=reason, message=message, until=until, keep_logins=keep_logins
    )
    try:
        yield outcome
    finally:
        _undo_switch(before, outcome, origin, reason)
        _undo_settings(before, given, origin, reason)


# -- Looking again, and undoing ----------------------------------------------------------------


def _switch(
    make_plan: Callable[[Snapshot, dt.datetime], Plan],
    origin: Origin,
    reason: str,
    expected: Mark | None,
) -> Outcome:
    """Carry out a change of the switch.

    A caller who expects nothing means "whatever it is now": being overtaken is then no conflict
    but a reason to look again, a few times.
    """
    for attempts_left in reversed(range(3)):
        before = store.load()
        if expected is not None and before.mark.epoch != expected.epoch:
            raise overtaken(before.mark.epoch)
        now = store.utc_now()
        try:
            return carry_out(make_plan(before, now), before, origin, reason, now)
        except ConflictError:
            if expected is not None or not attempts_left:
                raise
    raise AssertionError("the last attempt returns or raises")


def _close_knowingly(**arguments: Any) -> tuple[Snapshot, Outcome]:
    """Close as :func:`close_site` does; also what was true when this very change was made."""
    for attempts_left in reversed(range(3)):
        before = store.load()
        try:
            return before, close_site(**arguments, expected=before.mark)
        except ConflictError:
            if not attempts_left:
                raise
    raise AssertionError("the last attempt returns or raises")


def _undo_switch(before: Snapshot, outcome: Outcome, origin: Origin, reason: str) -> None:
    """Bring the switch back to where *before* saw it, unless somebody else moved it since."""
    if outcome.mark.epoch == before.mark.epoch:
        return
    switch, end = before.policy.switch, before.policy.ends_at
    end_lies_ahead = end is not None and end > store.utc_now()
    try:
        if switch.mode is Mode.OPEN or (switch.open_at_end and not end_lies_ahead):
            open_site(origin=origin, reason=reason, expected=outcome.mark)
        else:
            close_site(
                origin=origin,
                reason=switch.reason,
                until=end if end_lies_ahead else None,
                mode=switch.mode,
                open_at_end=switch.open_at_end and end_lies_ahead,
                expected=outcome.mark,
            )
    except ConflictError:
        return


def _undo_settings(before: Snapshot, given: Values, origin: Origin, reason: str) -> None:
    """Bring back the settings that still have the value that the block gave them."""
    now = store.load()
    restored = {
        key: stored(before, key)
        for key, entry in given.items()
        if stored(now, key).digest() == entry.digest() != stored(before, key).digest()
    }
    old_end = before.policy.ends_at
    if old_end is not None and old_end <= store.utc_now():
        restored.pop(END_KEY, None)  # an end that has passed meanwhile is no promise to restore
    if restored:
        save_settings(restored, origin=origin, reason=reason)
