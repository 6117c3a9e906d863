"""Refusing a request before Django makes one of it.

Asked by the guard, outside of everything. It refuses whoever the middleware would surely refuse at
once, with what the middleware would send: the same answers, made by the same code, with what
Django's ``SecurityMiddleware`` puts on them on their way out. Whoever else comes, and whatever goes
wrong here, is left to Django and the middleware.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.core.handlers.asgi import get_script_prefix as asgi_script_name
from django.core.handlers.wsgi import get_path_info, get_script_name
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse
from django.middleware.security import SecurityMiddleware

from backsoon.gate import View, gate

from . import answers, asking, documents, strangers
from .prepared import Visit
from .routes import below, site_routes

logger = logging.getLogger("backsoon")

SECURITY = "django.middleware.security.SecurityMiddleware"
OURS = "backsoon.middleware.MaintenanceModeMiddleware"


Sending = tuple[str, list[tuple[str, str]], bytes]
"""A refusal as a WSGI server takes it: status line, headers, body."""

AsgiSending = tuple[int, list[tuple[bytes, bytes]], bytes]
"""A refusal as an ASGI server takes it: status code, headers, body."""

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Ready(NamedTuple):
    """A prepared answer with everything that is put on it further out."""

    code: int
    status: str
    headers: list[tuple[str, str]]
    raw_headers: list[tuple[bytes, bytes]]
    places: dict[str, int]
    """Where in these lists each header stands."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Site:
    """What holds for every request below one script prefix."""

    prefix: str
    security: SecurityMiddleware | None
    """Django's own, where it stands above ours."""
    minds_tls: bool
    """Whether it treats encrypted requests otherwise than others."""
    header_names: dict[bytes, str]
    """The headers that are looked at, under ASGI, and how ``HttpRequest.META`` calls them."""


class Look(HttpRequest):
    """As much of a request as says whether it came encrypted."""

    def __init__(self, meta: dict[str, Any], scheme: str | None) -> None:
        self.META = meta
        self._its_scheme = scheme or "http"

    def _get_scheme(self) -> str:
        return self._its_scheme


def from_wsgi(environ: dict[str, Any], view: View) -> Sending | None:
    """The refusal of a WSGI request while *view*, which is not open, is true.

    ``None`` when it is for Django to answer.
    """
    try:
        path_info = get_path_info(environ) or "/"
        script = get_script_name(environ)
        site = _site(script)
        if not strangers.is_refused_at_once(view, path_info, environ.get("HTTP_COOKIE") or ""):
            return None
        visited = (
            environ["REQUEST_METHOD"].upper(),
            path_info,
            f"{script.rstrip('/')}/{path_info.replace('/', '', 1)}",  # as WSGIRequest does
            environ.get("QUERY_STRING") or "",
        )
        refusal = _refusal(view, site, environ, visited, environ.get("wsgi.url_scheme"))
        if refusal is None:
            return None
        ready, changes, body = refusal
        headers = ready.headers.copy()
        for name, value in changes.items():
            headers[ready.places[name]] = (name, value)
        return ready.status, headers, body
    except Exception as error:  # noqa: BLE001  (Django and the middleware will know what to do)
        report(error)
        return None


async def first_reading() -> None:
    """Wait, without holding up the event loop, until this process knows what is true."""
    try:
        await sync_to_async(gate.view, thread_sensitive=False)()
    except Exception as error:  # noqa: BLE001
        report(error)


async def send_refusal(refusal: AsgiSending, send: Send) -> None:
    """Send what :func:`from_asgi` returned."""
    status, headers, body = refusal
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def from_asgi(scope: dict[str, Any], view: View) -> AsgiSending | None:
    """As :func:`from_wsgi`, of an HTTP request under ASGI."""
    try:
        script = asgi_script_name(scope)
        site = _site(script)
        meta = _meta(scope, site.header_names)
        if meta is None:
            return None
        path = scope["path"]
        path_info = path.removeprefix(script) if script else path  # as ASGIRequest does
        if not strangers.is_refused_at_once(view, path_info, meta.get("HTTP_COOKIE", "")):
            return None
        query = scope.get("query_string") or ""
        meta["QUERY_STRING"] = query = query.decode() if isinstance(query, bytes) else query
        visited = (scope["method"].upper(), path_info, path, query)
        refusal = _refusal(view, site, meta, visited, scope.get("scheme"))
        if refusal is None:
            return None
        ready, changes, body = refusal
        headers = ready.raw_headers.copy()
        for name, value in changes.items():
            headers[ready.places[name]] = (name.encode("ascii"), value.encode("latin-1"))
        return ready.code, headers, body
    except Exception as error:  # noqa: BLE001
        report(error)
        return None


