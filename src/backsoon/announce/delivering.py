"""One round of delivering: what is due is claimed, sent and checked off, one message at a time.

One channel that is down stops none of the others; it is left alone for the rest of the round.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from django.db import Error as DatabaseError
from django.db import OperationalError

from backsoon import outbox, store
from backsoon.models import Announcement, Delivery

from . import chat, claims, mail, receivers, webhooks
from .claims import ChannelDownError, Claim, NotSentError

logger = logging.getLogger("backsoon")

BATCHES = {Delivery.Channel.WEBHOOK: 2, Delivery.Channel.CHAT: 2, Delivery.Channel.MAIL: 50}
"""How many messages are claimed at a time; the slow ones a few, so that no claim runs out."""

KEPT = dt.timedelta(days=90)
"""How long it is known to whom what was sent."""

VISITORS_KEPT = dt.timedelta(days=7)
"""How long the address of a visitor is kept that could not be reached."""

CHECKING_OFF_SECONDS = (0.1, 0.5, 2.0)
"""How long to wait before a message that was sent is checked off again, where that failed."""

_OWN_LOOK_SECONDS = 30.0
"""After so many seconds of a batch its rows are claimed anew."""


@dataclass(slots=True)
class Report:
    """What came of a round."""

    receivers: int = 0
    """How many messages were made for announcements that had none yet."""
    sent: int = 0
    failed: int = 0
    given_up: int = 0
    waiting: int = 0
    """How many are left, to be sent later."""
    next_attempt_at: dt.datetime | None = None
    down: dict[str, str] = field(default_factory=dict)
    """The channels that do not work now, and why."""
    unaddressed: dict[str, str] = field(default_factory=dict)
    """Announcements whose receivers could not all be found, and why."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.failed or self.given_up or self.down or self.unaddressed)


@dataclass(slots=True)
class _Round:
    """What a round may still do."""

    report: Report
    stop: Callable[[], bool]
    limit: int | None = None

    def is_over(self) -> bool:
        return self.stop() or (self.limit is not None and self.limit <= 0)


def run(
    *,
    stop: Callable[[], bool] = lambda: False,
    limit: int | None = None,
    clock: Callable[[], dt.datetime] = store.utc_now,
) -> Report:
    """Deliver what is due, until nothing is, *stop* says so or *limit* messages were tried.

    Raises :class:`backsoon.exceptions.StoreUnavailableError`.
    """
    report = Report()
    outbox.sweep(store.load(), clock())
    with store.translated_errors():
        claims.free_the_dead()
        _address(report, stop, clock)
        task = _Round(report, stop, limit)
        busy = True
        while busy and not task.is_over():
            # In turns, so that a webhook does not wait for ten thousand mails.
            rounds = [_batch(channel, task, clock) for channel in BATCHES]
            busy = any(rounds)
        tidy(clock())
        _look_ahead(report)
    return report


def is_due(now: dt.datetime) -> bool:
    """Whether there is anything to do. Raises as :func:`run`."""
    with store.translated_errors():
        if claims.waiting(now).exists():
            return True
        rows = Announcement.objects.using(store.alias()).filter(addressed_at=None)
        return any(row.claimed_until is None or row.claimed_until <= now for row in rows[:20])


def _address(report: Report, stop: Callable[[], bool], clock: Callable[[], dt.datetime]) -> None:
    while not stop():
        announcement = receivers.take_one(clock())
        if announcement is None:
            break
        report.receivers += receivers.address(announcement, clock())
    rows = Announcement.objects.using(store.alias()).filter(addressed_at=None)
    report.unaddressed = dict(rows.exclude(last_error="").values_list("key", "last_error"))


# -- A batch -----------------------------------------------------------------------------------


def _batch(channel: str, task: _Round, clock: Callable[[], dt.datetime]) -> bool:
    """Send some messages of *channel*; whether there may be more."""
    if channel in task.report.down or task.is_over():
        return False
    size = BATCHES[Delivery.Channel(channel)]
    claim = claims.claim(channel, size if task.limit is None else min(size, task.limit), clock())
    if not claim.rows:
        return False
    left = list(claim.rows)
    try:
        wanted = _wanted(claim, left, clock())
        with _way(channel, wanted) as send:
            for row in _held(claim, left, wanted, task, clock):
                _one(send, claim, row, task, clock)
                left.remove(row)
    except ChannelDownError as error:
        reason = claims.storable_error(str(error))
        task.report.down[str(channel)] = reason
        logger.warning("Backsoon: nothing can be sent by %s now: %s", channel, reason)
        claims.release(claim, left, clock() + claims.pause(1), reason)
    else:
        claims.release(claim, left)
    return True


