"""What a client wants: a page or a document for programs, in which language, compressed or not.

Browsers of one kind send the same headers with every request, so what was once made of them is
remembered under the headers as they came. Whatever is unusual is judged anew each time.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from django.conf import settings as django_settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import setting_changed
from django.http import parse_cookie
from django.utils import translation

from backsoon import conf
from backsoon.core.matching import first_match

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

LONGEST_NEXT = 2_000
"""Characters of a path that a visitor is taken back to; longer ones are forgotten."""

LONGEST_REMEMBERED = 1_000
"""Characters of headers in all; who sends more is judged anew each time."""

MOST_REMEMBERED = 512
"""How many ways of asking are remembered; with the longest headers that is half a megabyte."""

_HTML, _JSON, _PROBLEM = "text/html", "application/json", "application/problem+json"


class Wish(NamedTuple):
    """What a client wants."""

    program: bool
    """A problem document rather than a page, by its headers alone."""
    navigates: bool
    """Whether a person's browser opens a page, and so can be sent elsewhere."""
    language: str
    gzip: bool


class Asked(NamedTuple):
    """Everything that a wish is judged by, as the client sent it; ``None`` for what is missing.

    Nothing but this reaches the judgement that is remembered.
    """

    accept: str | None
    requested_with: str | None
    fetch_mode: str | None
    content_type: str | None
    accept_language: str | None
    accept_encoding: str | None
    language_cookie: str | None
    query: str
    """Empty unless it may name a language."""
    place: str
    """The beginning of the path, where it may name a language."""


def wish_of(request: HttpRequest) -> Wish:
    """What the client that sent *request* wants."""
    asked = asked_by(request.META, request.path_info)
    return judge(request) if asked is None else remembered(asked)


def asked_by(meta: Mapping[str, Any], path: str) -> Asked | None:
    """What was asked with the headers in *meta* for *path*; ``None`` where it is unusual.

    *meta* is in the form of ``HttpRequest.META`` and *path* in that of ``path_info``.
    """
    query = meta.get("QUERY_STRING") or ""
    prefixed = language_is_in_paths()
    if query and not _may_name_a_language(query, prefixed):
        query = ""
    content_type = meta.get("CONTENT_TYPE")
    if query and not (query.isascii() and "charset" not in (content_type or "").lower()):
        return None  # what it says depends on how it is decoded
    cookie: str | None = None
    cookies = meta.get("HTTP_COOKIE") or ""
    if cookies and _language_cookie() in cookies:
        if not cookies.isascii():
            return None
        cookie = parse_cookie(cookies).get(_language_cookie())
    asked = Asked(
        meta.get("HTTP_ACCEPT"),
        meta.get("HTTP_X_REQUESTED_WITH"),
        meta.get("HTTP_SEC_FETCH_MODE"),
        content_type,
        meta.get("HTTP_ACCEPT_LANGUAGE"),
        meta.get("HTTP_ACCEPT_ENCODING"),
        cookie,
        query,
        path[: path.find("/", 1) + 1] or path if prefixed else "",
    )
    return asked if len("".join(filter(None, asked))) <= LONGEST_REMEMBERED else None


@functools.lru_cache(maxsize=MOST_REMEMBERED)
def remembered(asked: Asked) -> Wish:
    """What who *asked* so wants."""
    environ = {
        "REQUEST_METHOD": "GET",
        # As WSGI hands it over (PEP 3333).
        "PATH_INFO": asked.place.encode(errors="replace").decode("latin-1"),
        "QUERY_STRING": asked.query,
        "CONTENT_TYPE": asked.content_type,
        "HTTP_ACCEPT": asked.accept,
        "HTTP_X_REQUESTED_WITH": asked.requested_with,
        "HTTP_SEC_FETCH_MODE": asked.fetch_mode,
        "HTTP_ACCEPT_LANGUAGE": asked.accept_language,
        "HTTP_ACCEPT_ENCODING": asked.accept_encoding,
    }
    given = {name: value for name, value in environ.items() if value is not None}
    request = WSGIRequest({**given, "wsgi.input": io.BytesIO()})
    if asked.language_cookie is not None:
        request.COOKIES = {_language_cookie(): asked.language_cookie}
    return judge(request)


def judge(request: HttpRequest) -> Wish:
    """What the client that sent *request* wants, from the beginning."""
    return Wish(_is_program(request), _navigates(request), language_of(request), _gzip(request))


def wants_json(request: HttpRequest) -> bool:
    """Whether a program asks: by ``Accept``, by what it sends, or by a path that is an API."""
    return is_for_programs(request.method or "GET", request.path_info) or wish_of(request).program


def is_for_programs(method: str, path: str) -> bool:
    """Whether the settings name *path* as one that programs ask for."""
    patterns = conf.current().api_paths
    return bool(patterns) and first_match(patterns, method, path) is not None


def _is_program(request: HttpRequest) -> bool:
    if request.headers.get("X-Requested-With") == "XMLHttpRequest":
        return True
    try:
        preferred = request.get_preferred_type([_HTML, _JSON, _PROBLEM])
    except ValueError:  # a malformed Accept header
        return False
    if preferred == _HTML:
        sends_json = (request.content_type or "").endswith("json")
        return sends_json and "text/html" not in request.headers.get("Accept", "")
    return preferred is not None


def _navigates(request: HttpRequest) -> bool:
    """A person's browser opens a page, not a picture or a script of one.

    ``Sec-Fetch-Mode`` says so where the browser sends it (Fetch Metadata Request Headers).
    """
    mode = request.headers.get("Sec-Fetch-Mode", "")
    if mode:
        return mode == "navigate"
    try:
        return request.accepts(_HTML)
    except ValueError:
        return True


def _gzip(request: HttpRequest) -> bool:
    for coding in request.headers.get("Accept-Encoding", "").split(","):
        name, _semicolon, weight = coding.strip().partition(";")
        if name.strip().lower() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


# -- The language ------------------------------------------------------------------------------


def language_of(request: HttpRequest) -> str:
    """The visitor's language: what the page's own links ask for, where they were going, then as
    Django decides (cookie, ``Accept-Language``, default).
    """
    if not django_settings.USE_I18N:
        return django_settings.LANGUAGE_CODE
    asked = parameter(request, "language")
    if asked:
        try:
            return translation.get_supported_language_variant(asked)
        except (LookupError, ValueError):
            pass
    prefixed = language_is_in_paths()
    if prefixed:
        target = parameter(request, "next")
        if target.startswith("/") and len(target) <= LONGEST_NEXT:
            found = translation.get_language_from_path(urlsplit(target).path)
            if found:
                return found
    return translation.get_language_from_request(request, check_path=prefixed)


def parameter(request: HttpRequest, name: str) -> str:
    """The parameter *name* of the address, or ``""``."""
    try:
        return request.GET.get(name, "")
    except SuspiciousOperation:  # more parameters than Django reads
        return ""


@functools.cache
def language_is_in_paths() -> bool:
    """Whether the project uses ``i18n_patterns``."""
    if not django_settings.USE_I18N:
        return False
    return is_language_prefix_patterns_used(django_settings.ROOT_URLCONF)[0]


@functools.cache
def _language_cookie() -> str:
    return django_settings.LANGUAGE_COOKIE_NAME


def _may_name_a_language(query: str, prefixed: bool) -> bool:
    if "%" in query:
        query = unquote(query)
    return "language" in query or (prefixed and "next" in query)


def _forget(**kwargs: Any) -> None:
    remembered.cache_clear()
    language_is_in_paths.cache_clear()
    _language_cookie.cache_clear()


setting_changed.connect(_forget, dispatch_uid="backsoon.asking")
