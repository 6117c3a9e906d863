"""Which requests count as traffic: those that a closure would turn away.

That leaves out what goes to exempt addresses and views (health checks, the login, files, the status
that pages poll), exempt networks, and whoever brings the pass of an administrator, valid or not:
looking into it would cost more than the rest. Nobody else is told from anybody: no address, no
path and no cookie is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed

from backsoon import conf
from backsoon.decorators import is_always_open
from backsoon.traffic import arrive

from .facts import exemption, is_from_exempt_network
from .passes import COOKIE
from .routes import has_open_views, site_routes

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger("backsoon")


def _count_first(request: HttpRequest) -> None:
    """Find out what there is to look at in this project, and count the first request."""
    global count
    try:
        count = _counting()
    except Exception:
        # A URL configuration that cannot be imported, for one. It fails elsewhere, and is told.
        logger.exception("Backsoon: what requests to leave out is not known, so none are counted.")
        count = _count_nothing
    count(request)


count: Callable[[HttpRequest], None] = _count_first
"""Count *request*, which was let by an open site and has been answered, if it is traffic."""


def _count_nothing(_request: HttpRequest) -> None:
    pass


def _counting() -> Callable[[HttpRequest], None]:
    settings = conf.current()
    if not settings.count_traffic:
        return _count_nothing
    beginnings = _beginnings()
    has_networks, has_views = bool(settings.exempt_networks), has_open_views()
    looks_further = has_networks or has_views
    cookie = COOKIE

    def counted(request: HttpRequest) -> None:
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
        arrive()

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
    global count
    count = _count_first


setting_changed.connect(_forget, dispatch_uid="backsoon.counting")
