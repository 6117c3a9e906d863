"""A header on each answer that names the worker it comes from, for applications of either kind.

That is how a test knows that it has asked every worker.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from tests.demo_server import HEADER


def naming_wsgi(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """The WSGI application with the header."""

    def named(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, [*headers, (HEADER, str(os.getpid()))], *more)

        return application(environ, start)

    return named


def naming_asgi(application: Any) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """The ASGI application with the header."""

    async def named(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        async def send_named(message: Any) -> None:
            if message["type"] == "http.response.start":
                name = (HEADER.lower().encode(), str(os.getpid()).encode())
                message = {**message, "headers": [*message.get("headers", ()), name]}
            await send(message)

        await application(scope, receive, send_named)

    return named
