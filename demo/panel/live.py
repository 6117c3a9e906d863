"""The live banner: whoever has an order page open hears when the site closes and is back.

Over a WebSocket, so only where the demo runs on an ASGI server (`make demo-asgi`). The guard ends
the connection when the site closes; the page (`live.js`) does the rest.
"""

import asyncio
import contextlib
import datetime as dt
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from backsoon.core.vocabulary import Mode
from backsoon.gate import View, gate

LOOK_SECONDS = 1.0
"""How often each connection looks whether there is news. A look costs no query."""

HORIZON = dt.timedelta(hours=24)
"""A planned closure is told of that long before. Next week's would only be in the way."""


def news(view: View, now: dt.datetime) -> dict[str, str | None]:
    """What the page has to know."""
    closes_at = view.state.next_change if view.is_open else None
    if closes_at is not None and (closes_at - now > HORIZON or not _closes_by_itself(view)):
        closes_at = None
    return {
        "mode": view.state.mode.value,
        "closes_at": closes_at.isoformat() if closes_at else None,
    }


def _closes_by_itself(view: View) -> bool:
    """Whether the next change of an open site is that a planned closure begins."""
    moment = view.state.next_change
    return moment is not None and any(
        window.mode is Mode.CLOSED and window.covers(moment) for window in view.snapshot.windows
    )


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
            now = news(gate.view(), gate.now())
            if now != told:
                told = now
                await self._tell()
            await asyncio.sleep(LOOK_SECONDS)

    async def _tell(self) -> None:
        # With the time of day here: the clock of a visitor's machine may be wrong.
        now = gate.now()
        await self.send_json({**news(gate.view(), now), "now": now.isoformat()})
