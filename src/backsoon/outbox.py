"""What people are to be told is written down in the transaction of the change that brings it.

Moments that the clock brings are written by whoever finds them first: the key of an announcement
sees to it that nobody else writes it again. Who is told of it, and how, is decided when it is
delivered: see :mod:`backsoon.announce`.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Count, Q

from . import conf, limits, store
from .core.telling import Moment, Occasion, Timetable, brought_by_change, brought_by_clock
from .core.vocabulary import Window
from .models import Announcement, Delivery
from .signals import outbox_filled
from .snapshots import Mark, Snapshot

logger = logging.getLogger("backsoon")

PATIENCE_MILLISECONDS = 1_000
"""What writing down may wait for in the transaction of a change: a table may be locked."""

SETTLED = dt.timedelta(seconds=2)
"""How long ago the clock must have brought a moment: somebody may be putting it off right now."""


def timetable() -> Timetable:
    """How early people are told, by the settings."""
    settings = conf.current()
    return Timetable(
        notice=dt.timedelta(seconds=settings.notice),
        reminders=tuple(dt.timedelta(seconds=lead) for lead in settings.reminders),
    )


def is_used() -> bool:
    """Whether the settings name anybody to be told."""
    settings = conf.current()
    return bool(settings.audience or settings.operators or settings.webhooks or settings.apprise)


def visitors_may_ask() -> bool:
    """Whether visitors can leave their address on the page, to be told of the end."""
    return conf.current().tell_me


def _wanted(occasions: Iterable[Occasion]) -> list[Occasion]:
    """Those of *occasions* that there is anybody to tell of."""
    if is_used():
        return list(occasions)
    if visitors_may_ask():
        return [occasion for occasion in occasions if occasion.moment is Moment.ENDED]
    return []


# -- Writing -----------------------------------------------------------------------------------


def note(before: Snapshot, after: Snapshot, now: dt.datetime, *, noticed: bool = False) -> int:
    """Write down what the change from *before* to *after* brings; call it in its transaction.

    First what the clock had brought by then, which *after* may not tell any more. *noticed*: other
    hands have made the change. It stands whatever happens here: a closed site matters more than
    people who are told of it. Returns how many announcements that made: call for their delivery
    with :func:`call_for_delivery`.
    """
    if noticed and not before.changed_outside:
        return 0  # what a database had forgotten was told before
    using = store.alias()
    try:
        # Outside of the savepoint, which is rolled back before the limit ends.
        with limits.bounded(PATIENCE_MILLISECONDS, [using]), transaction.atomic(using=using):
            table = timetable()
            found = list(brought_by_clock(before.policy, before.windows, now, table))
            found += brought_by_change(
                (before.policy, before.windows),
                (after.policy, after.windows),
                now,
                table,
                from_outside=noticed,
            )
            wanted = _wanted(found)
            return _write(wanted, after) if wanted else 0
    except Exception:
        logger.exception("Backsoon: what is to be told of this change could not be written down.")
        return 0


def call_for_delivery() -> None:
    """Let those who deliver know, after the commit, that there is something new."""
    # Robust: what was committed has not failed because nobody could be sent for.
    transaction.on_commit(lambda: outbox_filled.send(sender=None), using=store.alias(), robust=True)


def sweep(snapshot: Snapshot, now: dt.datetime) -> int:
    """Write down what the clock has brought by *now*; how many announcements that makes.

    *snapshot* only tells whether to look: what is written follows from a reading made with the
    write lock. Raises :class:`backsoon.exceptions.StoreUnavailableError`.
    """
    settled = now - SETTLED
    due = _due(snapshot, settled)
    known = _seen_in(snapshot)
    if not due - known:
        return 0
    using = store.alias()
    with store.translated_errors(), store.bounded():
        rows = Announcement.objects.using(using).filter(key__in=due)
        written = set(rows.values_list("key", flat=True))
    made = 0
    if due - written:
        with store.translated_errors(), store.bounded(), transaction.atomic(using=using):
            store.lock()
            fresh = store.load()
            found = brought_by_clock(fresh.policy, fresh.windows, settled, timetable())
            made = _write(_wanted(found), fresh)
    if made:
        call_for_delivery()
    known |= due
    return made


def _due(snapshot: Snapshot, now: dt.datetime) -> set[str]:
    found = brought_by_clock(snapshot.policy, snapshot.windows, now, timetable())
    return {occasion.key for occasion in _wanted(found)}


_last: tuple[Mark | None, set[str]] = (None, set())


def _seen_in(snapshot: Snapshot) -> set[str]:
    """The keys that this process has found written already while it knew *snapshot*."""
    global _last
    holder, seen = _last
    if holder != snapshot.mark:
        seen = set()
        _last = (snapshot.mark, seen)
    return seen


def _write(occasions: Iterable[Occasion], snapshot: Snapshot) -> int:
    """Write what is new of *occasions* and fit to be told; how many that are."""
    rows = Announcement.objects.using(store.alias())
    by_key = {occasion.key: occasion for occasion in occasions}
    wanted = {f"announced:{o.window.uid}" for o in by_key.values() if o.window is not None}
    stored = dict(rows.filter(key__in=[*by_key, *wanted]).values_list("key", "at"))
    new: dict[str, Occasion] = {}
    for occasion in by_key.values():
        fit = _fit(occasion, stored)
        if fit is not None and fit.key not in stored:
            new.setdefault(fit.key, fit)
    if not new:
        return 0
    rows.bulk_create([_row(occasion, snapshot) for occasion in new.values()], ignore_conflicts=True)
    return len(new)


def _fit(occasion: Occasion, stored: Mapping[str, dt.datetime]) -> Occasion | None:
    """*occasion* as it is to be told, if it is."""
    if occasion.needs_announcement is None or occasion.window is None:
        return occasion
    announced = stored.get(f"announced:{occasion.window.uid}")
    if announced is not None:
        return occasion if announced <= occasion.needs_announcement else None
    return occasion.as_announcement() if occasion.fallback else None


def _row(occasion: Occasion, snapshot: Snapshot) -> Announcement:
    window = occasion.window
    return Announcement(
        key=occasion.key,
        moment=occasion.moment.value,
        window=window.uid if window is not None else "",
        at=occasion.at,
        facts=_facts(occasion, snapshot),
        expires_at=occasion.expires_at,
    )


def _facts(occasion: Occasion, snapshot: Snapshot) -> dict[str, Any]:
    """What is told, as it is true now: later changes have announcements of their own."""
    window = occasion.window
    earlier = occasion.earlier
    return {
        "planned": window is not None,
        "public": occasion.public,
        "mode": occasion.mode.value,
        "starts_at": _iso(occasion.starts_at),
        "until": _iso(occasion.until),
        "earlier": None
        if earlier is None
        else {"starts_at": _iso(earlier[0]), "until": _iso(earlier[1])},
        "lead": occasion.lead.total_seconds() if occasion.lead is not None else None,
        "number": window.number if window is not None else None,
        "sequence": window.sequence if window is not None else 0,
        "words": _words(window, snapshot),
    }


def _words(window: Window | None, snapshot: Snapshot) -> dict[str, dict[str, str]]:
    """Title and message by language; empty where each reader's default serves."""
    policy = snapshot.policy
    codes = {*policy.notices, *(window.words if window is not None else ())}
    found = {}
    for code in codes:
        notice = policy.notice(code)
        title, message = notice.title, notice.message
        if window is not None:
            told = window.told(code)
            title, message = told.title or title, told.message or message
        found[code] = {"title": title, "message": message}
    return found


def _iso(moment: dt.datetime | None) -> str | None:
    return moment.astimezone(dt.UTC).isoformat() if moment is not None else None


# -- Reading -----------------------------------------------------------------------------------


def told(windows: Collection[str], start: dt.datetime, end: dt.datetime) -> dict[str, int]:
    """How many messages there are about a closure, by their state; those not there are none.

    *windows* are the ``uid`` of the planned closures that it consisted of; what was told of a
    closure by hand from *start* to *end* belongs to it as well.
    Raises :class:`backsoon.exceptions.StoreUnavailableError`.
    """
    by_hand = Q(announcement__window="", announcement__at__gte=start, announcement__at__lte=end)
    rows = Delivery.objects.using(store.alias())
    rows = rows.filter(Q(announcement__window__in=list(windows)) | by_hand)
    with store.translated_errors():
        counted = rows.order_by().values_list("state").annotate(count=Count("pk"))
        return {str(state): count for state, count in counted}
