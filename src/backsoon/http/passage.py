"""One request's way through a site that is not open.

The middleware says when; here stands what happens then. Nothing in here waits for anything, so the
sync and the async middleware share it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from backsoon.core.decision import NEED_USER, Admit, Refuse, decide
from backsoon.core.vocabulary import Mode, UserKind
from backsoon.exceptions import LoginRefusedError

from . import answers, facts, injection, passes, sessions
from .users import is_administrator

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
    kind: UserKind = UserKind.UNKNOWN
    user: Any = None
    at_door: bool = False
    admitted: Admit | None = None
    refused: bool = False
    login_refused: bool = False

    @classmethod
    def enter(cls, request: HttpRequest, view: View, found: Found) -> Passage | None:
        """Begin the way down the stack, or ``None`` when the request is refused at once."""
        try:
            return cls._enter(request, view, found)
        except Exception:
            # A URL configuration that cannot be imported, for one: while closed that is no 500.
            logger.exception("Backsoon: a request could not be judged, so it was refused.")
            return None

    @classmethod
    def _enter(cls, request: HttpRequest, view: View, found: Found) -> Passage | None:
        if facts.is_own_page(request) and view.state.mode is Mode.CLOSED:
            return None
        kind, user = found
        known = facts.collect(request, user=kind)
        if isinstance(decide(view.state, known), Refuse) and not facts.leads_to_open_view(request):
            return None
        passage = cls(view, kind, user, at_door=facts.is_door(known.method, request.path_info))
        setattr(request, _ATTRIBUTE, passage)
        if passage.at_door or known.holds_pass or user is not None:
            injection.ask_for_plain_pages(request)
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
        return answers.login_refusal(request, self.view)

    @property
    def unjudged(self) -> bool:
        """Whether it came back without having reached a view: a 404, a middleware's answer."""
        return self.admitted is None and not self.refused

    def leave(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """What really goes out."""
        if self.login_refused:
            return answers.login_refusal(request, self.view)
        if self.admitted is None:
            return answers.refusal(request, self.view)
        administrator = self._administrator(request)
        if administrator is not None:
            if not passes.is_fresh(request, administrator):
                passes.give_pass(response, administrator)
            injection.add_badge(request, response, self.view.state, administrator)
        elif self.at_door:
            if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return answers.refusal(request, self.view)
            if self.view.state.mode is Mode.CLOSED:
                injection.add_door_notice(request, response, self.view.state)
        return response

    def leaves_without_query(self, request: HttpRequest) -> bool:
        """Whether :meth:`leave` surely asks the database for nothing."""
        return not (self.at_door or self.user is not None or passes.holds_pass(request))

    def _administrator(self, request: HttpRequest) -> Any:
        """The administrator whose request this is, if it is one's and looking is worth it."""
        if self.leaves_without_query(request):
            return None
        try:
            user = request.__dict__.get(sessions.LOGGED_IN) or self.user
            if user is None:
                user = getattr(request, "user", None)
            return user if is_administrator(user) else None
        except Exception as error:  # noqa: BLE001  (the answer is there; only the badge is lost)
            logger.warning("Backsoon: could not look up who this is: %s", error)
            return None


def give_pass_while_open(request: HttpRequest, response: HttpResponseBase) -> None:
    """Give administrators their pass before they need it, as far as telling them costs no query:
    at their login, and superusers wherever something asked for the user anyway.
    """
    user = request.__dict__.get(sessions.LOGGED_IN)
    if user is None:
        user = request.__dict__.get(sessions.SEEN)
        if user is None or not (
            # Somebody who is an administrator by permission brings the pass of an earlier login.
            getattr(user, "is_superuser", False) or passes.owns_pass(request, user)
        ):
            return
    if not passes.is_fresh(request, user):
        passes.give_pass(response, user)
