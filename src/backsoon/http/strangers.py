"""Who is a stranger beyond doubt, told from the beginning of the path and the bare cookies.

Nearly everybody who comes by while the site is closed brings no pass and goes nowhere exempt. For
them the rules need not be gone through: whatever could let somebody by begins with one of a few
known segments, or two of them, or is a pass. Who is not surely a stranger is judged by the rules;
so a doubt costs time, never an answer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern, RoutePattern

from backsoon import conf
from backsoon.core.vocabulary import Mode
from backsoon.decorators import is_always_open

from .passes import COOKIE
from .routes import has_open_views, site_routes, tell_me_paths

if TYPE_CHECKING:
    from django.http import HttpRequest

    from backsoon.gate import View

WHITENOISE = "whitenoise.middleware.WhiteNoiseMiddleware"


def sent(request: HttpRequest, view: View) -> bool:
    """Whether *request* is surely refused at once while *view* is true. Does not fail."""
    try:
        if getattr(request, "urlconf", None) is not None or COOKIE in request.__dict__.get(
            "COOKIES", ()
        ):
            return False  # somebody has changed what came in
        cookies = request.META.get("HTTP_COOKIE") or ""
        return is_refused_at_once(view, request.path_info, cookies)
    except Exception:  # noqa: BLE001  (whoever judges by the rules will meet it again, and say so)
        return False


def is_refused_at_once(view: View, path: str, cookies: str) -> bool:
    """Whether the rules surely refuse a request for *path* (``path_info``) while *view* is true.

    *cookies* is the header as it came. The page's own addresses are refused to everybody.
    """
    if view.state.mode is not Mode.CLOSED:
        return False
    routes = site_routes()
    return path in routes.page or path in routes.documents or is_stranger(path, cookies)


def is_stranger(path: str, cookies: str) -> bool:
    """Whether nothing in *path* (``path_info``) and in the header *cookies* could let anybody by.

    As long as the site is closed; in read-only mode the method could.
    """
    known = beginnings()
    if known is None or path[:1] != "/" or COOKIE in cookies:
        return False
    end = path.find("/", 1)
    if end < 0:
        return path[1:] not in known
    if path[1:end] in known:
        return False
    second_end = path.find("/", end + 1)
    return (path[1:second_end] if second_end > 0 else path[1:]) not in known


@functools.cache
def beginnings() -> frozenset[str] | None:
    """With what a path begins that may lead past the rules: ``a`` or ``a/b``, of ``/a/b/c``.

    ``None`` where anything may.
    """
    settings = conf.current()
    if settings.exempt_networks or settings.get_user is not None:
        return None
    routes = site_routes()
    patterns = (*settings.exempt, *routes.doors, *routes.files)
    paths = {
        *(pattern.path for pattern in patterns),
        *routes.page,
        *routes.documents,
        *routes.letters,
    }
    if not all(path.startswith("/") for path in paths):
        return None
    if any(not pattern.exact and not pattern.path.strip("/") for pattern in patterns):
        return None
    found = {_beginning(path[1:]) for path in paths} | _whitenoise_files()
    found |= {_beginning(path[1:]) for path in tell_me_paths()}
    if has_open_views():
        found |= set(_open_views(get_resolver().url_patterns, [""]))
    known = frozenset(beginning for beginning in found if beginning is not None)
    return known if len(known) == len(found) else None


def _beginning(route: str) -> str | None:
    """What every path begins with that *route* leads to; ``<`` is where something variable begins.

    ``None`` when nothing is sure.
    """
    literal, variable, _rest = route.partition("<")
    segments = literal.split("/")
    if variable:
        segments.pop()  # it may go on
    if not segments:
        return None
    return "/".join(segments[:2]) if len(segments) > 1 and segments[1] else segments[0]


def _open_views(
    patterns: Iterable[URLPattern | URLResolver], before: list[str]
) -> Iterator[str | None]:
    """With what the paths of views begin that are marked ``@always_open``.

    *before* is what may stand in front of *patterns*: several with ``i18n_patterns``.
    """
    for pattern in patterns:
        routes = [text + part for text in before for part in _texts_of(pattern.pattern)]
        if isinstance(pattern, URLResolver):
            yield from _open_views(pattern.url_patterns, routes)
        elif is_always_open(pattern.callback):
            yield from map(_beginning, routes)


def _texts_of(pattern: Any) -> list[str]:
    """How *pattern* is written, with ``<`` where something variable begins."""
    if isinstance(pattern, LocalePrefixPattern):
        return ["", *(f"{code}/" for code, _name in django_settings.LANGUAGES)]
    # A regular expression could match anything, and a translated route is another in each language.
    route = getattr(pattern, "_route", None) if isinstance(pattern, RoutePattern) else None
    return [route if isinstance(route, str) else "<"]


def _whitenoise_files() -> set[str | None]:
    """What WhiteNoise, above us, serves: static files, and ``/robots.txt`` and the like.

    It serves static files below the path of ``STATIC_URL`` also where that names another host: a
    CDN fetches them here. To the middleware these never come; the guard, outside of both, has to
    leave them to WhiteNoise.
    """
    if WHITENOISE not in django_settings.MIDDLEWARE:
        return set()
    names: set[str | None] = set()
    roots = [getattr(django_settings, "WHITENOISE_ROOT", None)]
    prefix = _whitenoise_prefix().strip("/")
    if prefix:
        names.add(_beginning(prefix))
    elif getattr(django_settings, "WHITENOISE_USE_FINDERS", django_settings.DEBUG):
        names.add(None)  # at the root of the site, from wherever the finders look
    else:
        roots.append(django_settings.STATIC_ROOT)
    for root in roots:
        if root and Path(root).is_dir():
            names.update(entry.name for entry in Path(root).iterdir())
            names.add("")  # an index file answers at "/" itself
    return names


def _whitenoise_prefix() -> str:
    """Below which path WhiteNoise serves static files.

    Source: ``WHITENOISE_STATIC_PREFIX`` in WhiteNoise's documentation for Django.
    """
    given: str | None = getattr(django_settings, "WHITENOISE_STATIC_PREFIX", None)
    if given is not None:
        return given
    script = (django_settings.FORCE_SCRIPT_NAME or "").rstrip("/")
    return urlsplit(django_settings.STATIC_URL or "").path.removeprefix(script)


def _forget(**kwargs: Any) -> None:
    beginnings.cache_clear()


setting_changed.connect(_forget, dispatch_uid="backsoon.strangers")
