"""The demo's applications as servers load them, naming in a header the worker that answered.

That is how a test knows that it has asked every worker.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from demo.core.asgi import application as asgi_site
from demo.core.wsgi import application as wsgi_site
from tests.demo_server import HEADER


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The demo under WSGI."""

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        return start_response(status, [*headers, (HEADER, str(os.getpid()))], *more)

    return wsgi_site(environ, start)


async def asgi(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    """The demo under ASGI."""

    async def send_named(message: Any) -> None:
        if message["type"] == "http.response.start":
            named = (HEADER.lower().encode(), str(os.getpid()).encode())
            message = {**message, "headers": [*message.get("headers", ()), named]}
        await send(message)

    await asgi_site(scope, receive, send_named)
