"""Paths of this site: our own pages, the login doors, static and media files.

Everything is compared with ``request.path_info``, so the script prefix is taken off and each
language of ``i18n_patterns`` counts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.signals import setting_changed
from django.shortcuts import resolve_url
from django.urls import (
    NoReverseMatch,
    Resolver404,
    URLPattern,
    URLResolver,
    get_resolver,
    get_script_prefix,
    resolve,
    reverse,
    set_script_prefix,
)
from django.urls.resolvers import LocalePrefixPattern
from django.utils.encoding import iri_to_uri
from django.utils.functional import Promise
from django.utils.translation import override

from backsoon import conf
from backsoon.core.matching import PathPattern, first_match
from backsoon.decorators import is_always_open

LOGIN_NAMES = ("login", "account_login")
LOGOUT_NAMES = ("logout", "account_logout")


@dataclass(frozen=True, slots=True)
class SiteRoutes:
    """The paths that stay reachable by themselves while the site is closed."""

    page: frozenset[str]
    status: frozenset[str]
    calendar: frozenset[str]
    feed: frozenset[str]
    doors: tuple[PathPattern, ...]
    """Where people log in and out."""
    letters: frozenset[str]
    """Where whoever gets our mail can leave."""
    files: tuple[PathPattern, ...]
    documents: frozenset[str] = field(init=False)
    """Those for machines: status, calendar and feed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "documents", self.status | self.calendar | self.feed)

    def exemption(self, method: str, path: str) -> str:
        """Which of these lets the request by, in words; empty when none does."""
        door = first_match(self.doors, method, path)
        if door is not None:
            return f"login or logout: {door.path}"
        files = first_match(self.files, method, path)
        if files is not None:
            return f"static or media files: {files.path}"
        if path in self.page or path in self.documents:
            return f"maintenance page: {path}"
        if path in self.letters and method in ("GET", "HEAD", "POST"):
            return f"no more mail: {path}"
        return ""


@functools.cache
def site_routes() -> SiteRoutes:
    """The routes of the project's root URL configuration, looked up once."""
    return SiteRoutes(
        page=frozenset(_paths_of("backsoon:page")),
        status=frozenset(_paths_of("backsoon:status")),
        calendar=frozenset(_paths_of("backsoon:calendar")),
        feed=frozenset(_paths_of("backsoon:feed")),
        doors=_doors(),
        letters=frozenset(_paths_of("backsoon:unsubscribe")),
        files=tuple(_file_prefixes()),
    )


@functools.cache
def has_open_views() -> bool:
    """Whether any view of the project is marked ``@always_open``."""
    return any(is_always_open(view) for view in _views(get_resolver().url_patterns))


def _views(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[Callable[..., Any]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _views(pattern.url_patterns)
        else:
            yield pattern.callback


def _doors() -> tuple[PathPattern, ...]:
    names = [*LOGIN_NAMES, *LOGOUT_NAMES]
    for namespace in get_resolver().app_dict.get("admin", ()):
        names += [f"{namespace}:login", f"{namespace}:logout"]
    paths = {path for name in names for path in _paths_of(name)}
    paths.update(_login_url_paths())
    found = {PathPattern(path, exact=True) for path in paths if path.strip("/")}
    return (*sorted(found, key=lambda p: p.path), *conf.current().login_urls)


def _login_url_paths() -> Iterator[str]:
    for code in _languages():
        with override(code):
            try:
                url = resolve_url(settings.LOGIN_URL)
            except NoReverseMatch:
                continue
        parts = urlsplit(url)
        if not parts.netloc and parts.path.startswith("/"):
            yield _without_prefix(parts.path)


def _file_prefixes() -> Iterator[PathPattern]:
    for url in (settings.STATIC_URL, settings.MEDIA_URL):
        if not url or urlsplit(url).netloc or not url.startswith("/"):
            continue
        path = _without_prefix(url)
        if path.strip("/"):  # a prefix of "/" would exempt the whole site
            yield PathPattern(path)


def _paths_of(name: str, args: Iterable[Any] = ()) -> set[str]:
    """The paths of a named route in every language; empty when the project has none."""
    found = set()
    for code in _languages():
        with override(code):
            try:
                found.add(_without_prefix(reverse(name, args=list(args))))
            except NoReverseMatch:
                break
    return found


def _languages() -> list[str]:
    """The languages in which a path may be another one.

    Each that is looked at costs time and a map of all routes, and a project that names no languages
    has a hundred of them. So where no path depends on the language, only one is.
    """
    if not depend_on_language():
        return [settings.LANGUAGE_CODE]
    return [code for code, _name in settings.LANGUAGES]


@functools.cache
def depend_on_language() -> bool:
    """Whether any path of the project does: by ``i18n_patterns``, or as a translated text."""
    if not settings.USE_I18N:
        return False
    return isinstance(settings.LOGIN_URL, Promise) or _has_translated(get_resolver().url_patterns)


def _has_translated(patterns: Iterable[URLPattern | URLResolver]) -> bool:
    for pattern in patterns:
        written = vars(pattern.pattern)
        if isinstance(pattern.pattern, LocalePrefixPattern) or any(
            isinstance(written.get(name), Promise) for name in ("_route", "_regex")
        ):
            return True
        if isinstance(pattern, URLResolver) and _has_translated(pattern.url_patterns):
            return True
    return False


def _without_prefix(path: str) -> str:
    prefix = get_script_prefix()
    if path.startswith(prefix):
        path = "/" + path[len(prefix) :]
    return unquote(path)


@contextmanager
def below(prefix: str) -> Iterator[None]:
    """Addresses made inside begin with the script *prefix*."""
    before = get_script_prefix()
    set_script_prefix(prefix)
    try:
        yield
    finally:
        set_script_prefix(before)


@functools.lru_cache(maxsize=256)
def page_address(language: str, prefix: str) -> str:
    """The address of the maintenance page in *language*, or ``""`` when the project has none."""
    with below(prefix), override(language if depend_on_language() else settings.LANGUAGE_CODE):
        return iri_to_uri(reversed_or_empty("backsoon:page")) or ""


@functools.cache
def tell_me_paths() -> frozenset[str]:
    """Where visitors leave their address to be told of the end; none unless the settings ask."""
    return frozenset(_paths_of("backsoon:tell-me") if conf.current().tell_me else ())


def reversed_or_empty(name: str) -> str:
    """The path of a named route in the active language, or ``""``."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


def login_url() -> str:
    """Where an administrator logs in: the project's login page, else the admin's; or ``""``."""
    for candidate in (settings.LOGIN_URL, "admin:login"):
        try:
            url = resolve_url(candidate)
        except NoReverseMatch:
            continue
        if _is_routed(url):
            return url
    return ""


def _is_routed(url: str) -> bool:
    """Whether *url* leads to a view of this site, or to another site altogether.

    The default ``LOGIN_URL`` names ``/accounts/login/``, which most projects do not have.
    """
    parts = urlsplit(url)
    if parts.netloc:
        return True
    try:
        resolve(_without_prefix(parts.path))
    except Resolver404:
        return False
    return True


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in {
        "ROOT_URLCONF", "BACKSOON", "LOGIN_URL", "STATIC_URL", "MEDIA_URL", "LANGUAGES",
        "LANGUAGE_CODE", "USE_I18N", "FORCE_SCRIPT_NAME",
    }:  # fmt: skip
        depend_on_language.cache_clear()
        site_routes.cache_clear()
        has_open_views.cache_clear()
        page_address.cache_clear()
        tell_me_paths.cache_clear()


setting_changed.connect(_forget, dispatch_uid="backsoon.routes")
