"""Finding out who somebody is while the site is closed.

These are the only questions of ours that may cost a query then, and the database may be locked or
gone. A fault admits nobody: whoever cannot be looked up gets the page.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, sync_to_async

from backsoon import conf
from backsoon.core.vocabulary import UserKind

from .users import akind_of, kind_of

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger("backsoon")

Found = tuple[UserKind, Any]
"""What the rules have to know of the user, and the user."""

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
    try:
        user = await request.auser()
        return await akind_of(user), user
    except Exception as error:  # noqa: BLE001
        return _failed(error)


def token_user(request: HttpRequest) -> Found:
    """Who ``BACKSOON["GET_USER"]`` says it is; UNKNOWN when it does not say."""
    get_user = conf.current().get_user
    if get_user is None:
        return UserKind.UNKNOWN, None
    try:
        user = get_user(request)
        return (kind_of(user), user) if user is not None else (UserKind.UNKNOWN, None)
    except Exception as error:  # noqa: BLE001
        return _failed(error)


async def atoken_user(request: HttpRequest) -> Found:
    """As :func:`token_user`; the project's function may be a coroutine function."""
    get_user = conf.current().get_user
    if get_user is None:
        return UserKind.UNKNOWN, None
    try:
        if iscoroutinefunction(get_user):
            user = await get_user(request)
        else:
            user = await sync_to_async(get_user)(request)
        return (await akind_of(user), user) if user is not None else (UserKind.UNKNOWN, None)
    except Exception as error:  # noqa: BLE001
        return _failed(error)


def _failed(error: Exception) -> Found:
    logger.warning("Backsoon: could not look up who this is, so they get the page: %s", error)
    return _FAILED
