"""Counting what an open site has answered.

All answers and those that failed, for the watch after an opening (:mod:`backsoon.tallies`). And as
traffic (:mod:`backsoon.traffic`) those requests that a closure would turn away. That leaves out
what goes to exempt addresses and views (health checks, the login, files, the status that pages
poll), exempt networks, and whoever brings the pass of an administrator, valid or not: looking into
it would cost more than the rest. Nobody else is told from anybody: no address, no path and no
cookie is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed

from backsoon import conf, tallies
from backsoon.decorators import is_always_open
from backsoon.traffic import arrive

from .facts import exemption, is_from_exempt_network
from .passes import COOKIE
from .routes import has_open_views, site_routes

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

logger = logging.getLogger("backsoon")


FAULT = 500
"""From this status on an answer says that the server has failed (RFC 9110, 15.6)."""


Counting = Callable[["HttpRequest", "HttpResponseBase"], None]


def _answered_first(request: HttpRequest, response: HttpResponseBase) -> None:
    """Find out what there is to look at in this project, and count the first answer."""
    global answered
    try:
        answered = _counting()
    except Exception:
        # A URL configuration that cannot be imported, for one. It fails elsewhere, and is told.
        logger.exception("Backsoon: what requests to leave out is not known, so none are counted.")
        answered = _count_answers_alone
    answered(request, response)


answered: Counting = _answered_first
"""Count that an open site has answered a request, and the request itself if it is traffic.

Look it up at each call: it becomes another one. All of it is one function, for there is nothing in
it that costs as much as calling the next one.
"""


def _count_answers_alone(_request: HttpRequest, response: HttpResponseBase) -> None:
    tallies.answered()
    if response.status_code >= FAULT:
        tallies.failed()


def _counting() -> Counting:
    settings = conf.current()
    if not settings.count_traffic:
        return _count_answers_alone
    beginnings = _beginnings()
    has_networks, has_views = bool(settings.exempt_networks), has_open_views()
    looks_further = has_networks or has_views
    cookie, fault = COOKIE, FAULT
    count_answer, count_failure, count_request = tallies.answered, tallies.failed, arrive

    def counted(request: HttpRequest, response: HttpResponseBase) -> None:
        count_answer()
        if response.status_code >= fault:
            count_failure()
        path = request.path_info
        if path.startswith(beginnings) and exemption(request.method or "GET", path):
            return
        cookies = request.META.get("HTTP_COOKIE")
        if cookies is not None and cookie in cookies:
            return
        if looks_further and (
            (has_views and _was_open_view(request))
            or (has_networks and is_from_exempt_network(request))
        ):
            return
        count_request()

    return counted


def _beginnings() -> tuple[str, ...]:
    """With what each path begins that may be exempt: ``/a``, of ``/a/b/c``."""
    routes = site_routes()
    patterns = (*conf.current().exempt, *routes.doors, *routes.files)
    paths = (*(pattern.path for pattern in patterns), *routes.page, *routes.status)
    return tuple(sorted({f"/{path.lstrip('/').partition('/')[0]}" for path in paths}))


def _was_open_view(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and is_always_open(match.func)


def _forget(**kwargs: Any) -> None:
    global answered
    answered = _answered_first


setting_changed.connect(_forget, dispatch_uid="backsoon.counting")
