"""The gate in Django's request cycle.

Stand it right after ``SecurityMiddleware`` (and WhiteNoise). To be read aloud:

- always: guard ``request.user``, so that an ended login is nobody's;
- open: count in, look, pass on, count out;
- closed: refuse at once whoever brings no pass and goes nowhere exempt; let the others down the
  stack, judge them where the user is known, and judge on the way out whatever came back unjudged,
  so that nothing leaves that was not admitted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async

from . import conf, rehearsal
from .gate import gate
from .http import (
    banners,
    counting,
    doorway,
    lookups,
    outage,
    refusals,
    sessions,
    strangers,
    streams,
    tell_me,
)
from .http.backstage import STANDS_OPEN
from .http.passage import Passage, give_pass_while_open, set_aside
from .inflight import UNITS, release, release_after_thread, release_when_closed, take
from .registrar import set_kind

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from .gate import View
    from .http.backstage import Entrance
    from .inflight import Counted

GetResponse = Callable[["HttpRequest"], Any]


class MaintenanceModeMiddleware:
    """Admit, or answer with the maintenance page. Native under WSGI and ASGI."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        conf.current()  # a wrong setting shows at the start, not at the first closure
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        self.process_view: Callable[..., Any] = self._process_view
        if self.is_async:
            markcoroutinefunction(self)
            # Django asks whether process_view is a coroutine function, and wraps it if not.
            self.process_view = self._aprocess_view
        self.gate: Entrance = gate
        self.counts = True
        if rehearsal.is_set_up_here():
            self.gate = STANDS_OPEN  # for visitors of our own, in a stack that nobody serves
            self.counts = False
        else:
            set_kind("asgi" if self.is_async else "wsgi")

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer *request*."""
        if self.is_async:
            return self.__acall__(request)
        sessions.guard_user(request)
        unit = take(request)
        view = self.gate.enter(unit)
        ended = True
        try:
            if view.is_open:
                tells = view.has_plans and banners.wanted(request, view)
                response: HttpResponseBase = self.get_response(request)
                if self.counts:
                    counting.answered(request, response)
                if sessions.SEEN in request.__dict__:
                    give_pass_while_open(request, response)
                if tells:
                    banners.put_in(request, response, view)
            else:
                response = self._answer_while_closed(request, view, unit)
            if response.streaming:
                ended = False
                streams.watch(unit, response, release_when_closed(unit, request, response))
        finally:
            # Nearly always it stands where it was counted in, and the rest can be spared.
            if ended and (unit is not request or UNITS.pop(request, None) is None):
                release(unit, request)
        return response

    def _answer_while_closed(
        self, request: HttpRequest, view: View, unit: Counted
    ) -> HttpResponseBase:
        if strangers.sent(request, view):
            return refusals.answer(request, view)
        set_aside(unit, view)
        if tell_me.is_asked(request):
            return tell_me.answer(request, view)
        passage = Passage.enter(request, view, lookups.token_user(request), unit)
        if passage is None:
            return refusals.answer(request, view)
        with doorway.place(passage) as free:
            if not free:
                return doorway.no_place(request, passage)
            response: HttpResponseBase = self.get_response(request)
            if passage.unjudged and passage.needs_user(request, None):
                passage.judge(request, None, lookups.session_user(request))
            passage.count(request)
            return passage.leave(request, response)

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        sessions.guard_user(request)
        if not self.gate.knows:
            await sync_to_async(self.gate.view)()  # the first reading may take its time
        unit = take(request)
        view = self.gate.enter(unit)
        ended = True
        try:
            if view.is_open:
                tells = view.has_plans and banners.wanted(request, view)
                response: HttpResponseBase = await self.get_response(request)
                if self.counts:
                    counting.answered(request, response)
                if sessions.SEEN in request.__dict__:
                    give_pass_while_open(request, response)
                if tells:
                    banners.put_in(request, response, view)
            else:
                response = await self._aanswer_while_closed(request, view, unit)
            if response.streaming:
                ended = False
                streams.watch(unit, response, release_when_closed(unit, request, response))
        except asyncio.CancelledError:
            # The client has gone. A sync view goes on in its thread all the same; what is asked of
            # that thread now, it does when the view has ended.
            ended = False
            await release_after_thread(unit, request)
            raise
        finally:
            # Nearly always it stands where it was counted in, and the rest can be spared.
            if ended and (unit is not request or UNITS.pop(request, None) is None):
                release(unit, request)
        return response

    async def _aanswer_while_closed(
        self, request: HttpRequest, view: View, unit: Counted
    ) -> HttpResponseBase:
        if strangers.sent(request, view):
            return await refusals.aanswer(request, view)
        set_aside(unit, view)
        if tell_me.is_asked(request):
            return await tell_me.aanswer(request, view)
        passage = Passage.enter(request, view, await lookups.atoken_user(request), unit)
        if passage is None:
            return await refusals.aanswer(request, view)
        async with doorway.aplace(passage) as free:
            if not free:
                return doorway.no_place(request, passage)
            response: HttpResponseBase = await self.get_response(request)
            if passage.unjudged and passage.needs_user(request, None):
                passage.judge(request, None, await lookups.asession_user(request))
            passage.count(request)
            if passage.leaves_without_query(request, response):
                return passage.leave(request, response)
            return await sync_to_async(passage.leave)(request, response)

    def _process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        passage = Passage.of(request)
        if passage is None:
            return None
        passage.begin_view(request)
        if passage.needs_user(request, view_func):
            passage.judge(request, view_func, lookups.session_user(request))
        doorway.judged(passage)
        return passage.answer_refused(request)

    async def _aprocess_view(
        self, request: HttpRequest, view_func: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        passage = Passage.of(request)
        if passage is None:
            return None
        passage.begin_view(request)
        if passage.needs_user(request, view_func):
            passage.judge(request, view_func, await lookups.asession_user(request))
        await doorway.ajudged(passage)
        return passage.answer_refused(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        """A refused login is answered by the page, and so is a database that cannot be reached."""
        passage = Passage.of(request)
        if passage is not None:
            refusal = passage.refuse_login(request, exception)
            if refusal is not None:
                return refusal
        return outage.answer(request, exception)