def _meta(scope: Mapping[str, Any], names: Mapping[bytes, str]) -> dict[str, Any] | None:
    """The headers that matter; ``None`` when one comes twice: how to join them is Django's rule."""
    meta: dict[str, Any] = {}
    for name, value in scope.get("headers", ()):
        wanted = names.get(name)
        if wanted is not None:
            if wanted in meta:
                return None
            meta[wanted] = value.decode("latin-1")
    return meta


def _refusal(
    view: View, site: Site, meta: dict[str, Any], visited: tuple[str, str, str, str], scheme: Any
) -> tuple[Ready, dict[str, str], bytes] | None:
    """What was prepared, the values of this moment for headers that it has, and the body."""
    if documents.is_due(visited[1], view):
        return None  # the middleware may ask the database
    secure = False
    if site.minds_tls:
        assert site.security is not None
        secure = Look(meta, scheme).is_secure()
        if site.security.redirect and not secure:
            return None  # sent to https first, or exempt from that: SecurityMiddleware says
    asked = asking.asked_by(meta, visited[1])
    if asked is None:
        return None
    none_match = meta.get("HTTP_IF_NONE_MATCH") or ""
    visit = Visit(*visited, site.prefix, asking.remembered(asked), none_match)
    answer = answers.answer_to(visit, view)
    made = answer.prepared.outside
    ready: Ready | None = made.get(secure)
    if ready is None:
        ready = made[secure] = _ready(answer.prepared.copy({}, False), site, secure)
    return ready, answer.changes, b"" if answer.without_body else ready.body


def _ready(response: HttpResponse, site: Site, secure: bool) -> Ready:
    if site.security is not None:
        look = Look({}, "https" if secure else "http")
        site.security.process_response(look, response)
    headers = list(response.items())
    return Ready(
        response.status_code,
        f"{response.status_code} {response.reason_phrase}",
        headers,
        [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers],
        {name: place for place, (name, _value) in enumerate(headers)},
        response.content,
    )


@functools.lru_cache(maxsize=16)
def _site(script: str) -> Site:
    """What holds below the script name *script* (the part of the path in front of Django's)."""
    prefix = script if script.endswith("/") else f"{script}/"
    with below(prefix):
        site_routes()  # looked up once, and that has to be below the prefix
    security = SecurityMiddleware(lambda request: HttpResponse()) if _is_above() else None
    names = {
        "HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING", "HTTP_ACCEPT_LANGUAGE", "HTTP_COOKIE",
        "HTTP_SEC_FETCH_MODE", "HTTP_X_REQUESTED_WITH", "HTTP_IF_NONE_MATCH", "CONTENT_TYPE",
    }  # fmt: skip
    if django_settings.SECURE_PROXY_SSL_HEADER:
        names.add(django_settings.SECURE_PROXY_SSL_HEADER[0])
    return Site(
        prefix,
        security,
        security is not None and bool(security.sts_seconds or security.redirect),
        {name.removeprefix("HTTP_").replace("_", "-").lower().encode(): name for name in names},
    )


def _is_above() -> bool:
    """Whether ``SecurityMiddleware`` stands above our middleware."""
    middleware = list(django_settings.MIDDLEWARE)
    above = middleware[: middleware.index(OURS)] if OURS in middleware else middleware
    return SECURITY in above


_failing = False


def report(error: Exception) -> None:
    """Say once that the guard cannot judge, not for every request."""
    global _failing
    if not _failing:
        _failing = True
        logger.error(
            "Backsoon: the guard met an error and leaves all to the middleware.", exc_info=error
        )


def _forget(**kwargs: Any) -> None:
    global _failing
    _failing = False
    _site.cache_clear()


setting_changed.connect(_forget, dispatch_uid="backsoon.outside")
