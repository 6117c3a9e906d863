"""What a refused client gets: a redirect to the page, the page, or a problem in JSON.

One exit, one place for headers: every answer made here says how long to wait, that it must not be
stored, and that it is maintenance, not a fault.
"""

from __future__ import annotations

import logging
import random
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from django.conf import settings as django_settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.core.exceptions import SuspiciousOperation
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import get_script_prefix
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme

from backsoon import conf, store
from backsoon.core.matching import first_match
from backsoon.core.state import retry_after

from .pages import fallback, prepare, shelf, texts
from .routes import reversed_or_empty, site_routes

if TYPE_CHECKING:
    from django.http import HttpRequest

    from backsoon.core.vocabulary import State
    from backsoon.gate import View

logger = logging.getLogger("backsoon")

JITTER = 0.1
"""Share by which the waiting time is spread, so that not everybody comes back at once."""

LONGEST_NEXT = 2_000
"""Characters of a path that a visitor is taken back to; longer ones are forgotten."""

_HTML, _JSON, _PROBLEM = "text/html", "application/json", "application/problem+json"


def refusal(request: HttpRequest, view: View) -> HttpResponse:
    """The answer to a request that is not admitted. Whatever was sent, it does not fail."""
    try:
        return _refusal(request, view)
    except Exception:
        logger.exception("Backsoon: an answer could not be made; the built-in page was sent.")
        return _last_resort(view)


def _refusal(request: HttpRequest, view: View) -> HttpResponse:
    path = request.path_info
    if path in site_routes().status:
        return status(view)
    if path in site_routes().page:
        return page(request, view)
    if wants_json(request):
        return problem(request, view)
    if request.method in ("GET", "HEAD") and is_navigation(request):
        location = _page_location(request)
        if location and conf.current().answer == "redirect":
            return _with_headers(HttpResponseRedirect(location), view.state)
    return page(request, view)


def page(request: HttpRequest, view: View, *, login_refused: bool = False) -> HttpResponse:
    """The maintenance page with status 503, at whatever address it was asked for."""
    language = language_of(request)
    prepared = shelf.page(view, language, login_refused=login_refused)
    compress = _takes_gzip(request)
    response = HttpResponse(
        prepared.compressed if compress else prepared.body,
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        content_type="text/html; charset=utf-8",
    )
    if compress:
        response["Content-Encoding"] = "gzip"
    response["Content-Language"] = language
    response["Content-Security-Policy"] = prepared.content_security_policy
    response["X-Content-Type-Options"] = "nosniff"
    response["Referrer-Policy"] = "same-origin"
    patch_vary_headers(response, ("Accept-Encoding", "Accept-Language", "Cookie", "Accept"))
    _tell_length(response)
    if request.method == "HEAD":
        response.content = b""
    return _with_headers(response, view.state)


def login_refusal(request: HttpRequest, view: View) -> HttpResponse:
    """The answer to right credentials of somebody who is not an administrator, in place."""
    if wants_json(request):
        return problem(request, view)
    return page(request, view, login_refused=True)


def problem(request: HttpRequest, view: View) -> HttpResponse:
    """The refusal as a problem document (RFC 9457)."""
    language = language_of(request)
    notice = view.snapshot.policy.notice(language)
    with translation.override(language):
        _title, detail = texts(notice, view.state)
    response = JsonResponse(
        {
            "type": "about:blank",
            "title": HTTPStatus.SERVICE_UNAVAILABLE.phrase,
            "status": int(HTTPStatus.SERVICE_UNAVAILABLE),
            "detail": detail,
            "maintenance": describe(view),
        },
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        content_type=_PROBLEM,
    )
    response["Content-Language"] = language
    patch_vary_headers(response, ("Accept", "Accept-Language", "Cookie"))
    return _with_headers(response, view.state)


def status(view: View) -> HttpResponse:
    """The state for machines, and for the page that waits to take its visitor back."""
    response = JsonResponse(describe(view))
    response["Cache-Control"] = "no-store"
    response["X-Maintenance"] = view.state.mode.value
    _tell_length(response)
    return response


