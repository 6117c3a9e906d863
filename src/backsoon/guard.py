"""The same gate as the outermost layer of an application, before Django builds a request.

One line in ``wsgi.py`` or ``asgi.py``::

    from backsoon import guard

    application = guard.wsgi(get_wsgi_application())

While the site is closed the guard refuses whoever brings no pass and goes nowhere exempt, with the
bytes and the headers of the middleware's answer, several times as fast. Whoever else comes goes on
to Django, where the middleware judges; so the guard does not replace it.

What it lets by it counts, in the middleware's place, from before Django begins until the server is
done with the body.
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
    from .gate import gate
    from .http import bodies, outside
    from .http.passage import set_aside
    from .inflight import KEY, leave, release

    conf.current()  # a wrong setting shows at the start, not at the first closure

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        unit = bodies.Visit(environ)
        try:
            view = gate.enter(unit)
        except Exception as error:  # noqa: BLE001  (it is counted out, and the middleware will say)
            outside.report(error)
            return application(environ, start_response)
        try:
            if not view.is_open:
                refusal = outside.from_wsgi(environ, view)
                if refusal is not None:
                    leave(unit)
                    status, headers, body = refusal
                    start_response(status, headers)
                    return [body]
                set_aside(unit, view)
            environ[KEY] = unit
            return bodies.counted_out(application(environ, start_response), unit, environ)
        except BaseException:
            release(unit, KEY)
            raise

    return guarded


def asgi(application: ASGIApplication) -> ASGIApplication:
    """*application* (what ``get_asgi_application()`` returned) behind the guard.

    It may serve more than HTTP, behind a router: WebSockets of those who are not admitted are
    refused at the handshake, with 503 or the close code 1013, and ended with the close code 1012
    when the site closes. Of the server's lifespan the guard learns when to sign off. What is none
    of these goes by untouched.

    Raises ``ImproperlyConfigured`` when ``settings.BACKSOON`` cannot be used.
    """
    from . import conf
    from .gate import gate
    from .http import lifespan, outside, sockets
    from .http.passage import set_aside
    from .inflight import KEY, Shared, leave, release
    from .registrar import set_kind

    conf.current()
    set_kind("asgi")  # whatever the middleware is made to be by those below it
    gate.subscribe(sockets.on_change)

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            if not gate.knows:
                await outside.first_reading()
            unit = Shared(scope["method"], scope["path"])
            try:
                view = gate.enter(unit)
            except Exception as error:  # noqa: BLE001  (as under WSGI)
                outside.report(error)
                await application(scope, receive, send)
                return
            try:
                if not view.is_open:
                    refusal = outside.from_asgi(scope, view)
                    if refusal is not None:
                        leave(unit)  # a slow client must not be waited for
                        await outside.send_refusal(refusal, send)
                        return
                    set_aside(unit, view)
                scope[KEY] = unit
                await application(scope, receive, send)
            finally:
                scope.pop(KEY, None)
                release(unit, KEY)
        elif kind == "websocket":
            await sockets.serve(application, scope, receive, send)
        elif kind == "lifespan":
            await lifespan.live(application, scope, receive, send)
        else:
            await application(scope, receive, send)

    return guarded
