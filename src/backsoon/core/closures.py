"""From the history and the planned closures to the closures that there were.

A closure lasts from when the site stopped being open until it is open again, whoever and whatever
closed it meanwhile.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .vocabulary import Mode

CLOSED, OPENED, OVERDUE = "closed", "opened", "overdue"
"""What the history calls it."""

END, TIMER = "maintenance_ends_at", "open_at_end"
"""Where a row of the history tells of the expected end, and whether it is a timer."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A row of the history."""

    at: dt.datetime
    action: str
    epoch: int = 0
    by: str = ""
    channel: str = ""
    reason: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mode(self) -> str:
        """The state of the site after it; empty where the row says nothing of it."""
        return str(self.after.get("mode", ""))


@dataclass(frozen=True, slots=True)
class Span:
    """For how long one cause kept the site from being open; ``ends_at`` is ``None`` if it does."""

    starts_at: dt.datetime
    ends_at: dt.datetime | None
    mode: Mode
    window: int | None = None
    """The number of the planned closure; ``None`` for one by hand."""


@dataclass(frozen=True, slots=True)
class Closure:
    """One or more spans without a gap between them."""

    starts_at: dt.datetime
    ends_at: dt.datetime | None
    spans: tuple[Span, ...]

    @property
    def mode(self) -> Mode:
        """The most severe one there was."""
        return max((span.mode for span in self.spans), key=lambda mode: mode.severity)

    def covers(self, moment: dt.datetime) -> bool:
        """Whether *moment* lies within, both ends included."""
        return self.starts_at <= moment and (self.ends_at is None or moment <= self.ends_at)


def spans_by_hand(facts: Iterable[Fact], now: dt.datetime) -> list[Span]:
    """The closures by the switch that *facts*, oldest first, tell of."""
    found: list[Span] = []
    current: Span | None = None
    end: dt.datetime | None = None
    timer = False
    for fact in facts:
        if current is not None and timer and end is not None and end <= fact.at:
            found.append(dataclasses.replace(current, ends_at=end))
            current = None
        if fact.action == OPENED or fact.mode == Mode.OPEN:
            if current is not None:
                found.append(dataclasses.replace(current, ends_at=fact.at))
            current = None
        elif fact.action == CLOSED or (fact.mode and current is None and fact.action != OVERDUE):
            mode = Mode.READ_ONLY if fact.mode == Mode.READ_ONLY else Mode.CLOSED
            if current is None:
                current = Span(fact.at, None, mode)
            elif mode.severity > current.mode.severity:
                current = dataclasses.replace(current, mode=mode)
        if END in fact.after:
            end = moment_of(fact.after[END])
        timer = bool(fact.after.get(TIMER, timer))
    if current is not None:
        over = timer and end is not None and end <= now
        found.append(dataclasses.replace(current, ends_at=end if over else None))
    return found


def joined(spans: Iterable[Span]) -> list[Closure]:
    """*spans* as closures, oldest first: what overlaps or touches is one."""
    found: list[Closure] = []
    for span in sorted(spans, key=lambda span: span.starts_at):
        last = found[-1] if found else None
        if last is None or not last.covers(span.starts_at):
            found.append(Closure(span.starts_at, span.ends_at, (span,)))
            continue
        open_end = last.ends_at is None or span.ends_at is None
        end = None if open_end else max(last.ends_at, span.ends_at)  # type: ignore[type-var]
        found[-1] = Closure(last.starts_at, end, (*last.spans, span))
    return found


def extensions(facts: Sequence[Fact]) -> int:
    """How often the time of a closure was made longer."""
    return sum(any(_is_later(fact, name) for name in (END, "ends_at", "overdue_at"))
               for fact in facts if fact.action not in (CLOSED, OPENED, OVERDUE))  # fmt: skip


def _is_later(fact: Fact, name: str) -> bool:
    before, after = moment_of(fact.before.get(name)), moment_of(fact.after.get(name))
    return before is not None and after is not None and after > before


def moment_of(text: object) -> dt.datetime | None:
    """A moment as the history keeps it, in UTC; ``None`` where there is none."""
    if not isinstance(text, str):
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(dt.UTC) if moment.utcoffset() is not None else None
