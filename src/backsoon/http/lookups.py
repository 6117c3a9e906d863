"""Finding out who somebody is while the site is closed.

These are the only questions of ours that may cost a query then, and the database may be locked or
gone. So they are few at a time, they wait for nothing longer than a moment, and a fault admits
nobody: whoever cannot be looked up gets the page.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.db import InterfaceError, OperationalError

from backsoon import conf, limits
from backsoon.core.vocabulary import UserKind
from backsoon.gate import gate

from .turnstile import Turnstile
from .users import akind_of, kind_of

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger("backsoon")

PATIENCE_SECONDS = limits.MILLISECONDS / 1000
"""What a look-up may take, the wait for a free place included."""

PAUSE_SECONDS = 1.0
"""How long nobody is looked up after a look-up that got stuck."""

by_session = Turnstile(1, PAUSE_SECONDS)
"""Holders of a pass. One at a time: they are few, and their pages' requests can wait in line."""

by_token = Turnstile(2, PAUSE_SECONDS)
"""Whoever comes by while ``BACKSOON["GET_USER"]`` is set."""

Found = tuple[UserKind, Any]
"""What the rules have to know of the user, and the user."""

_NOBODY_NAMED: Found = (UserKind.UNKNOWN, None)
"""No token named anybody: the session may still do so."""

_FAILED: Found = (UserKind.ANONYMOUS, None)


def session_user(request: HttpRequest) -> Found:
    """Who the session says it is; nobody, when that cannot be found out at once."""
    started = time.monotonic()
    if not gate.store_is_reachable or not by_session.enter(PATIENCE_SECONDS):
        return _FAILED
    attempt = _Attempt(started)
    try:
        with limits.bounded(attempt.milliseconds) as attempt.limit:
            user = request.user
            return kind_of(user), user
    except Exception as error:  # noqa: BLE001  (whatever it is, it lets nobody in)
        attempt.failure = error
        return _FAILED
    finally:
        attempt.end(by_session)


async def asession_user(request: HttpRequest) -> Found:
    """As :func:`session_user`, for async code.

    By ``request.user``, not ``request.auser``: all of it in one visit to the thread that the
    request's queries run in, where alone their time can be limited.
    """
    return await sync_to_async(session_user)(request)


def token_user(request: HttpRequest) -> Found:
    """Who ``BACKSOON["GET_USER"]`` says it is; UNKNOWN when it does not say."""
    get_user = conf.current().get_user
    if get_user is None:
        return _NOBODY_NAMED
    started = time.monotonic()
    if not gate.store_is_reachable or not by_token.enter(PATIENCE_SECONDS):
        return _NOBODY_NAMED
    attempt = _Attempt(started)
    try:
        with limits.bounded(attempt.milliseconds) as attempt.limit:
            if iscoroutinefunction(get_user):
                get_user = async_to_sync(get_user)
            return _named(kind_of, get_user(request))
    except Exception as error:  # noqa: BLE001
        attempt.failure = error
        return _NOBODY_NAMED
    finally:
        attempt.end(by_token)


async def atoken_user(request: HttpRequest) -> Found:
    """As :func:`token_user`; the project's function may be a coroutine function."""
    get_user = conf.current().get_user
    if get_user is None:
        return _NOBODY_NAMED
    if not iscoroutinefunction(get_user):
        return await sync_to_async(token_user)(request)
    started = time.monotonic()
    if not gate.store_is_reachable or not await by_token.aenter(PATIENCE_SECONDS):
        return _NOBODY_NAMED
    attempt = _Attempt(started)
    try:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + PATIENCE_SECONDS):
            return await _bounded_token_user(get_user, request)
    except Exception as error:  # noqa: BLE001
        attempt.failure = error
        return _NOBODY_NAMED
    finally:
        attempt.end(by_token)


async def _bounded_token_user(get_user: Callable[..., Any], request: HttpRequest) -> Found:
    with_limits = ExitStack()
    try:
        # In the thread that the function's queries will run in.
        await sync_to_async(with_limits.enter_context)(limits.bounded())
        user = await get_user(request)
        return _NOBODY_NAMED if _is_nobody(user) else (await akind_of(user), user)
    finally:
        await sync_to_async(with_limits.close)()


_SIGNS_OF_WAITING = (OperationalError, InterfaceError, TimeoutError)


class _Attempt:
    """One look-up, begun once its place is taken: what it may cost, and whether it got stuck."""

    def __init__(self, arrived: float) -> None:
        self.failure: Exception | None = None
        self.limit: limits.Limit | None = None
        self._begun = time.monotonic()
        self._seconds = max(PATIENCE_SECONDS / 10, arrived + PATIENCE_SECONDS - self._begun)

    @property
    def milliseconds(self) -> float:
        """What remains after the wait for a place; enough to try, at least."""
        return self._seconds * 1000

    def end(self, turnstile: Turnstile) -> None:
        """Give the place back; the *turnstile* shuts only if time was lost.

        A session key or a token that the database or the project's function refuses at once has
        not been stuck: whoever sends such things must not shut out the others.
        """
        took = time.monotonic() - self._begun
        stuck = took >= PATIENCE_SECONDS
        if isinstance(self.failure, _SIGNS_OF_WAITING):
            # Layers above the view may have waited for the same database, and left no time for us.
            lost_before = self.limit is not None and self.limit.is_felt
            stuck = lost_before or took >= self._seconds / 2
        news = turnstile.leave(fault=self.failure is not None, stuck=stuck)
        _report(self.failure, news=news)


def _is_nobody(user: Any) -> bool:
    return user is None or not getattr(user, "is_authenticated", False)


def _named(judge: Callable[[Any], UserKind], user: Any) -> Found:
    return _NOBODY_NAMED if _is_nobody(user) else (judge(user), user)


def _report(failure: Exception | None, *, news: bool) -> None:
    """Say once for each outage that look-ups fail, not once for each request."""
    if news:
        logger.warning(
            "Backsoon: could not look up who this is, so they get the page: %s",
            str(failure) or type(failure).__name__,
        )
