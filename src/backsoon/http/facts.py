"""From a request to the facts that the rules ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import Resolver404, resolve

from backsoon import conf
from backsoon.core.matching import client_address, first_match, network_of
from backsoon.core.vocabulary import Facts, UserKind
from backsoon.decorators import is_always_open

from .passes import holds_pass
from .routes import has_open_views, site_routes, tell_me_paths

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest


def collect(
    request: HttpRequest,
    *,
    view: Callable[..., Any] | None = None,
    user: UserKind = UserKind.UNKNOWN,
) -> Facts:
    """What is known of *request*; *view* once the resolver has found it, *user* once looked up."""
    method = request.method or "GET"
    exempt_by = exemption(method, request.path_info)
    if view is not None and exempt_by and _only_looks_like_a_file(request):
        exempt_by = ""
    return Facts(
        method=method,
        exempt_by=exempt_by,
        network=_network(request),
        always_open=view is not None and is_always_open(view),
        holds_pass=holds_pass(request),
        user=user,
    )


def exemption(method: str, path: str) -> str:
    """Which path of ours or of the settings lets the request by, in words."""
    if path in tell_me_paths():
        return f"maintenance page: {path}"
    return site_routes().exemption(method, path) or exemption_by_settings(method, path)


def exemption_by_settings(method: str, path: str) -> str:
    """Which path of ``BACKSOON["EXEMPT"]`` lets the request by, in words; empty when none does."""
    pattern = first_match(conf.current().exempt, method, path)
    return f'BACKSOON["EXEMPT"]: {pattern}' if pattern is not None else ""


def _only_looks_like_a_file(request: HttpRequest) -> bool:
    """Whether a catch-all view of the project answers below the prefix of static or media files.

    The view that Django itself serves them with has the prefix in its own route.
    """
    prefix = first_match(site_routes().files, request.method or "GET", request.path_info)
    match = getattr(request, "resolver_match", None)
    if prefix is None or match is None:
        return False
    return not match.route.lstrip("^/").startswith(prefix.path.strip("/"))


def is_door(method: str, path: str) -> bool:
    """Whether people log in or out there."""
    return first_match(site_routes().doors, method, path) is not None


def is_own_page(request: HttpRequest) -> bool:
    """Whether the maintenance page itself is asked for, or a document beside it."""
    routes = site_routes()
    return request.path_info in routes.page or request.path_info in routes.documents


def leads_to_open_view(request: HttpRequest) -> bool:
    """Whether the path leads to a view marked ``@always_open``.

    Only the resolver can tell; it is asked only in projects that have such a view at all.
    """
    if not has_open_views():
        return False
    try:
        match = resolve(request.path_info, getattr(request, "urlconf", None))
    except Resolver404:
        return False
    return is_always_open(match.func)


def is_from_exempt_network(request: HttpRequest) -> bool:
    """Whether ``BACKSOON["EXEMPT_NETWORKS"]`` lets *request* by."""
    return bool(_network(request))


def _network(request: HttpRequest) -> str:
    settings = conf.current()
    if not settings.exempt_networks:
        return ""
    address = client_address(
        request.META.get("REMOTE_ADDR", ""),
        request.META.get("HTTP_X_FORWARDED_FOR", ""),
        settings.trusted_proxies,
    )
    network = network_of(settings.exempt_networks, address)
    return f"{address} in {network}" if network is not None else ""
