"""A WebSocket that says whether the site is open, for as long as it is.

Only an ASGI server can serve it (`make demo-asgi`). It stands for every connection that a page may
hold open: when the site closes, the guard ends those of ordinary visitors.
"""

import asyncio
import contextlib
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from backsoon.gate import gate

LOOK_SECONDS = 1.0
"""How often each connection looks whether there is news. A look costs no query."""


class LiveConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # has no types
    """Says what is true: at once, whenever that changes, and whenever it is asked."""

    looking: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Begin to tell."""
        await self.accept()
        self.looking = asyncio.create_task(self._tell_news())

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Whatever is asked, say what is true now."""
        await self._tell()

    async def disconnect(self, code: int) -> None:
        """Tell nothing any more."""
        if self.looking is not None:
            self.looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.looking

    async def _tell_news(self) -> None:
        told = None
        while True:
            mode = gate.view().state.mode
            if mode is not told:
                told = mode
                await self._tell()
            await asyncio.sleep(LOOK_SECONDS)

    async def _tell(self) -> None:
        await self.send_json({"mode": gate.view().state.mode.value})
