"""The lifespan of an ASGI server: at its end the worker signs off.

Servers that end by a signal, as uvicorn does, run nothing after this, so the row of the worker
would stay, and whoever waits would have to find out that its process is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async

from backsoon.gate import gate

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Message], Awaitable[None]]


async def live(
    application: Callable[..., Awaitable[None]], scope: dict[str, Any], receive: Receive, send: Send
) -> None:
    """Let *application* take part in the lifespan, or stand in for it where it cannot.

    Django's own refuses it by an exception, before it has asked for anything; servers take that for
    "not supported". What an application raises later is its own affair and goes on to the server.
    """
    asked = shutting_down = signed_off = False

    async def sign_off() -> None:
        nonlocal signed_off
        if not signed_off:
            signed_off = True
            # It waits for the watcher, which may be at the database.
            await sync_to_async(gate.retire, thread_sensitive=False)()

    async def receive_for_it() -> Any:
        nonlocal asked, shutting_down
        asked = True
        message = await receive()
        shutting_down = shutting_down or message["type"] == "lifespan.shutdown"
        return message

    async def send_for_it(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await sign_off()  # the server ends as soon as it hears this
        await send(message)

    try:
        await application(scope, receive_for_it, send_for_it)
    except Exception:
        if asked:
            raise
    finally:
        if shutting_down:
            await sign_off()
    if asked:
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await sign_off()
    await send({"type": "lifespan.shutdown.complete"})
