"""Open WebSockets: counted like every request, and ended when the site closes.

A connection is judged as its handshake would be now. Whoever may stay is set apart; the others are
told to go with the close code 1012, their application hears that they have gone, and if it has not
ended after a few seconds it is cancelled. Until it has ended, the closure is not acknowledged.

Everything about a connection happens in the thread of its event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from backsoon import inflight
from backsoon.core.decision import Reason
from backsoon.gate import View, gate

from . import handshakes, outside
from .passage import set_aside

logger = logging.getLogger("backsoon")

SERVICE_RESTART = 1012
"""The close code of a server that ends for a while; clients may come again after a random time of
5 to 30 seconds (registry of RFC 6455, 11.7).
"""

REASON = "Closed for maintenance"
"""What goes with it, at most 123 bytes (RFC 6455, 5.5)."""

GRACE_SECONDS = 3.0
"""How long an application may take to end after its client was told to go."""

AT_A_TIME = 50
"""How many connections are seen to before the others of the event loop get their turn."""

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[..., Awaitable[None]]


async def serve(
    application: Application, scope: dict[str, Any], receive: Receive, send: Send
) -> None:
    """Let *application* serve a connection, from the handshake on, as long as it may stay."""
    if not gate.knows:
        await outside.first_reading()
    connection = Connection(scope, receive, send)
    with _hall() as hall:
        hall.connections.add(connection)  # before the look, so that it hears of what comes after
        try:
            if await connection.may_stay(arriving=True):
                await connection.run(application)
                return
            inflight.leave(connection)
            await receive()  # that there is somebody
            await handshakes.refuse(scope, send)
        finally:
            hall.connections.discard(connection)
            inflight.leave(connection)


def on_change(view: View) -> None:
    """Judge the connections anew; called by the gate, in any thread."""
    with _lock:
        halls = list(_halls.values())
    for hall in halls:
        with contextlib.suppress(RuntimeError):  # its loop has ended
            hall.loop.call_soon_threadsafe(hall.review)


class Connection:
    """One WebSocket. A unit."""

    method = "WEBSOCKET"

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.path = str(scope.get("path", ""))
        self.scope = scope
        self.is_let_by = False
        self._server_receive = receive
        self._server_send = send
        self._task = asyncio.current_task()
        self._receiving: asyncio.Task[Any] | None = None
        self._is_accepted = self._is_closed = False
        self._is_told = self._is_cancelled = False
        self._farewell: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    def __repr__(self) -> str:
        return f"<{self.method} {self.path}>"

    def is_leaving(self) -> bool:
        """Whether it was told to go."""
        return self._farewell is not None

    async def may_stay(self, *, arriving: bool = False) -> bool:
        """Count it, look, and judge it by what is true; once more if that changes meanwhile.

        Nothing else happens between the last look and the return. Without a look-up, nothing at
        all does. A fault lets nobody stay.
        """
        try:
            return await self._may_stay(arriving)
        except Exception:
            logger.exception("Backsoon: a WebSocket could not be judged, so it may not stay.")
            return False

    async def _may_stay(self, arriving: bool) -> bool:
        while True:
            view = gate.enter(self)
            if view.is_open:
                break
            if arriving:
                set_aside(self, view)
            admission = await handshakes.admission(self.scope, view)
            if admission is None or self._ended.is_set():
                return False  # whoever has gone meanwhile must not be counted again
            now = gate.view()
            if now.state.mode is view.state.mode and _epoch(now) == _epoch(view):
                if admission.reason is Reason.READ_ONLY_SAFE:
                    inflight.set_reading(self)
                else:
                    inflight.set_apart(self)
                break
        self.is_let_by = True
        return True

    async def review(self) -> None:
        """Judge it by what is true now, and tell it to go if it may not stay."""
        if not self.is_let_by or self.is_leaving():
            return  # it is being judged, or knows already
        if not await self.may_stay():
            self.end()

    def end_if_not_open(self) -> None:
        """Tell it to go unless everybody may stay: nobody can say whose it is."""
        if self.is_let_by and not gate.view().is_open:
            self.end()

    def end(self) -> None:
        """Tell client and application to go; both get a few seconds."""
        if self.is_leaving() or self._ended.is_set():
            return
        self._farewell = asyncio.get_running_loop().create_task(self._say_farewell())
        if self._receiving is not None:
            self._receiving.cancel()

    async def run(self, application: Application) -> None:
        """Until *application* has ended. Counts the connection out."""
        try:
            await application(self.scope, self._receive, self._send)
        except asyncio.CancelledError:
            # What it still does in a thread counts by itself, also if we are cancelled once more.
            rest = inflight.Unit(self.method, self.path)
            inflight.take_over(rest, self)
            inflight.leave(self)
            await inflight.release_after_thread(rest, self)
            if not self._is_cancelled or self._cancelled_by_others():
                raise
        finally:
            self._ended.set()
            inflight.leave(self)
        if self._farewell is not None:
            await self._farewell

    def _cancelled_by_others(self) -> bool:
        return self._task is None or self._task.uncancel() > 0

    # -- What the application is given ----------------------------------------------------------

    async def _receive(self) -> Any:
        if self.is_leaving():
            return await self._disconnected()
        self._receiving = asyncio.ensure_future(self._server_receive())
        try:
            return await self._receiving
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self.is_leaving() or (task is not None and task.cancelling()):
                raise
            return await self._disconnected()
        finally:
            self._receiving = None

    async def _disconnected(self) -> Message:
        if self._is_told:
            # Nothing follows. Whoever asks all the same must not be answered at once for ever.
            await asyncio.get_running_loop().create_future()
        self._is_told = True
        return {"type": "websocket.disconnect", "code": SERVICE_RESTART, "reason": REASON}

    async def _send(self, message: Message) -> None:
        if self.is_leaving():
            return
        kind = message["type"]
        if kind == "websocket.accept":
            self._is_accepted = True
        elif kind != "websocket.send":  # closed, or refused with an answer
            self._is_closed = True
        await self._server_send(message)

    # -- The end --------------------------------------------------------------------------------

    async def _say_farewell(self) -> None:
        ends_at = asyncio.get_running_loop().time() + GRACE_SECONDS
        try:
            async with asyncio.timeout_at(ends_at):
                await self._tell_client()
        except Exception as error:  # noqa: BLE001  (somebody who has gone need not be told)
            logger.debug("Backsoon: a WebSocket could not be told that the site closes: %r", error)
        try:
            async with asyncio.timeout_at(ends_at):
                await self._ended.wait()
        except TimeoutError:
            if self._ended.is_set():
                return  # in the same turn of the loop; the task waits for this farewell only
            self._is_cancelled = True
            if self._task is not None:
                self._task.cancel()

    async def _tell_client(self) -> None:
        if self._is_closed:
            return
        if self._is_accepted:
            message = {"type": "websocket.close", "code": SERVICE_RESTART, "reason": REASON}
            await self._server_send(message)
        else:
            await handshakes.refuse(self.scope, self._server_send)


class Hall:
    """The connections of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.connections: set[Connection] = set()
        self.visitors = 0
        """How many tasks of the loop have to do with it."""
        self._reviewing: asyncio.Task[None] | None = None
        self._is_stale = False

    def review(self) -> None:
        """Judge all of them by what is true now."""
        self._is_stale = True
        if self._reviewing is None or self._reviewing.done():
            self._reviewing = self.loop.create_task(self._review())

    async def _review(self) -> None:
        while self._is_stale:
            self._is_stale = False
            doubtful = []
            for number, connection in enumerate(list(self.connections), 1):
                if handshakes.needs_look_up(connection.scope):
                    doubtful.append(connection)
                else:
                    await connection.review()
                if not number % AT_A_TIME:
                    await asyncio.sleep(0)
            if doubtful:
                await _review_with_queries(doubtful)


async def _review_with_queries(connections: list[Connection]) -> None:
    """One after the other, and over one connection: requests want to be looked up, too."""
    try:
        async with handshakes.queries():
            for connection in connections:
                await connection.review()
    except Exception:
        logger.exception("Backsoon: WebSockets could not be judged, so they were closed.")
        for connection in connections:
            connection.end_if_not_open()


def _epoch(view: View) -> int:
    return view.snapshot.mark.epoch


_halls: dict[asyncio.AbstractEventLoop, Hall] = {}
_lock = threading.Lock()


@contextlib.contextmanager
def _hall() -> Iterator[Hall]:
    """The hall of the running loop, which is there as long as somebody is in it."""
    loop = asyncio.get_running_loop()
    with _lock:
        hall = _halls.get(loop)
        if hall is None:
            hall = _halls[loop] = Hall(loop)
        hall.visitors += 1
    try:
        yield hall
    finally:
        with _lock:
            hall.visitors -= 1
            if not hall.visitors:
                del _halls[loop]


def _begin_anew() -> None:
    """In a process that was just born by fork: loops, and who held the lock, stayed behind."""
    global _lock
    _lock = threading.Lock()
    _halls.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where nobody is born by fork
    os.register_at_fork(after_in_child=_begin_anew)