def describe(view: View) -> dict[str, object]:
    """The public part of the state."""
    state = view.state
    return {
        "mode": state.mode.value,
        "since": state.since.isoformat() if state.since and not state.is_open else None,
        "until": state.until.isoformat() if state.until else None,
        "late": state.late,
        "revision": view.snapshot.mark.revision,
    }


def way_back(request: HttpRequest) -> str:
    """Where a visitor of the page goes once the site is open: ``next``, if it is of this site."""
    home = get_script_prefix()
    target = _parameter(request, "next")
    if (
        not target.startswith("/")
        or len(target) > LONGEST_NEXT
        or any(ord(sign) < 32 for sign in target)
        or not url_has_allowed_host_and_scheme(target, allowed_hosts=None)
    ):
        return home
    path = "/" + urlsplit(target).path[len(home) :] if target.startswith(home) else target
    return home if path in site_routes().page | site_routes().status else target


def _last_resort(view: View) -> HttpResponse:
    """The built-in page, made of nothing that could be broken."""
    prepared = prepare(fallback(view.snapshot, view.state, django_settings.LANGUAGE_CODE))
    response = HttpResponse(prepared.body, status=HTTPStatus.SERVICE_UNAVAILABLE)
    response["Content-Security-Policy"] = prepared.content_security_policy
    return _with_headers(response, view.state)


# -- What the client wants ---------------------------------------------------------------------


def wants_json(request: HttpRequest) -> bool:
    """Whether a program asks: by ``Accept``, by what it sends, or by a path that is an API."""
    if first_match(conf.current().api_paths, request.method or "GET", request.path_info):
        return True
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


def is_navigation(request: HttpRequest) -> bool:
    """Whether a person's browser opens a page, not a picture or a script of one.

    ``Sec-Fetch-Mode`` says so where the browser sends it (Fetch Metadata Request Headers).
    """
    mode = request.headers.get("Sec-Fetch-Mode", "")
    if mode:
        return mode == "navigate"
    try:
        return request.accepts(_HTML)
    except ValueError:
        return True


def language_of(request: HttpRequest) -> str:
    """The visitor's language: what the page's own links ask for, where they were going, then as
    Django decides (cookie, ``Accept-Language``, default).
    """
    if not django_settings.USE_I18N:
        return django_settings.LANGUAGE_CODE
    asked = _parameter(request, "language")
    if asked:
        try:
            return translation.get_supported_language_variant(asked)
        except (LookupError, ValueError):
            pass
    prefixed, _default = is_language_prefix_patterns_used(django_settings.ROOT_URLCONF)
    if prefixed:
        target = _parameter(request, "next")
        if target.startswith("/") and len(target) <= LONGEST_NEXT:
            found = translation.get_language_from_path(urlsplit(target).path)
            if found:
                return found
    return translation.get_language_from_request(request, check_path=prefixed)


def _parameter(request: HttpRequest, name: str) -> str:
    try:
        return request.GET.get(name, "")
    except SuspiciousOperation:  # more parameters than Django reads
        return ""


def _page_location(request: HttpRequest) -> str:
    with translation.override(language_of(request)):
        location = reversed_or_empty("backsoon:page")
    if not location:
        return ""
    target = request.get_full_path()
    if target == get_script_prefix() or len(target) > LONGEST_NEXT:
        return location
    return f"{location}?next={quote(target, safe='/')}"


def _takes_gzip(request: HttpRequest) -> bool:
    for coding in request.headers.get("Accept-Encoding", "").split(","):
        name, _semicolon, weight = coding.strip().partition(";")
        if name.strip().lower() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _tell_length(response: HttpResponse) -> None:
    """What ``CommonMiddleware``, further down, would do: without it servers send chunks."""
    response.setdefault("Content-Length", str(len(response.content)))


def _with_headers(response: HttpResponse, state: State) -> HttpResponse:
    wait = retry_after(state, store.utc_now())
    spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (spreads load, hides nothing)
    response["Retry-After"] = str(max(1, round(wait * spread)))
    response["Cache-Control"] = "no-store"
    response["X-Maintenance"] = state.mode.value
    _tell_length(response)
    # Django logs every 5xx as an error and mails it to ADMINS. A refusal is no error.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
