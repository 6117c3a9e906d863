"""Fetching an address of the site as a visitor would, while the site is closed.

Nothing is let past the gate for that. The request walks through a stack of its own, made of the
project's middleware and views, in which our middleware stands open; no server serves that stack,
so there is no token, header or address that anybody outside could use. It stands open for requests
that were made here, and for no other: a layer of the project's that is one object however often it
is made leads the visitors of the site through whichever stack was made last.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import got_request_exception, request_started
from django.urls import set_script_prefix

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

AGENT = "Backsoon (check before opening)"

_here = threading.local()

_OURS = "_backsoon_rehearsal"
"""Attribute of the requests that are made here; nothing that is sent makes one."""


def is_set_up_here() -> bool:
    """Whether the calling thread is making the stack of a rehearsal: asked by our middleware."""
    return getattr(_here, "is_setting_up", False)


def is_visit(unit: object) -> bool:
    """Whether *unit* is a request that was made here."""
    return getattr(unit, _OURS, False)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the visitor saw."""

    status: int
    is_maintenance: bool = False
    """Whether the answer says that the site is closed."""
    raised: str = ""
    """The class of the exception that the view raised."""


class Stack(BaseHandler):
    """The project's middleware and views, for visitors that we send ourselves.

    Synchronous as under WSGI, or asynchronous as under ASGI.
    """

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async
        with _setting_up():
            self.load_middleware(is_async=is_async)

    def visit(self, address: str) -> Seen:
        """Fetch *address*: a path below the site, or with scheme and host.

        Call it in a thread of its own, which keeps the language and the prefix of the visitor.
        """
        request = self._request(address)
        setattr(request, _OURS, True)
        with _exception_of(request) as raised:
            response = self._answer(request)
        # Its body stays unread if it is streamed: it may never end.
        with closing(response):
            return Seen(
                response.status_code,
                is_maintenance=response.has_header("X-Maintenance"),
                raised=raised[0] if raised else "",
            )

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        if self.is_async:
            response: HttpResponseBase = async_to_sync(self.get_response_async)(request)
            return response
        return self.get_response(request)

    def _request(self, address: str) -> HttpRequest:
        parts = urlsplit(address)
        scheme = parts.scheme or ("https" if settings.SECURE_SSL_REDIRECT else "http")
        host = parts.netloc or likely_host()
        place = urlsplit(f"//{host}")
        server = place.hostname or host, str(place.port or (443 if scheme == "https" else 80))
        path, script = unquote_to_bytes(parts.path or "/"), settings.FORCE_SCRIPT_NAME or ""
        headers = {
            "Host": host,
            "Accept": "text/html,*/*;q=0.8",
            "User-Agent": AGENT,
            **_https_header(scheme),
        }
        set_script_prefix(f"{script.rstrip('/')}/")
        if self.is_async:
            scope = {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": "GET",
                "scheme": scheme,
                "path": script.rstrip("/") + path.decode(errors="replace"),
                "root_path": script.rstrip("/"),
                "query_string": parts.query.encode(),
                "headers": [
                    (key.lower().encode(), value.encode("latin-1"))
                    for key, value in headers.items()
                ],
                "client": ["127.0.0.1", 0],
                "server": list(server),
            }
            request_started.send(sender=type(self), scope=scope)
            return ASGIRequest(scope, io.BytesIO())
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": script.rstrip("/"),
            "PATH_INFO": path.decode("latin-1"),
            "QUERY_STRING": parts.query,
            "SERVER_NAME": server[0],
            "SERVER_PORT": server[1],
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": scheme,
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            **{f"HTTP_{key.upper().replace('-', '_')}": text for key, text in headers.items()},
        }
        request_started.send(sender=type(self), environ=environ)
        return WSGIRequest(environ)


def likely_host() -> str:
    """A host that the site serves, as far as ``ALLOWED_HOSTS`` tells."""
    for host in settings.ALLOWED_HOSTS:
        if host != "*":
            return str(host).removeprefix(".")
    return "localhost"


def _https_header(scheme: str) -> dict[str, str]:
    """What a proxy in front of Django would say of an encrypted request."""
    given = settings.SECURE_PROXY_SSL_HEADER
    if scheme != "https" or not given:
        return {}
    return {given[0].removeprefix("HTTP_").replace("_", "-"): given[1]}


@contextmanager
def _setting_up() -> Iterator[None]:
    _here.is_setting_up = True
    try:
        yield
    finally:
        _here.is_setting_up = False


@contextmanager
def _exception_of(request: HttpRequest) -> Iterator[list[str]]:
    """The class of what is raised while *request* is answered; Django tells it by a signal."""
    found: list[str] = []

    def note(**kwargs: Any) -> None:
        error = sys.exc_info()[1]
        if kwargs.get("request") is request and error is not None:
            found.append(type(error).__name__)

    got_request_exception.connect(note, weak=False)
    try:
        yield found
    finally:
        got_request_exception.disconnect(note)
