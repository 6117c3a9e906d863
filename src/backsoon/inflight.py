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
from collections.abc import Callable, Hashable, Iterator
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
    """A unit that is no request."""

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

_MARK = "_backsoon_unit"
"""Where a request keeps the guard's unit, or ``None`` if it is counted as itself."""


class Shared(Unit):
    """A request that the guard counts: it ends when the guard and the middleware are done with it.

    Either may be the last. A server that gives up a request under ASGI cancels the guard alone, and
    Django's handler leaves the view running behind it.
    """

    __slots__ = ("holders",)

    def __init__(self, method: str, path: str) -> None:
        super().__init__(method, path)
        self.holders: set[Any] = {KEY}  # the guard's own name


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


def take(request: HttpRequest) -> Any:
    """The unit under which to count *request*: the guard's, which is shared, or the request itself.

    Whoever takes it has to release it. It is given away once: a view may hand its request, or the
    environment of it, to the application again, and that must not end what goes on around it.
    """
    known = request.__dict__  # looking things up there costs a fraction of asking for attributes
    if _MARK in known:
        return Unit(request.method or "", request.path)
    carrier = known.get("scope") or request.META
    unit = known[_MARK] = carrier.pop(KEY, None)
    if unit is None:
        return request
    unit.holders.add(request)
    return unit


def unit_of(request: HttpRequest) -> Any:
    """Under what *request* is counted: the guard's unit, or the request itself."""
    return request.__dict__.get(_MARK) or request


def release(unit: Any, holder: Any) -> None:
    """*holder* is done with *unit*, which ends if nobody else holds it."""
    holders: set[Any] | None = getattr(unit, "holders", None)
    if holders is not None:
        holders.discard(holder)
        if holders:
            return
    leave(unit)


def release_when_closed(unit: Any, holder: Any, response: HttpResponseBase) -> Callable[[], object]:
    """Let *holder* be done with *unit* when the body of its streaming *response* is closed.

    What is returned does it earlier.

    Servers close every response, also when the client has gone. A middleware may still put another
    one in its place and drop ours; then it ends when the last reference to it does.
    """
    finalizer = weakref.finalize(response, release, unit, holder)
    finalizer.atexit = False
    # Django runs these first thing in close(), whoever calls it and whatever else fails there.
    response._resource_closers.append(finalizer)  # type: ignore[attr-defined]
    return finalizer


async def release_after_thread(unit: Any, holder: Any) -> None:
    """Release *unit* when its thread has done what it was asked before, client or no client.

    Call it once the coroutine of *unit* was cancelled: what runs in a thread goes on all the same.
    Whoever is cancelled again while waiting, by a server that has lost its patience, goes at once,
    and the unit is counted out later.
    """
    await asyncio.shield(_released_after_thread(unit, holder))


async def _released_after_thread(unit: Any, holder: Any) -> None:
    try:
        await sync_to_async(release)(unit, holder)
    except RuntimeError:  # there is no thread any more: the process ends
        release(unit, holder)


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
