"""What a change of the planned closures consists of, and what is wrong with one.

A window is judged where it is planned, not where it is read: each process only asks the clock.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from . import conf
from .changes import Origin, Plan
from .core.schedule import windows_at
from .core.vocabulary import Mode, Window, Words
from .definitions import BY_KEY, clean, messages_of
from .editing import storable
from .exceptions import InvalidSettingError, NoSuchWindowError
from .models import Change, new_uid
from .snapshots import Snapshot

FARTHEST = conf.LONGEST_CLOSURE
"""How far ahead a closure can be planned, and how long it can last."""

LATE = dt.timedelta(minutes=1)
"""A start that lies so short a time back is meant to be now: typing takes time."""


def scheduled(
    now: dt.datetime,
    starts_at: dt.datetime,
    ends_at: dt.datetime | None,
    *,
    mode: Mode,
    keep_logins: bool,
    words: Mapping[str, Words],
    notice: dt.timedelta | None,
    reason: str,
    origin: Origin,
) -> Plan:
    """What plans a closure. Raises :class:`InvalidSettingError` naming all that is wrong."""
    if mode is Mode.OPEN:
        raise ValueError("a planned closure closes, or makes read-only")
    _require_zones(starts_at, ends_at)
    if now - LATE <= starts_at <= now:
        starts_at = now
    words = _judged(now, starts_at, ends_at, words, notice=notice)
    values = {
        "starts_at": starts_at,
        "ends_at": ends_at,
        "mode": mode.value,
        "keep_logins": keep_logins,
        "notice": notice,
        "reason": storable(reason),
        "planned_start": starts_at,
        "planned_end": ends_at,
        "planned_by": origin.label,
        "created_at": now,
        **_texts(words),
    }
    return Plan(action=Change.Action.PLANNED, windows={new_uid(): values})


def moved(
    now: dt.datetime,
    window: Window,
    *,
    starts_at: dt.datetime | None = None,
    ends_at: dt.datetime | None = None,
    until_opened: bool = False,
    mode: Mode | None = None,
    keep_logins: bool | None = None,
    words: Mapping[str, Words] | None = None,
    notice: dt.timedelta | None = None,
    usual_notice: bool = False,
) -> Plan:
    """What changes a planned closure; what is not given stays as it is.

    A start at or before *now* begins it at once. One that has begun keeps its start and what it
    does: what was closed was closed. Raises :class:`InvalidSettingError`.
    """
    _require_zones(starts_at, ends_at)
    begun = window.starts_at <= now
    if begun:
        _require_kept(window, starts_at=starts_at, mode=mode, keep_logins=keep_logins)
    start = window.starts_at if starts_at is None or begun else max(starts_at, now)
    end = None if until_opened else ends_at or window.ends_at
    judged = _judged(now, start, end, words or {}, begun=begun, notice=notice)
    values: dict[str, Any] = {}
    if start != window.starts_at:
        values["starts_at"] = start
        if starts_at is not None and starts_at > now:
            values["planned_start"] = start  # else it only begins earlier than planned
    if end != window.ends_at:
        values["ends_at"] = end
        if not begun:
            values["planned_end"] = end
    if words is not None and _texts(judged) != _texts(window.words):
        values |= _texts(judged)
    given = {"mode": mode, "keep_logins": keep_logins, "notice": notice}
    values |= {
        name: value for name, value in given.items() if value not in (None, getattr(window, name))
    }
    if usual_notice and window.notice is not None:
        values["notice"] = None
    if values:
        values["sequence"] = window.sequence + 1
    return Plan(
        action=Change.Action.REPLANNED if values else "",
        windows={window.uid: values} if values else {},
    )


def _require_kept(window: Window, **changes: object) -> None:
    sentences = {
        "starts_at": _("It has begun already, so its start cannot be moved."),
        "mode": _("It has begun already, so what it does cannot be changed."),
        "keep_logins": _("It has begun already, so what it does cannot be changed."),
    }
    errors = {
        name: [sentences[name]]
        for name, value in changes.items()
        if value not in (None, getattr(window, name))
    }
    if errors:
        raise InvalidSettingError(errors)


def cancelled(now: dt.datetime, window: Window) -> Plan:
    """What takes a planned closure back; one that has begun ends now."""
    if window.starts_at > now:
        return Plan(action=Change.Action.CANCELLED, windows={window.uid: taken_back(window, now)})
    return Plan(action=Change.Action.ENDED, windows=_ended([window], now))


def end_all(plan: Plan, before: Snapshot, now: dt.datetime) -> None:
    """Let *plan* end the windows in which the site is closed now: somebody opens by hand."""
    plan.windows |= _ended(windows_at(before.windows, now), now)


def written_again(known: Snapshot, before: Snapshot) -> dict[str, dict[str, Any]]:
    """The windows of *known* that a database which has gone back does not have as they were.

    What it has beyond them stays: a closure too many does less harm than one too few.
    """
    return {
        window.uid: _row_of(window, is_new=before.window(window.uid) is None)
        for window in known.windows
        if window.uid and before.window(window.uid) != window
    }


def current(before: Snapshot, now: dt.datetime, uid: str) -> Window:
    """The planned closure of this *uid*. Raises :class:`NoSuchWindowError` unless it is to come,
    or goes on.
    """
    window = before.window(uid)
    if window is None or (window.ends_at is not None and window.ends_at <= now):
        raise NoSuchWindowError({"window": [_("There is no such planned closure any more.")]})
    return window


def taken_back(window: Window, now: dt.datetime) -> dict[str, Any]:
    """What the row of a window that shall not be says."""
    return {"cancelled_at": now, "sequence": window.sequence + 1}


def _ended(windows: list[Window], now: dt.datetime) -> dict[str, dict[str, Any]]:
    # One that begins at this very moment has not been: a window ends after its start.
    return {
        window.uid: {"ends_at": now, "sequence": window.sequence + 1}
        if window.starts_at < now
        else taken_back(window, now)
        for window in windows
    }


def _require_zones(*moments: dt.datetime | None) -> None:
    if any(moment is not None and moment.utcoffset() is None for moment in moments):
        raise ValueError("the moments of a planned closure must be aware")


def _judged(
    now: dt.datetime,
    starts_at: dt.datetime,
    ends_at: dt.datetime | None,
    words: Mapping[str, Words],
    *,
    begun: bool = False,
    notice: dt.timedelta | None = None,
) -> dict[str, Words]:
    """The words as they are to be stored. Raises :class:`InvalidSettingError`."""
    errors = _wrong_times(now, starts_at, ends_at, begun)
    if notice is not None and not dt.timedelta(0) <= notice <= FARTHEST:
        errors["notice"] = [_("Between nothing and %(days)d days.") % {"days": FARTHEST.days}]
    cleaned: dict[str, dict[str, str]] = {code: {} for code in words}
    for code, texts in words.items():
        for name, text in (("title", texts.title), ("message", texts.message)):
            try:
                cleaned[code][name] = clean(BY_KEY[f"maintenance_{name}"], text)
            except ValidationError as error:
                errors[f"{name}:{code}" if code else name] = messages_of(error)
    if errors:
        raise InvalidSettingError(errors)
    return {code: Words(**texts) for code, texts in cleaned.items()}


def _wrong_times(
    now: dt.datetime, starts_at: dt.datetime, ends_at: dt.datetime | None, begun: bool
) -> dict[str, list[str]]:
    errors = {}
    days = {"days": FARTHEST.days}
    if starts_at < now and not begun:
        errors["starts_at"] = [_("This lies in the past. To close at once, use the switch.")]
    elif starts_at - now > FARTHEST:
        errors["starts_at"] = [_("This is more than %(days)d days away.") % days]
    if ends_at is None:
        return errors
    if ends_at <= starts_at:
        errors["ends_at"] = [_("The end has to come after the start.")]
    elif ends_at <= now:
        errors["ends_at"] = [_("The end has to lie in the future. To open now, open the site.")]
    elif ends_at - starts_at > FARTHEST:
        errors["ends_at"] = [_("A closure can last %(days)d days at most.") % days]
    return errors


def _texts(words: Mapping[str, Words]) -> dict[str, Any]:
    own = words.get("", Words())
    return {
        "title": own.title,
        "message": own.message,
        "translations": {
            code: {"title": texts.title, "message": texts.message}
            for code, texts in words.items()
            if code and (texts.title or texts.message)
        },
    }


def _row_of(window: Window, *, is_new: bool) -> dict[str, Any]:
    # What was planned at first, and when, stays where a row still tells it.
    planned = {
        "planned_start": window.starts_at,
        "planned_end": window.ends_at,
        "created_at": window.starts_at,
    }
    return {
        "starts_at": window.starts_at,
        "ends_at": window.ends_at,
        "mode": window.mode.value,
        "keep_logins": window.keep_logins,
        "notice": window.notice,
        "sequence": window.sequence,
        "reason": window.reason,
        "series_id": window.series or None,
        "occurrence": window.occurrence,
        "cancelled_at": None,
        **(planned if is_new else {}),
        **_texts(window.words),
    }