def _wanted(claim: Claim, left: list[Delivery], now: dt.datetime) -> list[Delivery]:
    """Those that still make sense; the others are given up and leave *left*."""
    customers = [row.address for row in left if row.source == Delivery.Source.AUDIENCE]
    gone = receivers.unsubscribed(customers) if customers else set()
    wanted = []
    for row in list(left):
        reason = _moot(row, gone, now)
        if reason:
            claims.give_up(claim, row, reason)
            left.remove(row)
        else:
            wanted.append(row)
    return wanted


def _moot(row: Delivery, gone: Iterable[str], now: dt.datetime) -> str:
    if row.source == Delivery.Source.AUDIENCE and row.address in gone:
        return "Unsubscribed meanwhile."
    expires_at = row.announcement.expires_at
    if row.channel != Delivery.Channel.WEBHOOK and expires_at is not None and expires_at <= now:
        return "Too late: it would mislead whoever reads it now."
    return ""


@contextmanager
def _way(channel: str, wanted: list[Delivery]) -> Iterator[Callable[[Delivery], None]]:
    with ExitStack() as stack:
        if channel == Delivery.Channel.MAIL:
            ready: Any = mail.open_connection() if wanted else nullcontext()
            yield mail.Sender(stack.enter_context(ready)).send
        elif channel == Delivery.Channel.WEBHOOK:
            yield webhooks.send
        else:
            yield chat.send


def _held(
    claim: Claim,
    left: list[Delivery],
    wanted: list[Delivery],
    task: _Round,
    clock: Callable[[], dt.datetime],
) -> Iterator[Delivery]:
    """The rows one by one, as long as they are ours."""
    looked_at = time.monotonic()
    for row in wanted:
        if task.is_over():
            return
        if time.monotonic() - looked_at > _OWN_LOOK_SECONDS:
            if not claims.renew(claim, left, clock()):
                left.clear()  # the claim ran out, a suspended machine's for one
                return
            looked_at = time.monotonic()
        yield row


def _one(
    send: Callable[[Delivery], None],
    claim: Claim,
    row: Delivery,
    task: _Round,
    clock: Callable[[], dt.datetime],
) -> None:
    if task.limit is not None:
        task.limit -= 1
    try:
        send(row)
    except NotSentError as error:
        _note_failure(claim, row, error, task.report, clock())
    except (ChannelDownError, DatabaseError):
        raise
    except Exception as error:  # a template of the project's, for one
        logger.exception("Backsoon: a message could not be made.")
        failure = NotSentError(f"{type(error).__name__}: {error}")
        _note_failure(claim, row, failure, task.report, clock())
    else:
        _check_off(claim, row, clock())
        task.report.sent += 1


def _note_failure(
    claim: Claim, row: Delivery, error: NotSentError, report: Report, now: dt.datetime
) -> None:
    claims.failed(claim, row, error, now)
    if row.state == Delivery.State.GIVEN_UP:
        report.given_up += 1
    else:
        report.failed += 1


def _check_off(claim: Claim, row: Delivery, now: dt.datetime) -> None:
    """It was sent: that must not be forgotten because the database is busy for a moment."""
    for seconds in CHECKING_OFF_SECONDS:
        try:
            claims.sent(claim, row, now)
        except OperationalError:
            time.sleep(seconds)
        else:
            return
    claims.sent(claim, row, now)


# -- Afterwards --------------------------------------------------------------------------------


def tidy(now: dt.datetime) -> None:
    """Forget who was told long ago. The announcement stays, so that nobody is told again.

    Raises as :func:`run`.
    """
    rows = Delivery.objects.using(store.alias())
    old = rows.filter(announcement__at__lt=now - KEPT)
    visitors = rows.filter(
        source=Delivery.Source.VISITORS, announcement__at__lt=now - VISITORS_KEPT
    ).exclude(state=Delivery.State.SENT)
    with store.translated_errors():
        for found in (old, visitors):
            while keys := list(found.order_by().values_list("pk", flat=True)[:500]):
                rows.filter(pk__in=keys).delete()


def _look_ahead(report: Report) -> None:
    rows = Delivery.objects.using(store.alias()).filter(state__in=Delivery.OPEN)
    report.waiting = rows.count()
    if report.waiting:
        first = rows.order_by("next_attempt_at").values_list("next_attempt_at", flat=True)
        report.next_attempt_at = first.first()
