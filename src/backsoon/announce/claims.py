"""Who sends which message: a claim on the rows, so that two who deliver at once send none twice.

A claim runs out, and one of a process on this host that has ended is free at once. Each message is
checked off on its own right after it was sent. So what a killed process may have sent without
saying so is one message, the one that it was at.
"""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from django.db import connections, transaction
from django.db.models import F, Q
from django.utils.crypto import salted_hmac

from backsoon import processes, store
from backsoon.models import Announcement, Delivery
from backsoon.processes import Process

LEASE = dt.timedelta(minutes=2)
"""How long a claim holds unless it is renewed."""

ATTEMPTS = 8
"""How often a message is tried before it is given up: for about two hours."""

FIRST_PAUSE = dt.timedelta(minutes=1)
LONGEST_PAUSE = dt.timedelta(hours=6)
"""How long to wait after the first failure, and at most; each pause is twice the last one."""

ERROR_LENGTH = 500


class NotSentError(Exception):
    """A message could not be sent; *permanent*: and will not be, however often it is tried."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent


class ChannelDownError(Exception):
    """Nothing can be sent this way now; it says nothing about any one message."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Rows that belong to this process for a while."""

    token: str
    rows: tuple[Delivery, ...]


def waiting(now: dt.datetime, channels: Iterable[str] | None = None) -> Any:
    """The rows that are due and nobody is at."""
    rows = Delivery.objects.using(store.alias()).filter(
        Q(claimed_until=None) | Q(claimed_until__lte=now),
        state__in=Delivery.OPEN,
        next_attempt_at__lte=now,
    )
    return rows if channels is None else rows.filter(channel__in=channels)


def claim(channel: str, limit: int, now: dt.datetime) -> Claim:
    """Take up to *limit* due rows of *channel*, those that wait longest first."""
    mark = token()
    using = store.alias()
    free = waiting(now, [channel])
    chosen = free.order_by("next_attempt_at", "pk").values_list("pk", flat=True)
    with ExitStack() as stack:
        if connections[using].features.has_select_for_update_skip_locked:
            # Only there: a transaction on SQLite that reads first fails where others write.
            stack.enter_context(transaction.atomic(using=using))
            chosen = chosen.select_for_update(skip_locked=True)
        keys = list(chosen[:limit])
        # Compare-and-swap: where rows cannot be locked, somebody may have been faster.
        free.filter(pk__in=keys).update(claimed_by=mark, claimed_until=now + LEASE)
    mine = Delivery.objects.using(using).filter(pk__in=keys, claimed_by=mark)
    rows = mine.select_related("announcement").order_by("next_attempt_at", "pk")
    return Claim(mark, tuple(rows))


def renew(claim: Claim, rows: Iterable[Delivery], now: dt.datetime) -> bool:
    """Hold *rows* longer; false when they are somebody else's by now."""
    keys = [row.pk for row in rows]
    held = _held(claim, keys).filter(claimed_until__gt=now).update(claimed_until=now + LEASE)
    return bool(held == len(keys))


def release(
    claim: Claim, rows: Iterable[Delivery], at: dt.datetime | None = None, reason: str = ""
) -> None:
    """Give *rows* back untried, to be taken again *at* that moment at the earliest."""
    values: dict[str, Any] = {"claimed_by": "", "claimed_until": None}
    if at is not None:
        values |= {"next_attempt_at": at, "last_error": reason}
    _held(claim, [row.pk for row in rows]).update(**values)


def sent(claim: Claim, row: Delivery, now: dt.datetime) -> None:
    """Check *row* off. Of visitors who only wanted this one message nothing else is kept."""
    row.state = Delivery.State.SENT
    values: dict[str, Any] = {"state": row.state, "sent_at": now, "last_error": ""}
    if row.source == Delivery.Source.VISITORS:
        values["address"] = nameless(row)
    _finish(claim, row, attempts=F("attempts") + 1, **values)


def nameless(row: Delivery) -> str:
    """What stands for the address of *row*, so that it is told once and not known any more."""
    secret = f"{row.announcement_id}\n{row.address}"
    digest = salted_hmac("backsoon.visitors", secret, algorithm="sha256").hexdigest()
    return f"#{digest[:32]}"


def failed(claim: Claim, row: Delivery, error: NotSentError, now: dt.datetime) -> None:
    """Note that *row* was tried in vain, and when it is tried again, if it is."""
    attempts = row.attempts + 1
    final = error.permanent or attempts >= ATTEMPTS
    row.state = Delivery.State.GIVEN_UP if final else Delivery.State.FAILED
    _finish(
        claim,
        row,
        state=row.state,
        attempts=attempts,
        last_error=storable_error(str(error)),
        next_attempt_at=now + pause(attempts),
    )


def give_up(claim: Claim, row: Delivery, reason: str) -> None:
    """Let *row* be: nobody shall send it any more."""
    row.state = Delivery.State.GIVEN_UP
    _finish(claim, row, state=row.state, last_error=reason)


def pause(attempts: int) -> dt.timedelta:
    """How long to wait after so many attempts; by chance a little more or less."""
    length: dt.timedelta = min(FIRST_PAUSE * 2 ** (min(attempts, 20) - 1), LONGEST_PAUSE)
    return length * random.uniform(0.8, 1.2)  # noqa: S311  (spreads load, keeps no secret)


def free_the_dead() -> int:
    """Free what processes had claimed that have ended on this host; how many rows."""
    freed = 0
    for rows in (
        Delivery.objects.using(store.alias()).filter(state__in=Delivery.OPEN),
        Announcement.objects.using(store.alias()).filter(addressed_at=None),
    ):
        claimed = rows.exclude(claimed_by="").order_by()
        for mark in set(claimed.values_list("claimed_by", flat=True).distinct()):
            if processes.is_gone(_process(mark)):
                freed += rows.filter(claimed_by=mark).update(claimed_by="", claimed_until=None)
    return freed


def try_again(rows: Any, now: dt.datetime) -> int:
    """Let *rows* (a queryset) that failed or were given up be tried anew at once; how many."""
    again = rows.filter(state__in=[Delivery.State.FAILED, Delivery.State.GIVEN_UP])
    again = again.filter(Q(claimed_until=None) | Q(claimed_until__lte=now))
    return int(again.update(state=Delivery.State.PENDING, attempts=0, next_attempt_at=now))


def storable_error(text: str) -> str:
    """*text* on one line, short, and without what databases refuse."""
    clean = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(clean.split())[:ERROR_LENGTH]


def _held(claim: Claim, keys: list[Any]) -> Any:
    return Delivery.objects.using(store.alias()).filter(pk__in=keys, claimed_by=claim.token)


def _finish(claim: Claim, row: Delivery, **values: Any) -> None:
    _held(claim, [row.pk]).update(claimed_by="", claimed_until=None, **values)


def token() -> str:
    """What a claim of this process is known by; another one each time."""
    process = processes.this_process()
    parts = (process.machine, str(process.pid), str(process.started or 0), uuid.uuid4().hex[:12])
    return " ".join(parts)[:200]


def _process(token: str) -> Process:
    machine, pid, started, _nonce = [*token.split(" "), "", "", "", ""][:4]
    return Process("", machine, _number(pid), _number(started) or None)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
