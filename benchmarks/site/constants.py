"""Applications that are nothing but a constant 503: what a refusal costs without Django."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from .gates import BODY

_GIVEN = json.loads(os.environ.get("BENCHMARK_CONSTANT", "null"))
"""Headers and the name of a file with the body, so that the same bytes are sent as by the guard."""

_HEADERS: list[tuple[str, str]] = (
    [(name, value) for name, value in _GIVEN["headers"]]
    if _GIVEN
    else [("Content-Type", "text/html"), ("Content-Length", str(len(BODY)))]
)
_BODY: bytes = bytes.fromhex(_GIVEN["body"]) if _GIVEN else BODY
_RAW = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in _HEADERS]


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The constant under WSGI."""
    start_response("503 Service Unavailable", list(_HEADERS))
    return [_BODY]


async def asgi(
    scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
) -> None:
    """The constant under ASGI."""
    await send({"type": "http.response.start", "status": 503, "headers": _RAW})
    await send({"type": "http.response.body", "body": _BODY})
