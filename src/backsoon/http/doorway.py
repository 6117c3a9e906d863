"""The way down the stack while the site is closed, to layers and views that ask the database.

The login door must stay open for administrators, so everybody may go down to it. While the database
is locked, visitors who hammer the door must not take the workers away from those who only want the
page: few go down at a time, and none waits long.

On every other way only our own look-ups and the layers above the view are bounded. The view of an
administrator may take its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async

from backsoon import limits
from backsoon.core.vocabulary import Mode

from . import answers
from .turnstile import Turnstile

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from .passage import Passage

PLACES = 2
"""How many of a process go down the way at a time."""

PAUSE_SECONDS = 1.0
"""How long nobody does after somebody got stuck there."""

RETRY_SECONDS = 2
"""When whoever found no place may try again."""

door = Turnstile(PLACES, PAUSE_SECONDS)


@contextmanager
def place(passage: Passage) -> Iterator[bool]:
    """A place on the way down, for as long as the block takes; false when there is none.

    Inside, the thread's statements are bounded: to the door and back, or until :func:`judged`. Who
    does not go to the door needs no place.

    Only time lost to the database shuts the door behind somebody. An error that came at once does
    not, whatever its status: strangers can cause one with a cookie, as often as they like.
    """
    if not _is_needed(passage):
        with passage.way_down:
            if passage.may_ask:
                passage.way_down.enter_context(limits.bounded())
            yield True
        return
    if not door.enter():
        yield False
        return
    fault = True
    try:
        with limits.bounded() as limit:
            yield True
        fault = limit.is_felt
    finally:
        door.leave(fault=fault)


@asynccontextmanager
async def aplace(passage: Passage) -> AsyncIterator[bool]:
    """As :func:`place`, for async code: limits are set in the thread that the queries run in."""
    if not _is_needed(passage):
        try:
            if passage.may_ask:
                await sync_to_async(passage.way_down.enter_context)(limits.bounded())
            yield True
        finally:
            await ajudged(passage)
        return
    if not door.enter():
        yield False
        return
    fault = True
    with_limits = ExitStack()
    try:
        try:
            limit = await sync_to_async(with_limits.enter_context)(limits.bounded())
            yield True
        finally:
            await sync_to_async(with_limits.close)()
        fault = limit.is_felt
    except asyncio.CancelledError:  # the client has gone; that is nobody's fault
        fault = False
        raise
    finally:
        door.leave(fault=fault)


def judged(passage: Passage) -> None:
    """The request has been judged: what comes now may take its time."""
    passage.way_down.close()


async def ajudged(passage: Passage) -> None:
    """As :func:`judged`, for async code."""
    if passage.may_ask and not _is_needed(passage):
        passage.may_ask = False
        await sync_to_async(passage.way_down.close)()


def no_place(request: HttpRequest, passage: Passage) -> HttpResponse:
    """The answer to whoever finds no place: the page, and soon another try."""
    response = answers.in_place(request, passage.view)
    response["Retry-After"] = str(RETRY_SECONDS)
    return response


def _is_needed(passage: Passage) -> bool:
    return passage.at_door and passage.view.state.mode is Mode.CLOSED
