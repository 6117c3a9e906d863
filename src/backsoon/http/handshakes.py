"""WebSockets while the site is not open.

No middleware of Django ever sees one, so the guard alone answers for them: who is not admitted at
the handshake is refused, whatever happens. The rules are those of every request, the handshake is
one by GET, and only what the settings name is exempt: the login page, files and the maintenance
page are Django's to serve, and an application that takes WebSockets need not look at the path.
"""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpRequest, HttpResponse

from backsoon import conf
from backsoon.core.decision import NEED_USER, Admit, decide
from backsoon.core.vocabulary import Facts, UserKind
from backsoon.gate import View, gate

from . import answers, facts, lookups, passes, sessions

logger = logging.getLogger("backsoon")

TRY_AGAIN_LATER = 1013
"""The close code of a server that cannot serve now (registry of RFC 6455, 11.7)."""

_has_thread: ContextVar[bool] = ContextVar("backsoon_websocket_queries", default=False)

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]


def needs_look_up(scope: dict[str, Any]) -> bool:
    """Whether somebody may have to be looked up to judge this handshake. True when in doubt."""
    try:
        return _needs_look_up(_request(scope))
    except Exception:  # noqa: BLE001  (whoever judges will meet it again, and say so)
        return True


async def admission(scope: dict[str, Any], view: View) -> Admit | None:
    """Why a handshake is let by while *view*, which is not open, is true.

    ``None`` when it is not; a fault lets nobody by.
    """
    try:
        decision = await _decision(_request(scope), view)
    except Exception:
        logger.exception("Backsoon: a WebSocket could not be judged, so it was refused.")
        return None
    return decision if isinstance(decision, Admit) else None


async def refuse(scope: dict[str, Any], send: Send) -> None:
    """Refuse the handshake: with 503 where the server can tell it, else by closing."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        # Before the handshake is accepted, servers make a 403 of this.
        await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
        return
    response = _refusal(scope)
    headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
    status = int(HTTPStatus.SERVICE_UNAVAILABLE)
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": response.content})


def _refusal(scope: dict[str, Any]) -> HttpResponse:
    try:
        return answers.problem(_request(scope), gate.view())
    except Exception:
        logger.exception("Backsoon: an answer could not be made; an empty one was sent.")
        return HttpResponse(headers={"Retry-After": "120", "Cache-Control": "no-store"})


def _request(scope: dict[str, Any]) -> HttpRequest:
    return ASGIRequest({**scope, "method": "GET"}, io.BytesIO())


@asynccontextmanager
async def queries() -> AsyncIterator[None]:
    """A thread of its own for queries, as Django's handler has it for each request.

    It leaves no connection behind. Inside of another one, that one is used.
    """
    if _has_thread.get():
        yield
        return
    async with ThreadSensitiveContext():
        token = _has_thread.set(True)
        try:
            yield
        finally:
            _has_thread.reset(token)
            await sync_to_async(connections.close_all)()


def _needs_look_up(request: HttpRequest) -> bool:
    return conf.current().get_user is not None or passes.holds_pass(request)


async def _decision(request: HttpRequest, view: View) -> object:
    if not _needs_look_up(request):
        return decide(view.state, _facts(request))  # nobody to look up
    async with queries():
        return await _decision_about_user(request, view)


async def _decision_about_user(request: HttpRequest, view: View) -> object:
    kind, _user = await lookups.atoken_user(request)
    decision = decide(view.state, _facts(request, kind))
    if decision is NEED_USER and _find_session(request):
        kind, _user = await lookups.asession_user(request)
        decision = decide(view.state, _facts(request, kind))
    return decision


def _facts(request: HttpRequest, user: UserKind = UserKind.UNKNOWN) -> Facts:
    """As of every request, without the paths that are exempt by themselves."""
    known = facts.collect(request, user=user)
    named = facts.exemption_by_settings(known.method, request.path_info)
    return dataclasses.replace(known, exempt_by=named)


def _find_session(request: HttpRequest) -> bool:
    """Put session and user within reach, as they are in the project; both are lazy."""
    for kind in (SessionMiddleware, AuthenticationMiddleware):
        if f"{kind.__module__}.{kind.__qualname__}" not in django_settings.MIDDLEWARE:
            return False
    sessions.guard_user(request)
    SessionMiddleware(_no_answer).process_request(request)
    AuthenticationMiddleware(_no_answer).process_request(request)
    return True


def _no_answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse()
