"""The demo behind the guard, with a header on whatever Django itself has answered.

That is how a test knows who refused a request. Another header names the worker, as everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from backsoon import guard
from tests.naming import naming_asgi, naming_wsgi

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.core.settings")

HEADER = "X-Django"

_wsgi = get_wsgi_application()
_asgi: Any = get_asgi_application()


def _marked_wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        return start_response(status, [*headers, (HEADER, "1")], *more)

    return _wsgi(environ, start)


async def _marked_asgi(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    async def send_marked(message: Any) -> None:
        if message["type"] == "http.response.start":
            marked = (HEADER.lower().encode(), b"1")
            message = {**message, "headers": [*message["headers"], marked]}
        await send(message)

    await _asgi(scope, receive, send_marked)


wsgi = naming_wsgi(guard.wsgi(_marked_wsgi))
asgi = naming_asgi(guard.asgi(_marked_asgi))
