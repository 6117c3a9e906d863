"""One request's way through a site that is not open.

The middleware says when; here stands what happens then, for the sync and the async one alike.
Nothing in here waits for anything but :meth:`Passage.leave`, which may have to look up the user.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.conf import settings

from backsoon import inflight
from backsoon.core.decision import NEED_USER, Admit, Reason, Refuse, decide
from backsoon.core.vocabulary import Mode, UserKind
from backsoon.exceptions import LoginRefusedError
from backsoon.gate import gate

from . import answers, banners, facts, injection, lookups, passes, sessions

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from backsoon.gate import View

    from .lookups import Found

logger = logging.getLogger("backsoon")

_ATTRIBUTE = "_backsoon"


@dataclass(slots=True)
class Passage:
    """What was found out about one request, and what became of it."""

    view: View
    unit: Any
    """Under what the request is counted."""
    kind: UserKind = UserKind.UNKNOWN
    user: Any = None
    at_door: bool = False
    admitted: Admit | None = None
    refused: bool = False
    login_refused: bool = False
    failed: bool = False
    """Whether the layers below us answered with an error of the server."""
    tells: bool = False
    """Whether the visitor is to be told that nothing can be changed."""
    may_ask: bool = False
    """Whether somebody may look up the user before the request is judged."""
    way_down: ExitStack = field(default_factory=ExitStack)
    """What is in force until then (see :mod:`backsoon.http.doorway`)."""

    @classmethod
    def enter(cls, request: HttpRequest, view: View, found: Found, unit: Any) -> Passage | None:
        """Begin the way down the stack, or ``None`` when the request is refused at once."""
        try:
            return cls._enter(request, view, found, unit)
        except Exception:
            # A URL configuration that cannot be imported, for one: while closed that is no 500.
            logger.exception("Backsoon: a request could not be judged, so it was refused.")
            return None

    @classmethod
    def _enter(cls, request: HttpRequest, view: View, found: Found, unit: Any) -> Passage | None:
        if facts.is_own_page(request) and view.state.mode is Mode.CLOSED:
            return None
        kind, user = found
        known = facts.collect(request, user=kind)
        answer = decide(view.state, known)
        refused = isinstance(answer, Refuse) or (answer is NEED_USER and _is_in_vain())
        if refused and not facts.leads_to_open_view(request):
            return None
        at_door = facts.is_door(known.method, request.path_info)
        if at_door and view.state.mode is Mode.CLOSED and not gate.store_is_reachable:
            return None
        passage = cls(view, unit, kind=kind, user=user, at_door=at_door)
        # Layers below us like to know the user as well. Without a session there is none to ask for.
        brings_session = settings.SESSION_COOKIE_NAME in request.COOKIES
        is_closed = view.state.mode is Mode.CLOSED
        passage.may_ask = answer is NEED_USER or (is_closed and brings_session)
        setattr(request, _ATTRIBUTE, passage)
        if passage.at_door or known.holds_pass or user is not None:
            injection.ask_for_plain_pages(request)
        elif view.state.mode is Mode.READ_ONLY:
            passage.tells = banners.wanted(request, view)
        return passage

    @staticmethod
    def of(request: HttpRequest) -> Passage | None:
        """The passage of *request*; ``None`` when the site was open as it came in."""
        passage: Passage | None = getattr(request, _ATTRIBUTE, None)
        return passage

    def needs_user(self, request: HttpRequest, view_func: Callable[..., Any] | None) -> bool:
        """Judge by what is known; true when only the user could still open the door."""
        answer = decide(self.view.state, facts.collect(request, view=view_func, user=self.kind))
        if answer is NEED_USER:
            return True
        self.admitted = answer if isinstance(answer, Admit) else None
        self.refused = self.admitted is None
        if self.admitted is not None and self.admitted.reason is not Reason.READ_ONLY_SAFE:
            inflight.set_apart(self.unit)
        return False

    def judge(
        self, request: HttpRequest, view_func: Callable[..., Any] | None, found: Found
    ) -> None:
        """Judge with the user looked up."""
        self.kind, self.user = found
        self.needs_user(request, view_func)

    def begin_view(self, request: HttpRequest) -> None:
        """Before the view runs: while closed, no ordinary login may reach the session."""
        if self.view.state.mode is Mode.CLOSED:
            sessions.make_door(request)

    def answer_refused(self, request: HttpRequest) -> HttpResponseBase | None:
        """The page instead of the view, for whoever was not admitted."""
        return answers.refusal(request, self.view) if self.refused else None

    def refuse_login(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """The answer to an ordinary user's right credentials; ``None`` for every other error."""
        if not isinstance(error, LoginRefusedError):
            return None
        sessions.leave_alone(request)
        self.admitted, self.refused, self.login_refused = None, True, True
        return answers.in_place(request, self.view, login_refused=True)

    @property
    def unjudged(self) -> bool:
        """Whether it came back without having reached a view: a 404, a middleware's answer."""
        return self.admitted is None and not self.refused

    def leave(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """What really goes out."""
        self.failed = not self.refused and response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
        if self.login_refused:
            return answers.in_place(request, self.view, login_refused=True)
        if self.admitted is None:
            return answers.refusal(request, self.view)
        administrator = self._administrator(request, response)
        if administrator is not None:
            if not passes.is_fresh(request, administrator):
                passes.give_pass(response, administrator)
            injection.add_badge(request, response, self.view.state, administrator)
        elif self.at_door:
            if self.failed:
                return answers.refusal(request, self.view)
            if self.view.state.mode is Mode.CLOSED:
                injection.add_door_notice(request, response, self.view.state)
        if self.tells:
            banners.put_in(request, response, self.view)
        return response

    def leaves_without_query(self, request: HttpRequest, response: HttpResponseBase) -> bool:
        """Whether :meth:`leave` surely asks the database for nothing."""
        if self.at_door or self.user is not None:
            return False
        worth_it = injection.can_be_changed(response) or passes.is_due(request)
        return not (worth_it and passes.holds_pass(request))

    def _administrator(self, request: HttpRequest, response: HttpResponseBase) -> Any:
        """The administrator whose request this is, if it is one's and looking is worth it.

        At the door it always is, for the pass; elsewhere for a badge, or for a pass that is due.
        Where the layers below failed it is not: what broke them would break the look-up as well.
        """
        user = request.__dict__.get(sessions.LOGGED_IN)
        if user is not None or self.leaves_without_query(request, response):
            return user
        if self.user is None and not self.failed:
            self.kind, self.user = lookups.session_user(request)
        return self.user if self.kind is UserKind.ADMINISTRATOR else None


def set_aside(unit: Any, view: View) -> None:
    """Count *unit* among those that go down the stack while the site is not open.

    Who goes down a closed site has not been let by yet; what only reads is let by a read-only one
    as an ordinary visitor, until it is judged otherwise.
    """
    if view.state.mode is Mode.CLOSED:
        inflight.set_apart(unit)
    else:
        inflight.set_reading(unit)


def _is_in_vain() -> bool:
    """Whether whoever goes down the stack to be looked up cannot be: the database is away, or
    somebody got stuck there a moment ago.
    """
    return not gate.store_is_reachable or lookups.by_session.is_shut()


def give_pass_while_open(request: HttpRequest, response: HttpResponseBase) -> None:
    """Give administrators their pass before they need it, as far as telling them costs no query:
    at their login, and superusers wherever something asked for the user anyway. Call it where
    something did (``sessions.SEEN``).
    """
    user = request.__dict__.get(sessions.LOGGED_IN)
    if user is None:
        user = request.__dict__[sessions.SEEN]
        # Somebody who is an administrator by permission brings the pass of an earlier login.
        if not (getattr(user, "is_superuser", False) or passes.owns_pass(request, user)):
            return
    if not passes.is_fresh(request, user):
        passes.give_pass(response, user)
