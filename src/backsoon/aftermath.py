"""What becomes of the counts: the tally of each closure, and a watch over the site that has opened.

Every process keeps in memory how it fared in the last minutes. When the site closes it adds that to
the closure's row, once; while it is closed, whom it turned away; and for some minutes after the
opening, how it fares then. So an open site that nobody watches costs no query at all. The watch
asks whether more fails than before; the first process that finds so raises the alarm.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Sum

from . import conf, store, tallies
from .changes import Origin, record
from .clock import since_boot
from .core.state import resolve_state
from .core.vocabulary import State
from .core.watch import Share, has_risen, reopened_at
from .exceptions import StoreUnavailableError
from .models import Change, Tally
from .signals import trouble_after_opening
from .snapshots import Snapshot

logger = logging.getLogger("backsoon")

FLUSH_SECONDS = 10.0
"""How often counts are stored, while there are any: what a killed process takes with it."""

SAMPLES = 60
"""Into how many parts the time before a closure is divided."""

SHOWN = dt.timedelta(hours=24)
"""For how long after the opening the card tells of an alarm."""

_Key = tuple[str, dt.datetime]


@dataclass(frozen=True, slots=True)
class Sample:
    """The totals of this process at a moment."""

    at: dt.datetime
    requests: int
    failures: int


class Aftermath:
    """What one process has counted. Used by the watcher's thread alone."""

    def __init__(self) -> None:
        self._waiting: dict[_Key, Counter[str]] = {}
        self._samples: deque[Sample] = deque()
        self._born_with = tallies.totals()
        self._last: Sample | None = None
        self._closed_since: dt.datetime | None = None
        self._flush_at = 0.0
        self._failing = False

    def look(self, snapshot: Snapshot, state: State, now: dt.datetime) -> None:
        """Take what was counted since the last look, and note what it belongs to."""
        sample = Sample(now, *tallies.totals())
        last = self._last or Sample(now, *self._born_with)
        length = dt.timedelta(minutes=conf.current().watch_minutes)
        if state.is_open:
            self._look_while_open(snapshot, now, last, sample, length)
        else:
            self._look_while_closed(state, last, sample, length)
        self._last = sample
        for (since, who), number in tallies.take_refused().items():
            self._note(Tally.Kind.CLOSED, since, **{who.value: number})

    def flush_when_due(self, snapshot: Snapshot, state: State, now: dt.datetime) -> None:
        """Store what waits if that was not done for a while, and see how the site fares."""
        if since_boot() < self._flush_at or not self._waiting:
            return
        self._flush_at = since_boot() + FLUSH_SECONDS
        self.flush()
        opened_at = reopened_at(snapshot.policy, snapshot.windows, now)
        if opened_at is not None and state.is_open and not self._failing:
            self._judge(snapshot, opened_at)

    def flush(self) -> None:
        """Store what waits; what cannot be stored waits for the next time."""
        for key in list(self._waiting):
            try:
                add(*key, self._waiting[key])
            except StoreUnavailableError as error:
                if not self._failing:  # told once: it is tried again and again
                    logger.info("Backsoon: counts of a closure are not stored yet: %s", error)
                self._failing = True
                return
            del self._waiting[key]
        self._failing = False

    def _look_while_open(
        self,
        snapshot: Snapshot,
        now: dt.datetime,
        last: Sample,
        sample: Sample,
        length: dt.timedelta,
    ) -> None:
        self._closed_since = None
        opened_at = reopened_at(snapshot.policy, snapshot.windows, now)
        # What came since the last look counts, also when the time has run out meanwhile.
        if opened_at is not None and last.at < opened_at + length and length:
            self._note(
                Tally.Kind.OPENED,
                opened_at,
                requests=sample.requests - last.requests,
                failures=sample.failures - last.failures,
            )
        if not self._samples:
            self._samples.append(last)
        if sample.at - self._samples[-1].at >= length / SAMPLES:
            self._samples.append(sample)
        while len(self._samples) > 1 and self._samples[1].at <= now - length:
            self._samples.popleft()

    def _look_while_closed(
        self, state: State, last: Sample, sample: Sample, length: dt.timedelta
    ) -> None:
        since = state.since
        if since is None or since == self._closed_since:
            return
        if self._closed_since is None and length:
            first = self._samples[0] if self._samples else last
            self._note(
                Tally.Kind.CLOSED,
                since,
                requests=sample.requests - first.requests,
                failures=sample.failures - first.failures,
            )
        self._samples.clear()
        self._closed_since = since

    def _note(self, kind: Tally.Kind, at: dt.datetime, **numbers: int) -> None:
        found = {name: number for name, number in numbers.items() if number > 0}
        if found:
            self._waiting.setdefault((kind.value, at), Counter()).update(found)

    def _judge(self, snapshot: Snapshot, opened_at: dt.datetime) -> None:
        try:
            judge(snapshot, opened_at)
        except StoreUnavailableError as error:
            logger.info("Backsoon: how the site fares since it opened is not known: %s", error)


