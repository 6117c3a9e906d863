"""The closures that calendars and feeds tell of, as they are stored.

The snapshot that every process keeps knows what can still close the site. Who subscribes wants
more: what was called off, so that it goes away again, and what was not long ago. That is read here,
by four bounded queries, for those who ask for it.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from . import store
from .core.news import Closure
from .core.state import opens_from
from .core.vocabulary import Mode, Policy
from .core.vocabulary import Window as CoreWindow
from .definitions import parse_moment
from .editing import END_KEY
from .models import Change, Window

KEPT = dt.timedelta(weeks=4)
"""For how long what is over, or was called off, is told. A calendar that was not opened for so long
keeps what was cancelled meanwhile."""

MOST_AHEAD = 200
"""How many planned closures are told of, the next ones."""

MOST_BEHIND = 100
"""How many that are over, or were called off, the latest."""

MOST_CHANGES = 500
"""How many rows of the history are looked at, the latest."""

_PLANS = (
    Change.Action.PLANNED, Change.Action.REPLANNED, Change.Action.CANCELLED, Change.Action.ENDED,
)  # fmt: skip
_TELLING = (
    *_PLANS, Change.Action.CLOSED, Change.Action.OPENED, Change.Action.NOTICED,
    Change.Action.SETTINGS,
)  # fmt: skip


def read(policy: Policy, now: dt.datetime) -> tuple[Closure, ...]:
    """The closures of some weeks back and of all that is planned, as far as the bounds go.

    *policy* tells of a timer that has opened the site by *now* without anybody writing it down.
    Raises :class:`backsoon.exceptions.StoreUnavailableError`.
    """
    with store.translated_errors():
        windows = [*_ahead(now), *_behind(now)]
        changes = list(_changes(now))
    changed = _changes_of_plans(changes)
    planned = (closure for row in windows if (closure := _planned(row, changed)) is not None)
    return (*planned, *_by_hand(changes, policy, now))


def _ahead(now: dt.datetime) -> Iterable[Window]:
    rows = Window.objects.using(store.alias()).filter(cancelled_at=None)
    rows = rows.filter(Q(ends_at=None) | Q(ends_at__gt=now))
    return rows.order_by("starts_at", "pk")[:MOST_AHEAD]


def _behind(now: dt.datetime) -> Iterable[Window]:
    rows = Window.objects.using(store.alias())
    over = rows.filter(cancelled_at=None, ends_at__lte=now, ends_at__gt=now - KEPT)
    called_off = rows.filter(cancelled_at__gt=now - KEPT)
    found = [
        *over.order_by("-ends_at", "-pk")[:MOST_BEHIND],
        *called_off.order_by("-cancelled_at", "-pk")[:MOST_BEHIND],
    ]
    return sorted(found, key=lambda row: (row.starts_at, row.pk))


def _changes(now: dt.datetime) -> Iterable[Change]:
    """The latest first."""
    rows = Change.objects.using(store.alias()).filter(at__gt=now - KEPT, action__in=_TELLING)
    rows = rows.only("at", "action", "epoch", "before", "after")
    return rows.order_by("-at", "-pk")[:MOST_CHANGES]


def _changes_of_plans(changes: Iterable[Change]) -> dict[str, dt.datetime]:
    """When each planned closure was changed last, by its number as the history writes it."""
    found: dict[str, dt.datetime] = {}
    for change in changes:
        label = _dict(change.after).get("window")
        if isinstance(label, str) and change.moment is not None:
            found.setdefault(label, change.moment)
    return found


def _planned(row: Window, changed: Mapping[str, dt.datetime]) -> Closure | None:
    """*row* as a closure; ``None`` where somebody has broken it by hand."""
    try:
        window = row.to_core()
    except (TypeError, ValueError):
        return None
    at = changed.get(f"#{row.pk}") if row.sequence else None
    return Closure(window, row.created_at, changed_at=at, cancelled_at=row.cancelled_at)


def _by_hand(changes: Iterable[Change], policy: Policy, now: dt.datetime) -> Iterator[Closure]:
    """The closures by the switch, of which only the history tells."""
    turns = sorted(_turns(changes, policy), key=lambda turn: turn.at)
    for turn, following in itertools.zip_longest(turns, turns[1:]):
        end = _opened_by_timer(policy, now) if following is None else following.ended_at
        if turn.mode is Mode.OPEN or (end is not None and end <= turn.at):
            continue
        uid = f"switch-{turn.number}-{turn.at.isoformat()}"
        window = CoreWindow(turn.at, end, turn.mode, uid=uid)
        yield Closure(window, turn.at, planned=False)


@dataclass(frozen=True, slots=True)
class _Turn:
    """One movement of the switch."""

    at: dt.datetime
    mode: Mode
    """Where to."""
    number: int
    ended_at: dt.datetime
    """When what was before it had ended: now, or earlier by a timer."""


def _turns(changes: Iterable[Change], policy: Policy) -> list[_Turn]:
    found = [turn for change in changes if (turn := _turn(change)) is not None]
    switch = policy.switch
    if not found and switch.mode is not Mode.OPEN and switch.since is not None:
        found = [_Turn(switch.since, switch.mode, 0, switch.since)]  # longer ago than we look
    return found


def _turn(change: Change) -> _Turn | None:
    before, after = _dict(change.before), _dict(change.after)
    if change.moment is None or "mode" not in after or change.action in _PLANS:
        return None
    try:
        mode = Mode(after["mode"])
    except ValueError:
        return None
    had_opened = mode is not Mode.OPEN and before.get("mode") == Mode.OPEN.value
    end = _moment(before.get(END_KEY)) if had_opened else None
    ended_at = change.at if end is None else min(end, change.at)
    return _Turn(change.at, mode, change.epoch, ended_at)


def _opened_by_timer(policy: Policy, now: dt.datetime) -> dt.datetime | None:
    opens_at = opens_from(policy)
    return opens_at if opens_at is not None and opens_at <= now else None


def _moment(text: object) -> dt.datetime | None:
    try:
        return parse_moment(str(text))
    except ValueError:
        return None


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
