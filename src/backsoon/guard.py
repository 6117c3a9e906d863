"""The same gate as the outermost layer of an application, before Django builds a request.

One line in ``wsgi.py`` or ``asgi.py``::

    from backsoon import guard

    application = guard.wsgi(get_wsgi_application())

While the site is closed the guard refuses whoever brings no pass and goes nowhere exempt, with the
bytes and the headers of the middleware's answer, several times as fast. Whoever else comes goes on
to Django, where the middleware judges; so the guard does not replace it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
ASGIApplication = Callable[..., Awaitable[None]]

# What belongs to Django is imported where it is used: wsgi.py imports this before Django is set up.


def wsgi(application: WSGIApplication) -> WSGIApplication:
    """*application* (what ``get_wsgi_application()`` returned) behind the guard.

    Raises ``ImproperlyConfigured`` when ``settings.BACKSOON`` cannot be used.
    """
    from . import conf
    from .http import outside

    conf.current()  # a wrong setting shows at the start, not at the first closure

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        refusal = outside.from_wsgi(environ)
        if refusal is None:
            return application(environ, start_response)
        status, headers, body = refusal
        start_response(status, headers)
        return [body]

    return guarded


def asgi(application: ASGIApplication) -> ASGIApplication:
    """*application* (what ``get_asgi_application()`` returned) behind the guard.

    It may serve more than HTTP, behind a router: WebSockets of those who are not admitted are
    refused at the handshake, with 503 or the close code 1013; what is neither HTTP nor WebSocket
    goes by untouched.

    Raises ``ImproperlyConfigured`` when ``settings.BACKSOON`` cannot be used.
    """
    from . import conf
    from .gate import gate
    from .http import handshakes, outside

    conf.current()

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            if not gate.knows:
                await outside.first_reading()
            refusal = outside.from_asgi(scope)
            if refusal is not None:
                status, headers, body = refusal
                start = {"type": "http.response.start", "status": status, "headers": headers}
                await send(start)
                await send({"type": "http.response.body", "body": body})
                return
        elif kind == "websocket":
            if not gate.knows:
                await outside.first_reading()
            if not await handshakes.is_admitted(scope):
                await receive()  # that there is somebody
                await handshakes.refuse(scope, send)
                return
        await application(scope, receive, send)

    return guarded
