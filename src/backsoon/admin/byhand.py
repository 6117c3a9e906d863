"""Closures by hand, as the history tells of them: for the calendar, beside the planned ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from backsoon import store
from backsoon.core.state import opens_from, switch_mode
from backsoon.core.vocabulary import Mode
from backsoon.definitions import parse_moment
from backsoon.editing import END_KEY
from backsoon.models import Change
from backsoon.snapshots import Snapshot

AROUND = dt.timedelta(days=31)
"""How far before and after a month its closures are looked for."""

MOST = 1000
"""How many rows of the history are read for one month."""

_SWITCHING = (
    Change.Action.CLOSED,
    Change.Action.OPENED,
    Change.Action.NOTICED,
    Change.Action.SETTINGS,
)


@dataclass(slots=True)
class ByHand:
    """A closure that somebody began by hand."""

    starts_at: dt.datetime
    ends_at: dt.datetime | None
    """``None`` when it goes on, or when nobody wrote down its end."""
    mode: str
    by: str
    reason: str
    goes_on: bool = False


def between(snapshot: Snapshot, begin: dt.datetime, end: dt.datetime) -> list[ByHand]:
    """The closures by hand of which a part lies in ``[begin, end)``, the earliest first.

    Raises :class:`StoreUnavailableError`.
    """
    with store.translated_errors():
        rows = Change.objects.using(store.alias()).filter(
            at__gte=begin - AROUND, at__lt=end + AROUND, action__in=_SWITCHING
        )
        changes = list(rows.order_by("at", "pk")[:MOST])
    found = list(told(changes))
    switch = snapshot.policy.switch
    if found and switch.mode is not Mode.OPEN and found[-1].starts_at == switch.since:
        found[-1].ends_at = opens_from(snapshot.policy)
        found[-1].goes_on = switch_mode(snapshot.policy, store.utc_now()) is not Mode.OPEN
    return [
        each
        for each in found
        if each.starts_at < end and (each.goes_on or (each.ends_at or each.starts_at) >= begin)
    ]


def told(changes: Iterable[Change]) -> Iterator[ByHand]:
    """The closures that *changes* (the earliest first) tell of."""
    story = _Story()
    for change in changes:
        if change.moment is not None and isinstance(change.after, dict):
            yield from story.goes_on_with(change, change.moment, change.after)
    yield from story.ends_at(None)


class _Story:
    """What is known so far, of a closure that has begun and not ended."""

    def __init__(self) -> None:
        self.closure: ByHand | None = None
        self.timer = False
        self.expected: dt.datetime | None = None

    def goes_on_with(
        self, change: Change, at: dt.datetime, after: dict[str, Any]
    ) -> Iterator[ByHand]:
        """The closures that are over when *change* has happened."""
        # A timer opens the site without anybody writing it down.
        if self.opened_itself_by(at):
            yield from self.ends_at(None)
        mode = after.get("mode")
        if change.action != Change.Action.SETTINGS and isinstance(mode, str):
            was_open = isinstance(change.before, dict) and change.before.get("mode") == Mode.OPEN
            is_known = mode == Mode.OPEN or not was_open
            yield from self.ends_at(at if is_known else None)
            if mode != Mode.OPEN:
                self.closure = ByHand(at, None, mode, change.actor_name, change.reason)
        self.timer = bool(after.get("open_at_end", self.timer))
        if END_KEY in after:
            self.expected = _moment(after[END_KEY])

    def opened_itself_by(self, at: dt.datetime) -> bool:
        """Whether a timer had run out by then."""
        return self.timer and self.expected is not None and self.expected <= at

    def ends_at(self, moment: dt.datetime | None) -> Iterator[ByHand]:
        """The closure, if there is one; with ``None`` its end is that of its timer, or unknown."""
        if self.closure is not None:
            self.closure.ends_at = moment or (self.expected if self.timer else None)
            yield self.closure
        self.closure, self.timer, self.expected = None, False, None


def _moment(value: Any) -> dt.datetime | None:
    try:
        return parse_moment(str(value))
    except (ValueError, OverflowError):
        return None
