"""Visits to the site as a browser makes them, without a server: WSGI environments, ASGI scopes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest

if TYPE_CHECKING:
    from django.http import HttpRequest

HEADERS = {
    "Host": "www.example.com",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.8,fr;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}

Environ = dict[str, Any]
Scope = dict[str, Any]
WSGI = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
ASGI = Callable[[Scope, Callable[..., Any], Callable[..., Any]], Awaitable[None]]


def environ(path: str, cookie: str = "") -> Environ:
    """What a WSGI server hands over for a GET of *path*."""
    headers = {**HEADERS, "Cookie": cookie} if cookie else HEADERS
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()},
    }


def scope(path: str, cookie: str = "") -> Scope:
    """What an ASGI server hands over for a GET of *path*."""
    headers = {**HEADERS, "Cookie": cookie} if cookie else HEADERS
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in headers.items()
        ],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
        "extensions": {},
    }


def wsgi_request(path: str, cookie: str = "") -> HttpRequest:
    """A request as Django's WSGI handler builds it."""
    return WSGIRequest({**environ(path, cookie), "wsgi.input": io.BytesIO()})


def asgi_request(path: str, cookie: str = "") -> HttpRequest:
    """A request as Django's ASGI handler builds it."""
    return ASGIRequest(scope(path, cookie), io.BytesIO())


def visit(application: WSGI, base: Environ) -> int:
    """One request from the environment to the closed body; its status."""
    told = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        told.append(status)

    body = application({**base, "wsgi.input": io.BytesIO()}, start_response)
    b"".join(body)
    close = getattr(body, "close", None)
    if close is not None:
        close()
    return int(told[0][:3])


async def avisit(application: ASGI, base: Scope) -> int:
    """One request from the scope to the last message; its status."""
    told = []
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:  # the client is still there and has nothing more to say
            await asyncio.get_running_loop().create_future()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if "status" in message:
            told.append(message["status"])

    await application({**base}, receive, send)
    return int(told[0])