def add(kind: str, at: dt.datetime, numbers: Mapping[str, int]) -> None:
    """Add *numbers* to the row of what happened at that moment, making it if there is none.

    Atomic, however many processes do so at once. Raises :class:`StoreUnavailableError`.
    """
    changes = {name: F(name) + number for name, number in numbers.items()}
    with store.translated_errors(), store.bounded():
        row = _rows().filter(kind=kind, at=at)
        if not row.update(**changes):
            _rows().bulk_create([Tally(kind=kind, at=at)], ignore_conflicts=True)
            row.update(**changes)


def shares(opened_at: dt.datetime) -> tuple[Share, Share]:
    """How the site fared before the closure that ended at *opened_at*, and since.

    Raises :class:`StoreUnavailableError`.
    """
    with store.translated_errors():
        after = _rows().filter(kind=Tally.Kind.OPENED, at=opened_at).first()
        earlier = _rows().filter(at__lt=opened_at)
        last = earlier.filter(kind=Tally.Kind.OPENED).order_by("-at").first()
        closed = earlier.filter(kind=Tally.Kind.CLOSED)
        if last is not None:
            closed = closed.filter(at__gt=last.at)
        before = closed.aggregate(requests=Sum("requests"), failures=Sum("failures"))
    return (
        Share(int(before["requests"] or 0), int(before["failures"] or 0)),
        Share(after.requests, after.failures) if after is not None else Share(),
    )


def judge(snapshot: Snapshot, opened_at: dt.datetime) -> bool:
    """Raise the alarm if more fails since *opened_at* than did before; once for each opening.

    Raises :class:`StoreUnavailableError`.
    """
    before, after = shares(opened_at)
    if not has_risen(before, after):
        return False
    now = store.utc_now()
    told = {
        "opened_at": opened_at.isoformat(),
        "requests_after": after.requests,
        "failures_after": after.failures,
        "requests_before": before.requests,
        "failures_before": before.failures,
    }
    using = store.alias()
    # Bounded: it is a watcher that asks, and has more to do than to wait for a lock.
    with store.translated_errors(), store.bounded(), transaction.atomic(using=using):
        claimed = _rows().filter(kind=Tally.Kind.OPENED, at=opened_at, alarmed=False)
        if not claimed.update(alarmed=True):
            return False
        origin = Origin(channel=Change.Channel.SCHEDULE)
        change = record(Change.Action.TROUBLE, origin, "", now, snapshot.mark.epoch, {}, told)
    transaction.on_commit(lambda: _announce(change, before, after), using=using)
    return True


@dataclass(frozen=True, slots=True)
class Trouble:
    """More fails since the site opened."""

    opened_at: dt.datetime
    before: Share
    after: Share


def trouble(snapshot: Snapshot, now: dt.datetime) -> Trouble | None:
    """What the card says of the last opening; ``None`` while nothing is wrong, or the site closed.

    Raises :class:`StoreUnavailableError`.
    """
    if not resolve_state(snapshot.policy, snapshot.windows, now).is_open:
        return None
    opened_at = reopened_at(snapshot.policy, snapshot.windows, now)
    if opened_at is None or now - opened_at > SHOWN:
        return None
    with store.translated_errors():
        row = _rows().filter(kind=Tally.Kind.OPENED, at=opened_at, alarmed=True)
        if not row.exists():
            return None
    return Trouble(opened_at, *shares(opened_at))


def _announce(change: Change, before: Share, after: Share) -> None:
    logger.error(
        "Backsoon: since the site has opened %g %% of requests fail (%d of %d); before it was "
        "closed it was %g %% (%d of %d).",
        after.percent, after.failures, after.requests,
        before.percent, before.failures, before.requests,
    )  # fmt: skip
    for receiver, result in trouble_after_opening.send_robust(
        sender=Change, change=change, before=before, after=after
    ):
        if isinstance(result, Exception):
            logger.error(
                "Backsoon: the receiver %r of trouble_after_opening failed.", receiver,
                exc_info=result,
            )  # fmt: skip


def _rows() -> Any:
    return Tally.objects.using(store.alias())
