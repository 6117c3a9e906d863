"""A database that cannot be reached, told as what it is: a disturbance that will pass.

With ``BACKSOON["OUTAGE_PAGE"]`` a view that fails because its database is away answers with the
page and 503 instead of "Server Error (500)". Nothing else changes: the error is logged, mailed and
signalled as Django does with every error of a view, and all other errors stay Django's.
"""

from __future__ import annotations

import functools
import logging
import random
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.signals import got_request_exception, setting_changed
from django.http import HttpResponse, JsonResponse
from django.template.loader import get_template
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext, gettext_noop

from backsoon import conf
from backsoon.core.vocabulary import Mode, Notice, Policy, State, Why
from backsoon.snapshots import Snapshot

from . import answers, asking, pages
from .fallback_page import fallback_html
from .unreachable import is_unreachable

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger("backsoon")
request_logger = logging.getLogger("django.request")

RETRY_SECONDS = 30
"""When to try again: nobody knows, but databases are restarted in less."""

MODE = "outage"
"""What ``X-Maintenance`` says."""
_TITLE = gettext_noop("We have a technical problem")
_MESSAGE = gettext_noop(
    "A part of our system does not answer at the moment, so we cannot show you what you asked for. "
    "Please try again in a minute."
)


def answer(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """The answer to *request*, whose view raised *error*; ``None`` where Django is to answer.

    To be called while *error* is being handled, because whoever hears of it asks for the traceback.
    """
    if not conf.current().outage_page or django_settings.DEBUG_PROPAGATE_EXCEPTIONS:
        return None
    if not is_unreachable(error):
        return None
    got_request_exception.send(sender=None, request=request)
    response = _answer(request)
    _log(request, response, error)
    return response


def _log(request: HttpRequest, response: HttpResponse, error: Exception) -> None:
    # As django.utils.log does, so that every handler and filter of the project takes it alike.
    request_logger.error(
        "%s: %s",
        response.reason_phrase,
        request.path.encode("unicode_escape").decode("ascii"),
        extra={"status_code": response.status_code, "request": request},
        exc_info=error,
    )
    response._has_been_logged = True  # type: ignore[attr-defined]


def _answer(request: HttpRequest) -> HttpResponse:
    try:
        language = asking.language_of(request)
        make = _problem if asking.wants_json(request) else _page
        response = make(language)
    except Exception:  # a broken translation, a URL configuration that cannot be imported
        logger.exception("Backsoon: the outage page could not be made; a built-in one was sent.")
        response = HttpResponse(fallback_html(_TITLE, _MESSAGE, "en"))
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    spread = random.uniform(1 - answers.JITTER, 1 + answers.JITTER)  # noqa: S311  (spreads load)
    response["Retry-After"] = str(round(RETRY_SECONDS * spread))
    response["Cache-Control"] = "no-store"
    response["X-Maintenance"] = MODE
    return response


def _page(language: str) -> HttpResponse:
    page = _prepared(language)
    response = HttpResponse(page.body, content_type="text/html; charset=utf-8")
    response["Content-Language"] = language
    response["Content-Security-Policy"] = page.content_security_policy
    response["X-Content-Type-Options"] = "nosniff"
    response["Referrer-Policy"] = "same-origin"
    patch_vary_headers(response, ("Accept-Language", "Cookie", "Accept"))
    return response


def _problem(language: str) -> HttpResponse:
    with translation.override(language):
        _title, detail = _texts()
    response = JsonResponse(
        {
            "type": "about:blank",
            "title": HTTPStatus.SERVICE_UNAVAILABLE.phrase,
            "status": int(HTTPStatus.SERVICE_UNAVAILABLE),
            "detail": detail,
        },
        content_type="application/problem+json",
    )
    response["Content-Language"] = language
    patch_vary_headers(response, ("Accept", "Accept-Language", "Cookie"))
    return response


@functools.lru_cache(maxsize=32)
def _prepared(language: str) -> pages.Page:
    with translation.override(language), timezone.override(None):
        title, message = _texts()
        try:
            html = get_template(pages.TEMPLATE).render(_context(title, message, language))
        except Exception:
            logger.exception(
                "Backsoon: the template %s is broken; visitors get the built-in page. See: "
                "manage.py maintenance doctor", pages.TEMPLATE,
            )  # fmt: skip
            direction = "rtl" if translation.get_language_bidi() else "ltr"
            html = fallback_html(title, message, language, direction)
    return pages.prepare(html)


def _context(title: str, message: str, language: str) -> dict[str, Any]:
    """The page's context with words of ours: what is stored speaks of a closure."""
    policy = Policy(notices={"": Notice(title=title, message=message)})
    context = pages.page_context(Snapshot(policy=policy), State(Mode.CLOSED, Why.UNKNOWN), language)
    # Nothing to wait for (the site is open), nobody to log in, no number to compare.
    return context | {
        "mode": MODE, "status_url": "", "login_url": "", "tell_me_url": "", "revision": None,
        "languages": [],
    }  # fmt: skip


def _texts() -> tuple[str, str]:
    return gettext(_TITLE), gettext(_MESSAGE)


def _forget(**kwargs: Any) -> None:
    _prepared.cache_clear()


setting_changed.connect(_forget, dispatch_uid="backsoon.outage")
