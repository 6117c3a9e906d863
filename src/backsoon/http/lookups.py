"""Finding out who somebody is while the site is closed.

These are the only questions of ours that may cost a query then, and the database may be locked or
gone. A fault admits nobody: whoever cannot be looked up gets the page.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async

from backsoon import conf
from backsoon.core.vocabulary import UserKind

from .users import akind_of, kind_of

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger("backsoon")

Found = tuple[UserKind, Any]
"""What the rules have to know of the user, and the user."""

_NOBODY_NAMED: Found = (UserKind.UNKNOWN, None)
"""No token named anybody: the session may still do so."""

_FAILED: Found = (UserKind.ANONYMOUS, None)


def session_user(request: HttpRequest) -> Found:
    """Who the session says it is."""
    try:
        user = request.user
        return kind_of(user), user
    except Exception as error:  # noqa: BLE001  (whatever it is, it lets nobody in)
        return _failed(error)


async def asession_user(request: HttpRequest) -> Found:
    """As :func:`session_user`, for async code."""
    if not hasattr(request, "auser"):  # an authentication middleware of the project's own
        return await sync_to_async(session_user)(request)
    try:
        user = await request.auser()
        return await akind_of(user), user
    except Exception as error:  # noqa: BLE001
        return _failed(error)


def token_user(request: HttpRequest) -> Found:
    """Who ``BACKSOON["GET_USER"]`` says it is; UNKNOWN when it does not say."""
    get_user = conf.current().get_user
    if get_user is None:
        return _NOBODY_NAMED
    try:
        if iscoroutinefunction(get_user):
            return _named(kind_of, async_to_sync(get_user)(request))
        return _named(kind_of, get_user(request))
    except Exception as error:  # noqa: BLE001
        _failed(error)
        return _NOBODY_NAMED


async def atoken_user(request: HttpRequest) -> Found:
    """As :func:`token_user`; the project's function may be a coroutine function."""
    get_user = conf.current().get_user
    if get_user is None:
        return _NOBODY_NAMED
    try:
        if iscoroutinefunction(get_user):
            user = await get_user(request)
        else:
            user = await sync_to_async(get_user)(request)
        return _NOBODY_NAMED if _is_nobody(user) else (await akind_of(user), user)
    except Exception as error:  # noqa: BLE001
        _failed(error)
        return _NOBODY_NAMED


def _is_nobody(user: Any) -> bool:
    return user is None or not getattr(user, "is_authenticated", False)


def _named(judge: Callable[[Any], UserKind], user: Any) -> Found:
    return _NOBODY_NAMED if _is_nobody(user) else (judge(user), user)


def _failed(error: Exception) -> Found:
    logger.warning("Backsoon: could not look up who this is, so they get the page: %s", error)
    return _FAILED
