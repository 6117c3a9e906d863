"""Ending the streams of ordinary visitors while the site is not open.

A stream may last for hours, and a closure waits for it. An operator who does not want to can name a
moment (``cut_streams_at`` of the switch) from which on they are ended: events
(``text/event-stream``) as if there were no more of them, everything else by an exception, so that
whoever receives it can see that it is not whole.

An asynchronous stream ends at that moment, a synchronous one with its next chunk: nothing can
interrupt a thread that waits. A file that the server sends by itself is left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backsoon.clock import since_boot
from backsoon.core.vocabulary import Mode
from backsoon.gate import View, gate
from backsoon.inflight import READERS, UNITS

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase

EVENTS = "text/event-stream"


class StreamCutError(Exception):
    """The site has closed, and the operator did not want to wait for the end of this stream."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """From *at* on, by :mod:`backsoon.clock`, streams are ended."""

    at: float
    readers: bool
    """Also those that were let by because they only read."""

    def applies_to(self, unit: Any) -> bool:
        return unit in UNITS or (self.readers and unit in READERS)

    def ends(self, unit: Any) -> bool:
        return since_boot() >= self.at and self.applies_to(unit)


_cut: _Cut | None = None
"""What is known of such a moment; None while the site is open, and that is all a chunk costs."""

_waiting: weakref.WeakSet[_Waiting] = weakref.WeakSet()
_lock = threading.Lock()


def watch(unit: Any, response: HttpResponseBase, end: Callable[[], object]) -> None:
    """Let the body of the streaming *response* end when that moment comes, if *unit* counts then.

    Call it once for each response, with the unit under which its request is counted, and with what
    is to be done at its *end*. Under ASGI Django closes no response whose body breaks off, and from
    6.1 on none whose request is cancelled.
    """
    iterator = getattr(response, "_iterator", None)
    if iterator is None:
        return  # made by somebody who does without Django's StreamingHttpResponse
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    is_clean = kind.strip().lower() == EVENTS
    # Past the setter of streaming_content: for that, a file would be no file any more.
    ended = _ended_async if getattr(response, "is_async", False) else _ended
    response._iterator = ended(iterator, unit, is_clean, end)  # type: ignore[attr-defined]


def on_change(_view: View) -> None:
    """Learn the moment from what is known; called by the gate, in any thread."""
    global _cut
    view = gate.view()  # of two threads that bring news the earlier one may come later
    switch = view.snapshot.policy.switch
    moment = switch.cut_streams_at
    if view.is_open or switch.mode is Mode.OPEN or moment is None:
        _cut = None
    else:
        at = since_boot() + (moment - gate.now()).total_seconds()
        _cut = _Cut(at, readers=view.state.mode is Mode.CLOSED)
    with _lock:
        waiting = list(_waiting)
    for one in waiting:
        with contextlib.suppress(RuntimeError):  # its loop has ended
            one.loop.call_soon_threadsafe(one.set_alarm)


def _ended(
    iterator: Iterator[Any], unit: Any, is_clean: bool, end: Callable[[], object]
) -> Iterator[Any]:
    try:
        for chunk in iterator:
            if _cut is not None and _cut.ends(unit):
                if is_clean:
                    return
                raise StreamCutError("the site has closed")
            yield chunk
    except GeneratorExit:
        raise  # somebody closes us, and the response as well
    except BaseException:
        try:
            _close(iterator)
        finally:
            end()
        raise


def _close(iterator: Any) -> None:
    close = getattr(iterator, "close", None)
    if close is not None:
        close()


class _Waiting:
    """An asynchronous stream, and the wait for its next chunk, which may be cut short."""

    def __init__(self, unit: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self._unit = unit
        self._alarm: asyncio.Timeout | None = None

    def when(self) -> float | None:
        """When the wait ends, by the clock of the loop."""
        cut = _cut
        if cut is None or not cut.applies_to(self._unit):
            return None
        return self.loop.time() + cut.at - since_boot()

    def set_alarm(self) -> None:
        """Something has changed. Call it in the thread of the loop."""
        alarm = self._alarm
        if alarm is not None and not alarm.expired():
            alarm.reschedule(self.when())

    async def next(self, iterator: AsyncIterator[Any]) -> Any:
        """The next chunk. Raises :class:`StreamCutError` when there is to be none."""
        self._alarm = alarm = asyncio.timeout_at(self.when())
        try:
            async with alarm:
                return await anext(iterator)
        except TimeoutError:
            if alarm.expired():
                raise StreamCutError("the site has closed") from None
            raise
        finally:
            self._alarm = None


async def _ended_async(
    iterator: AsyncIterator[Any], unit: Any, is_clean: bool, end: Callable[[], object]
) -> AsyncIterator[Any]:
    breaks_off = False
    waiting = _Waiting(unit)
    with _lock:
        _waiting.add(waiting)
    chunks = aiter(iterator)
    try:
        while True:
            try:
                chunk = await waiting.next(chunks)
                if _cut is not None and _cut.ends(unit):
                    raise StreamCutError("the site has closed")
            except StopAsyncIteration:
                return
            except StreamCutError:
                if is_clean:
                    return
                raise
            yield chunk
    except BaseException:
        breaks_off = True
        raise
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
        if breaks_off:
            end()


def _renew_lock() -> None:
    """In a process that was just born by fork: whoever held the lock stayed in the parent."""
    global _lock
    _lock = threading.Lock()


gate.subscribe(on_change)
if hasattr(os, "register_at_fork"):  # not on Windows, where nobody is born by fork
    os.register_at_fork(after_in_child=_renew_lock)
