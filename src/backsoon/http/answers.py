"""What a refused client gets: a redirect to the page, the page, or a problem in JSON.

One exit, one place for headers: every answer made here says how long to wait, that it must not be
stored, and that it is maintenance, not a fault.

Answers depend on the state and on a few wishes of the client, so each is made once; what goes out
is a copy with the address and the waiting time of the moment. Middleware and guard take the same.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable
from enum import StrEnum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from django.conf import settings as django_settings
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import get_script_prefix
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.encoding import escape_uri_path, iri_to_uri
from django.utils.http import url_has_allowed_host_and_scheme

from backsoon import conf, store
from backsoon.core.state import DEFAULT_RETRY_SECONDS, notice_of, retry_after

from . import asking, documents, responses
from .asking import LONGEST_NEXT
from .pages import Page, fallback, prepare, shelf, texts
from .prepared import Answer, Prepared, Visit
from .publications import describe
from .routes import page_address, site_routes

if TYPE_CHECKING:
    from django.http import HttpRequest

    from backsoon.core.vocabulary import State
    from backsoon.gate import View

logger = logging.getLogger("backsoon")

JITTER = 0.1
"""Share by which the waiting time is spread, so that not everybody comes back at once."""

LONGEST_ADDRESS = 2_048
"""Characters of an address that we redirect to; Django's own limit."""

MOST_PREPARED = 256
"""How many answers are kept ready; languages times a few, unless script prefixes are many."""


class Kind(StrEnum):
    """The answers that there are."""

    DOCUMENT = auto()
    """One of :mod:`backsoon.http.documents`."""
    PAGE = auto()
    PROBLEM = auto()
    REDIRECT = auto()


def refusal(request: HttpRequest, view: View) -> HttpResponse:
    """The answer to a request that is not admitted. Whatever was sent, it does not fail."""
    return _surely(lambda: answer_to(visit_of(request), view).response(), view)


def answer_to(visit: Visit, view: View) -> Answer:
    """The answer to a *visit* that is not admitted while *view* is true."""
    kind = _kind(visit)
    if kind is Kind.DOCUMENT:
        return documents.answer_to(visit, view)
    location = _page_location(visit) if kind is Kind.REDIRECT else ""
    if kind is Kind.REDIRECT and not location:
        kind = Kind.PAGE
    return _answer(kind, visit, view, location)


def page(request: HttpRequest, view: View, *, login_refused: bool = False) -> HttpResponse:
    """The maintenance page with status 503, at whatever address it was asked for."""
    return _answer(Kind.PAGE, visit_of(request), view, login_refused=login_refused).response()


def in_place(request: HttpRequest, view: View, *, login_refused: bool = False) -> HttpResponse:
    """The answer at a login page: the page or a problem, never a redirect. It does not fail.

    *login_refused*: to right credentials of somebody who is not an administrator.
    """

    def make() -> HttpResponse:
        if asking.wants_json(request):
            return problem(request, view)
        return page(request, view, login_refused=login_refused)

    return _surely(make, view)


def problem(request: HttpRequest, view: View) -> HttpResponse:
    """The refusal as a problem document (RFC 9457)."""
    return _answer(Kind.PROBLEM, visit_of(request), view).response()


def way_back(request: HttpRequest) -> str:
    """Where a visitor of the page goes once the site is open: ``next``, if it is of this site."""
    home = get_script_prefix()
    target = asking.parameter(request, "next")
    if (
        not target.startswith("/")
        or len(target) > LONGEST_NEXT
        or any(ord(sign) < 32 for sign in target)
        or not url_has_allowed_host_and_scheme(target, allowed_hosts=None)
    ):
        return home
    path = "/" + urlsplit(target).path[len(home) :] if target.startswith(home) else target
    return home if path in site_routes().page | site_routes().documents else target


# -- Which answer ------------------------------------------------------------------------------


def visit_of(request: HttpRequest) -> Visit:
    """What the answer to *request* depends on."""
    meta = request.META
    script = meta.get("SCRIPT_NAME") or ""
    return Visit(
        request.method or "GET",
        request.path_info,
        request.path,
        meta.get("QUERY_STRING") or "",
        script if script[-1:] == "/" else f"{script}/",  # as set_script_prefix() has it
        asking.wish_of(request),
        meta.get("HTTP_IF_NONE_MATCH") or "",
    )


def _kind(visit: Visit) -> Kind:
    method, path, wish, routes = visit.method, visit.path_info, visit.wish, site_routes()
    if path in routes.documents:
        return Kind.DOCUMENT
    if path in routes.page:
        return Kind.PAGE
    if wish.program or asking.is_for_programs(method, path):
        return Kind.PROBLEM
    if wish.navigates and method in ("GET", "HEAD") and conf.current().answer == "redirect":
        return Kind.REDIRECT
    return Kind.PAGE


_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch
"""Matches what quoting leaves as it is (RFC 3986, 2.3)."""


