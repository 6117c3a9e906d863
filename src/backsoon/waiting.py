"""What a change of the switch can be followed by: the wait, and the word of an operator about a
worker that cannot be heard.
"""

from __future__ import annotations

from collections import deque

from django.db import connections, transaction
from django.utils.translation import gettext as _

from . import environment, fencing, quiesce, store, workers
from .changes import Origin, Outcome, record
from .exceptions import BacksoonError, NotQuietError
from .models import Change, Worker
from .quiesce import Progress, Verdict


class InsideTransactionError(BacksoonError):
    """A wait inside a transaction: nobody else can see what it waits for."""


def require_no_transaction() -> None:
    """Raise :class:`InsideTransactionError` where the others would not see the change."""
    if connections[store.alias()].in_atomic_block and not environment.in_test_environment():
        raise InsideTransactionError(
            "Waiting inside a transaction would be in vain: no other process sees the change "
            "before the transaction has ended. Wait outside of it (ATOMIC_REQUESTS counts, too)."
        )


def quiet(outcome: Outcome, seconds: float | None, *, opened: bool = False) -> Outcome:
    """*outcome*, once every worker has acknowledged it; at once without *seconds*.

    Raises :class:`NotQuietError`, and :class:`StoreUnavailableError` when the rows cannot be read.
    """
    if seconds is None:
        return outcome
    state = outcome.state
    mode = None if state.is_open else state.mode  # somebody may make it a milder closure
    progress = deque(quiesce.watch(seconds, opened=opened, mode=mode), maxlen=1).pop()
    if not progress.is_quiet:
        raise NotQuietError(_sentence(progress), progress)
    return outcome


def assume_dead(worker: str, *, origin: Origin) -> Worker:
    """Wait no more for the worker whose id begins with *worker*, on the word of an operator.

    If it lives all the same, it closes and begins anew as soon as it reads its row; until then it
    goes by what it knew. Recorded in the history.

    Raises ``LookupError`` when no living worker, or more than one, has such an id.
    """
    return _end(_found(worker), Worker.Ending.ASSUMED, origin)


def fence(worker: str, *, origin: Origin) -> int:
    """End the worker's database sessions, wait for it no more, and say how many they were.

    Raises ``LookupError`` as :func:`assume_dead`, and :class:`backsoon.fencing.NotFencedError`.
    """
    row = _found(worker)
    ended = fencing.end_sessions(row.session_name)
    _end(row, Worker.Ending.FENCED, origin)
    return ended


def _found(worker: str) -> Worker:
    with store.translated_errors():
        rows = Worker.objects.using(store.alias()).filter(ended_at=None)
        found = list(rows.filter(pk__startswith=worker)[:2]) if worker else []
    if not found:
        raise LookupError(f"no worker that is waited for has the id {worker!r}")
    if len(found) > 1:
        raise LookupError(f"more than one worker has an id that begins with {worker!r}")
    return found[0]


def _end(row: Worker, how: Worker.Ending, origin: Origin) -> Worker:
    with store.translated_errors(), transaction.atomic(using=store.alias()):
        if workers.end(row.pk, how, origin.label):
            told = {"worker": row.pk, "where": f"{row.host}:{row.pid}", "how": str(how)}
            epoch = store.read_mark().epoch
            record(Change.Action.BURIED, origin, "", store.utc_now(), epoch, {}, told)
    return row


def _sentence(progress: Progress) -> str:
    if progress.verdict is Verdict.OVERTAKEN:
        return _("The switch was moved meanwhile.")
    if progress.verdict is Verdict.BUSY:
        return _("Something that began before the change still runs.")
    return _("Not every process could be heard, so nothing is proven.")
