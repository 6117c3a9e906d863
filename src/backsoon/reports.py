"""The report of a closure: made of what is stored anyway, so that nothing is stored twice.

When and by whom stands in the history, what was planned in the rows of the windows, and what was
counted in the tallies. What else there is to tell is asked of :data:`SOURCES`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from django.db.models import Q, Sum

from . import outbox, store
from .core.checkup import checked_of
from .core.closures import END, OPENED, OVERDUE, Closure, Fact, Span, extensions, joined, moment_of
from .core.closures import spans_by_hand as by_hand
from .core.vocabulary import Mode
from .core.watch import Share
from .models import Change, Tally, Window

MOST_ROWS = 2_000
"""How much of the history is read for a report, at most: the newest rows."""

OPENING = (
    OPENED, Change.Action.ENDED.value, Change.Action.NOTICED.value,
    Change.Action.CANCELLED.value,  # what early ends were called at first
)  # fmt: skip
"""What the history may call it that somebody has opened the site."""

Source = Callable[[dt.datetime, dt.datetime], dict[str, Any] | None]

SOURCES: dict[str, Source] = {}
"""Who else has something to tell, by the key under which the report has it.

Each is asked with start and end of the closure (now, while it goes on).
"""


class NoReportError(LookupError):
    """There is no such closure."""


def report_of(*, epoch: int | None = None, window: int | None = None) -> dict[str, Any]:
    """The report of the closure that a change with this *epoch* belongs to, or the planned closure
    with the number *window*; without either of the last one. Fit for JSON, moments in UTC.

    Raises :class:`NoReportError`, and :class:`backsoon.exceptions.StoreUnavailableError`.
    """
    now = store.utc_now()
    with store.translated_errors():
        facts, windows = _facts(), _windows(now)
        spans = [Span(w.starts_at, w.ends_at, Mode(w.mode), w.pk) for w in windows]
        closures = joined([*by_hand(facts, now), *spans])
        closure = _found(closures, facts, epoch, window)
        own = [row for row in windows if row.pk in {span.window for span in closure.spans}]
        return _report(closure, [fact for fact in facts if closure.covers(fact.at)], own, now)


def _facts() -> list[Fact]:
    """The newest rows of the history, oldest first."""
    rows = Change.objects.using(store.alias()).order_by("-at", "-pk")[:MOST_ROWS]
    return [
        Fact(
            row.at, row.action, row.epoch, row.actor_name, row.channel, row.reason,
            row.before if isinstance(row.before, dict) else {},
            row.after if isinstance(row.after, dict) else {},
        )
        for row in reversed(rows)
    ]  # fmt: skip


def _windows(now: dt.datetime) -> list[Window]:
    """The planned closures that have begun."""
    begun = Window.objects.using(store.alias()).filter(cancelled_at=None, starts_at__lte=now)
    return list(begun.order_by("starts_at"))


def _found(
    closures: list[Closure], facts: list[Fact], epoch: int | None, window: int | None
) -> Closure:
    moments = [fact.at for fact in facts if fact.epoch == epoch]
    for closure in reversed(closures):
        if window is not None:
            fits = any(span.window == window for span in closure.spans)
        else:
            fits = epoch is None or any(closure.covers(moment) for moment in moments)
        if fits:
            return closure
    raise NoReportError


def _report(
    closure: Closure, facts: list[Fact], windows: list[Window], now: dt.datetime
) -> dict[str, Any]:
    end = closure.ends_at if closure.ends_at is not None and closure.ends_at <= now else None
    until = end or now
    first = next((fact for fact in facts if fact.at == closure.starts_at), None)
    opening = next((f for f in reversed(facts) if f.action in OPENING and f.at == end), None)
    tallies = _tallies(closure.starts_at, until)
    report = {
        "started_at": _iso(closure.starts_at),
        "ended_at": _iso(end),
        "seconds": round((until - closure.starts_at).total_seconds()),
        "mode": closure.mode.value,
        "began": _begin(first, windows),
        "opened": _opening(opening, end),
        "planned": _planned(facts, windows, end),
        "extended": extensions(facts),
        "overdue": any(fact.action == OVERDUE for fact in facts),
        "refused": tallies["refused"],
        "messages": outbox.told([window.uid for window in windows], closure.starts_at, until),
        "checks": [each.record() for each in checked_of(opening.after.get("checks"))]
        if opening
        else [],
        "forced": bool(opening and opening.after.get("forced")),
        "watch": tallies["watch"],
        "epochs": sorted({fact.epoch for fact in facts}),
        "windows": [window.pk for window in windows],
        "changes": [
            {"at": _iso(f.at), "by": f.by, "channel": f.channel, "action": f.action,
             "reason": f.reason, "epoch": f.epoch}
            for f in facts
        ],
    }  # fmt: skip
    for name, source in SOURCES.items():
        report[name] = source(closure.starts_at, until)
    return report


def _begin(first: Fact | None, windows: list[Window]) -> dict[str, Any]:
    """Who or what closed the site, and why."""
    if first is not None and first.action not in ("planned", "replanned"):
        return {"how": "hand", "by": first.by, "channel": first.channel, "reason": first.reason}
    planned = windows[0] if windows else None
    return {
        "how": "clock",
        "by": planned.planned_by if planned else "",
        "channel": Change.Channel.SCHEDULE.value,
        "reason": planned.reason if planned else "",
    }


def _opening(opening: Fact | None, end: dt.datetime | None) -> dict[str, Any] | None:
    """Who or what opened it; ``None`` while it is closed."""
    if end is None:
        return None
    if opening is None:
        channel = Change.Channel.SCHEDULE.value
        return {"how": "clock", "by": "", "channel": channel, "reason": "", "epoch": None}
    return {
        "how": "hand",
        "by": opening.by,
        "channel": opening.channel,
        "reason": opening.reason,
        "epoch": opening.epoch,
    }


def _planned(facts: list[Fact], windows: list[Window], end: dt.datetime | None) -> dict[str, Any]:
    """What was planned, or promised; and how much later than that the site opened, in seconds."""
    promised = [moment_of(f.after[END]) for f in facts if f.after.get(END)]
    ends = [*promised[-1:], *(window.planned_end for window in windows)]
    known = [moment for moment in ends if moment is not None]
    planned_end = max(known) if known else None
    late = (end - planned_end).total_seconds() if end and planned_end else None
    starts = [window.planned_start for window in windows]
    return {
        "starts_at": _iso(min(starts)) if starts else None,
        "ends_at": _iso(planned_end),
        "late_seconds": round(late) if late is not None else None,
    }


def _tallies(start: dt.datetime, end: dt.datetime) -> dict[str, Any]:
    rows = Tally.objects.using(store.alias()).filter(at__gte=start, at__lte=end)
    closed = Q(kind=Tally.Kind.CLOSED)
    names = ("pages", "programs", "logins", "requests", "failures")
    sums = rows.filter(closed).aggregate(**{name: Sum(name) for name in names})
    # PostgreSQL sums up to a decimal, which JSON does not know.
    number = {name: int(sums[name] or 0) for name in names}
    before = Share(number["requests"], number["failures"])
    opened = rows.filter(~closed).order_by("-at").first()
    after = Share(opened.requests, opened.failures) if opened else Share()
    refused = {name: number[name] for name in ("pages", "programs", "logins")}
    return {
        "refused": refused | {"all": sum(refused.values())},
        "watch": {
            "before": _share(before),
            "after": _share(after),
            "alarmed": bool(opened and opened.alarmed),
        },
    }


def _share(share: Share) -> dict[str, Any]:
    return {
        "requests": share.requests,
        "failures": share.failures,
        "percent": share.percent if share.requests else None,
    }


def _iso(moment: dt.datetime | None) -> str | None:
    return moment.astimezone(dt.UTC).isoformat() if moment is not None else None