def _page_location(visit: Visit) -> str:
    """The address of the page with the way back; ``""`` when the project has no page."""
    address = page_address(visit.wish.language, visit.prefix)
    path, query = visit.path, visit.query
    if not address or (path == visit.prefix and not query):
        return address
    target = quoted = path
    if query or not _PLAIN(path):
        # As HttpRequest.get_full_path() does.
        target = escape_uri_path(path) + (f"?{iri_to_uri(query)}" if query else "")
        quoted = quote(target, safe="/")
    location = f"{address}?next={quoted}"
    too_long = len(target) > LONGEST_NEXT or len(location) > LONGEST_ADDRESS
    return address if too_long else location


def _answer(
    kind: Kind, visit: Visit, view: View, location: str = "", *, login_refused: bool = False
) -> Answer:
    wish = visit.wish
    answers = shelf.of(view).answers
    key = (kind, wish.language, wish.gzip, visit.prefix, login_refused)
    prepared: Prepared | None = answers.get(key)
    if prepared is None:
        model = _MODELS[kind](view, wish, visit.prefix, login_refused)
        prepared = Prepared(responses.copier(model), "Retry-After" in model, {})
        if len(answers) >= MOST_PREPARED:
            answers.clear()
        answers[key] = prepared
    changes = {"Retry-After": _wait(view.state)} if prepared.waits else {}
    if location:
        changes["Location"] = location
    return Answer(prepared, changes, visit.method == "HEAD")


def _wait(state: State) -> str:
    """For how long to stay away, a little different for everybody."""
    seconds = DEFAULT_RETRY_SECONDS
    if state.until is not None:
        seconds = retry_after(state, store.utc_now())
    spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (spreads load, hides nothing)
    return str(max(1, round(seconds * spread)))


# -- The answers, made once --------------------------------------------------------------------


def _model_of_page(view: View, wish: asking.Wish, prefix: str, login_refused: bool) -> HttpResponse:
    prepared = shelf.page(view, wish.language, login_refused=login_refused, prefix=prefix)
    return _with_headers(html(prepared, wish, HTTPStatus.SERVICE_UNAVAILABLE), view.state)


def html(prepared: Page, wish: asking.Wish, status: HTTPStatus) -> HttpResponse:
    """*prepared* as this client can read it. How long it holds is for the caller to say."""
    response = HttpResponse(
        prepared.compressed if wish.gzip else prepared.body,
        status=status,
        content_type="text/html; charset=utf-8",
    )
    if wish.gzip:
        response["Content-Encoding"] = "gzip"
    response["Content-Language"] = wish.language
    response["Content-Security-Policy"] = prepared.content_security_policy
    response["X-Content-Type-Options"] = "nosniff"
    response["Referrer-Policy"] = "same-origin"
    patch_vary_headers(response, ("Accept-Encoding", "Accept-Language", "Cookie", "Accept"))
    return response


def _model_of_problem(
    view: View, wish: asking.Wish, prefix: str, login_refused: bool
) -> HttpResponse:
    notice = notice_of(view.snapshot.policy, view.state, wish.language)
    with translation.override(wish.language):
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
        content_type="application/problem+json",
    )
    response["Content-Language"] = wish.language
    patch_vary_headers(response, ("Accept", "Accept-Language", "Cookie"))
    return _with_headers(response, view.state)


def _model_of_redirect(
    view: View, wish: asking.Wish, prefix: str, login_refused: bool
) -> HttpResponse:
    return _with_headers(HttpResponseRedirect(prefix), view.state)


_MODELS: dict[Kind, Callable[[View, asking.Wish, str, bool], HttpResponse]] = {
    Kind.PAGE: _model_of_page,
    Kind.PROBLEM: _model_of_problem,
    Kind.REDIRECT: _model_of_redirect,
}


def _surely(make: Callable[[], HttpResponse], view: View) -> HttpResponse:
    try:
        return make()
    except Exception:
        logger.exception("Backsoon: an answer could not be made; the built-in page was sent.")
        return _last_resort(view)


def _last_resort(view: View) -> HttpResponse:
    """The built-in page, made of nothing that could be broken."""
    prepared = prepare(fallback(view.snapshot, view.state, django_settings.LANGUAGE_CODE))
    response = HttpResponse(prepared.body, status=HTTPStatus.SERVICE_UNAVAILABLE)
    response["Content-Security-Policy"] = prepared.content_security_policy
    return _with_headers(response, view.state)


def _tell_length(response: HttpResponse) -> None:
    """What ``CommonMiddleware``, further down, would do: without it servers send chunks."""
    response.setdefault("Content-Length", str(len(response.content)))


def _with_headers(response: HttpResponse, state: State) -> HttpResponse:
    response["Retry-After"] = _wait(state)
    response["Cache-Control"] = "no-store"
    response["X-Maintenance"] = state.mode.value
    _tell_length(response)
    # Django logs every 5xx as an error and mails it to ADMINS. A refusal is no error.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
