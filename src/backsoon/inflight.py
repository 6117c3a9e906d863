"""What this process has let by and what has not ended yet.

Count first, then look whether the site is open: whoever closes it and then finds nobody counted
knows that nobody is on the way. In the other order a request could slip in between.

A dict is a whole ledger: setting and removing a key is one step for every Python, with and without
a global lock, and much cheaper than taking a lock. There are three of them. A unit may move from an
earlier one to a later one, never back, and stands in both for a moment; so whoever reads them in
this order misses none.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from asgiref.sync import sync_to_async

from .clock import since_boot

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


class Counted(Hashable, Protocol):
    """A unit: a request, a connection, a task. Equal only to itself."""

    @property
    def method(self) -> str | None:
        """How it came: ``POST``, ``WEBSOCKET``, ``TASK``."""

    @property
    def path(self) -> str:
        """Where to; never with a query string, which may hold what is nobody's business."""


class Unit:
    """A unit that is no request of Django's."""

    __slots__ = ("__weakref__", "method", "path")

    def __init__(self, method: str, path: str) -> None:
        self.method = method
        self.path = path

    def __repr__(self) -> str:
        return f"<{self.method} {self.path}>"


UNITS: dict[Any, float] = {}
"""Ordinary ones, let by while the site was open; with the moment, by :mod:`backsoon.clock`."""

READERS: dict[Any, float] = {}
"""Ordinary ones, let by while the site was read-only."""

APART: dict[Any, float] = {}
"""Nobody waits for them: administrators', exempt ones, and who has not been judged yet on the way
down a closed site.
"""

KEY = "backsoon.unit"
"""Where the guard leaves the unit under which it counts a request: in environ or scope."""


def leave(unit: Any) -> None:
    """The unit has ended. Nothing happens if it was not counted."""
    UNITS.pop(unit, None)
    READERS.pop(unit, None)
    APART.pop(unit, None)


def set_apart(unit: Any) -> None:
    """Nobody waits for *unit* any more: it is an administrator's, or exempt.

    Counts it if it was not counted.
    """
    start = UNITS.get(unit) or READERS.get(unit)
    APART.setdefault(unit, since_boot() if start is None else start)
    UNITS.pop(unit, None)
    READERS.pop(unit, None)


def set_reading(unit: Any) -> None:
    """*unit* was let by because it only reads; a closure of a read-only site waits for it."""
    start = UNITS.get(unit)
    READERS.setdefault(unit, since_boot() if start is None else start)
    UNITS.pop(unit, None)


def take_over(unit: Any, other: Any) -> None:
    """Count *unit* as *other* is counted, which may end before it does."""
    for ledger in (UNITS, READERS, APART):
        start = ledger.get(other)
        if start is not None:
            ledger.setdefault(unit, start)


def guarded(carrier: Mapping[str, Any]) -> Unit | None:
    """The unit under which the guard counts the request of an environ or scope, if it does."""
    unit: Unit | None = carrier.get(KEY)
    return unit


def unit_of(request: HttpRequest) -> Any:
    """Under what *request* is counted: the guard's unit, or the request itself."""
    scope = getattr(request, "scope", None)
    return guarded(request.META if scope is None else scope) or request


def leave_when_closed(unit: Any, response: HttpResponseBase) -> None:
    """Count *unit* out when the body of its streaming *response* is closed.

    Servers close every response, also when the client has gone. A middleware may still put another
    one in its place and drop ours; then it ends when the last reference to it does.
    """
    finalizer = weakref.finalize(response, leave, unit)
    finalizer.atexit = False
    # Django runs these first thing in close(), whoever calls it and whatever else fails there.
    response._resource_closers.append(finalizer)  # type: ignore[attr-defined]


async def leave_after_thread(unit: Any) -> None:
    """Count *unit* out when its thread has done what it was asked before, client or no client.

    Call it once the coroutine of *unit* was cancelled: what runs in a thread goes on all the same.
    Whoever is cancelled again while waiting, by a server that has lost its patience, goes at once,
    and the unit is counted out later.
    """
    await asyncio.shield(_left_after_thread(unit))


async def _left_after_thread(unit: Any) -> None:
    try:
        await sync_to_async(leave)(unit)
    except RuntimeError:  # there is no thread any more: the process ends
        leave(unit)


def ordinary(*, readers: bool) -> Iterator[tuple[Any, float]]:
    """The ordinary units that run now, with their start; those that only read if *readers*."""
    yield from _items(UNITS)
    if readers:
        yield from _items(READERS)


def clear() -> None:
    """Forget all of them: in a child that was forked, they run in the parent alone."""
    for ledger in (UNITS, READERS, APART):
        ledger.clear()


def _items(ledger: dict[Any, float]) -> list[tuple[Any, float]]:
    while True:
        try:
            return list(ledger.items())
        except RuntimeError:  # somebody came or went meanwhile, where there is no global lock
            continue
