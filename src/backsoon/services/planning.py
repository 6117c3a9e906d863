"""The verbs of planned closures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from django.utils.timezone import get_current_timezone_name
from django.utils.translation import gettext as _

from backsoon import store
from backsoon.changes import (
    CODE,
    Origin,
    Outcome,
    Plan,
    carry_out,
)
from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import Mode, Words
from backsoon.exceptions import ConflictError, NoSuchWindowError
from backsoon.models import Change
from backsoon.repeating import RESERVE, continued, ended, repeated
from backsoon.scheduling import cancelled, current, moved, scheduled
from backsoon.snapshots import Mark, Snapshot

from .attempts import attempt


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

    return attempt(plan, origin, reason, expected)


def reschedule(
    uid: str,
    *,
    starts_at: dt.datetime | None = None,
    ends_at: dt.datetime | None = None,
    until_opened: bool = False,
    mode: Mode | None = None,
    keep_logins: bool | None = None,
    words: Mapping[str, Words] | None = None,
    notice: dt.timedelta | None = None,
    usual_notice: bool = False,
    reason: str = "",
    origin: Origin = CODE,
    expected: Mark | None = None,
) -> Outcome:
    """Change the planned closure *uid*, its times and words also while it goes on.

    What is not given stays. A start that has come begins it at once; *until_opened* takes its end
    away, and *usual_notice* a notice time of its own. Raises as :func:`schedule`, and
    :class:`NoSuchWindowError` when it is over.
    """

    def plan(before: Snapshot, now: dt.datetime) -> Plan:
        return moved(
            now, current(before, now, uid), starts_at=starts_at, ends_at=ends_at,
            until_opened=until_opened, mode=mode, keep_logins=keep_logins, words=words,
            notice=notice, usual_notice=usual_notice,
        )  # fmt: skip

    return attempt(plan, origin, reason, expected)


def cancel(
    uid: str,
    *,
    reason: str = "",
    origin: Origin = CODE,
    expected: Mark | None = None,
    force: bool = False,
) -> Outcome:
    """Take the planned closure *uid* back; one that has begun ends now.

    If that opens the site, the checks are run as :func:`open_site` does, with *force* alike.
    Raises :class:`NoSuchWindowError` when it is over; else as :func:`open_site`.
    """

    def plan(before: Snapshot, now: dt.datetime) -> Plan:
        return cancelled(now, current(before, now, uid))

    return attempt(plan, origin, reason, expected, force=force)


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

    return attempt(plan, origin, reason, expected)


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
