"""The form on the page: "Tell me when you are back".

Answered right here in the middleware, before any layer of the project's: no session, no login, no
view, nothing that could write to the project's data. What is written is one row of ours, within a
fifth of a second, or the visitor reads that it cannot be done now. Nobody waits for such a request
when the site closes (it is set apart), and a database that is locked costs one visitor that time,
not all of them: see :mod:`backsoon.http.turnstile`.

There is no CSRF token: the page is one for all, prepared, and a token is worth something only where
a browser brings what its owner is trusted for, a cookie of a login. Here nothing is asked for but
an address, and whoever can send a form can send any. What has to be prevented is a flood of mail
and of rows, by whatever hands:

- an address is noted once, in whatever spelling, and gets one mail at most for a closure;
- a client has a few tries, then one a minute (:data:`TRIES`); a body is short and of one kind;
- there is an end to the rows (``BACKSOON["TELL_ME_MOST"]``);
- browsers say from where a form comes, and those of other sites are refused, so that nobody lends
  the addresses of his visitors to get around the limits;
- a field that people do not see catches programs that fill in everything.

A signed time stamp would add nothing: it would be the same for everybody, for as long as the page
is kept ready. No answer depends on whether an address was noted before.

No address gets into a log from here, nor the text of an error that might hold one.
"""

from __future__ import annotations

import logging
import threading
import time
from enum import Enum
from http import HTTPStatus
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from asgiref.sync import sync_to_async
from django.core.exceptions import SuspiciousOperation, ValidationError
from django.core.signals import setting_changed
from django.http import HttpResponseRedirect
from django.utils import translation
from django.utils.html import escape
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from backsoon import conf, limits, store, subscribers
from backsoon.core.buckets import Buckets, bucket_name
from backsoon.core.matching import client_address
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import BacksoonError
from backsoon.gate import gate

from . import answers, asking, pages, routes
from .turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest, HttpResponse
    from django.utils.functional import Promise

    from backsoon.gate import View

    from .prepared import Visit

logger = logging.getLogger("backsoon")

FIELD = "email"
TRAP = "website"
"""The field that people do not see."""

LONGEST_BODY = 2_048
"""Bytes; an address of the longest kind, encoded, takes less than half."""

TRIES = 10
SECONDS_FOR_A_TRY = 60.0
"""A client may try as often in a row, and then once in this time, in each process."""

SHARED_TRIES = 300
SHARED_SECONDS_FOR_A_TRY = 1.0
"""The same for all those together whose address is not a public one: it may be that of a proxy."""

PATIENCE_SECONDS = limits.MILLISECONDS / 1000
"""What noting an address may take, the wait for a free place included, each."""

RETRY_SECONDS = 60
"""When to look in again after an address could not be noted."""

noting = Turnstile(1, pause=1.0)

_one_at_a_time = threading.Lock()
_by_client = Buckets(TRIES, SECONDS_FOR_A_TRY)
_by_others = Buckets(SHARED_TRIES, SHARED_SECONDS_FOR_A_TRY)


class Words(NamedTuple):
    """What a visitor reads in place of the page's title and message."""

    status: HTTPStatus
    title: str
    message: str


_UNABLE = gettext_noop("We cannot note your address")


_LIMITED = Words(
    HTTPStatus.TOO_MANY_REQUESTS,
    gettext_noop("Please wait a moment"),
    gettext_noop(
        "Many addresses have come from your network in a short time. Please try again in a few "
        "minutes."
    ),
)


class Outcome(Enum):
    """What can become of a form."""

    NOTED = Words(
        HTTPStatus.OK,
        gettext_noop("We will write to you"),
        gettext_noop(
            "Your address is noted. We will write once, when we are back, and then delete it."
        ),
    )
    BACK = Words(
        HTTPStatus.OK,
        gettext_noop("We are back"),
        gettext_noop("The site is open again, so your address was not noted."),
    )
    UNABLE = Words(
        HTTPStatus.SERVICE_UNAVAILABLE,
        _UNABLE,
        gettext_noop("We cannot note your address at the moment; please look in again."),
    )
    FULL = Words(
        HTTPStatus.SERVICE_UNAVAILABLE,
        _UNABLE,
        gettext_noop(
            "So many visitors have asked already that no more addresses can be noted. Please look "
            "in again."
        ),
    )
    ELSEWHERE = Words(
        HTTPStatus.FORBIDDEN,
        _UNABLE,
        gettext_noop("This did not come from our page. Please use the form there."),
    )


class Limited(NamedTuple):
    """The client has tried too often."""

    seconds: float
    """After how many it may try again."""


class Wrong(NamedTuple):
    """What was typed and cannot be taken."""

    typed: str
    error: str | Promise


class Address(NamedTuple):
    """One that can be noted."""

    text: str
    language: str


Found = Outcome | Limited | Wrong | Address | None
"""What a request came to; ``None`` where it asks only for the page."""


def is_asked(request: HttpRequest) -> bool:
    """Whether *request* is for the form's address."""
    return request.path_info in routes.tell_me_paths()


def answer(request: HttpRequest, view: View) -> HttpResponse:
    """The answer to whatever came to the form's address. It does not fail."""
    try:
        found = _read(request, view)
        return _answered(request, view, note(found) if isinstance(found, Address) else found)
    except Exception as error:  # noqa: BLE001
        return _last_resort(request, view, error)


async def aanswer(request: HttpRequest, view: View) -> HttpResponse:
    """As :func:`answer`, for async code: the database is asked in the request's thread."""
    try:
        found = _read(request, view)
        if isinstance(found, Address):
            found = await sync_to_async(note)(found)
        return _answered(request, view, found)
    except Exception as error:  # noqa: BLE001
        return _last_resort(request, view, error)


def note(address: Address) -> Outcome:
    """Note *address*, waiting for nothing longer than a moment."""
    if not gate.store_is_reachable or not noting.enter(PATIENCE_SECONDS):
        return Outcome.UNABLE
    failure: Exception | None = None
    begun = time.monotonic()
    try:
        with limits.bounded(limits.MILLISECONDS, [store.alias()]):
            subscribers.subscribe(address.text, address.language, store.utc_now())
    except subscribers.NoMorePlacesError:
        return Outcome.FULL
    except Exception as error:  # noqa: BLE001  (a router of the project's, a table that is missing)
        failure = error
        return Outcome.UNABLE
    else:
        return Outcome.NOTED
    finally:
        stuck = time.monotonic() - begun >= PATIENCE_SECONDS / 2
        if noting.leave(fault=failure is not None, stuck=stuck):
            _report(failure)


def clear() -> None:
    """Forget who has tried."""
    with _one_at_a_time:
        _by_client.clear()
        _by_others.clear()


# -- What came ---------------------------------------------------------------------------------


def _read(request: HttpRequest, view: View) -> Found:
    if request.method != "POST":
        return None
    if view.state.mode is not Mode.CLOSED:
        return Outcome.BACK
    if not _is_from_the_page(request):
        return Outcome.ELSEWHERE
    seconds = _wait(request)
    if seconds:
        return Limited(seconds)
    try:
        fields = _fields(request)
    except (OSError, ValueError):  # the client has gone; too many fields; not what a form sends
        return Outcome.ELSEWHERE
    typed = fields.get(FIELD, "")[: 2 * subscribers.LONGEST_ADDRESS]
    if fields.get(TRAP):
        # A browser that fills in forms may have done it, so that is said, and empties the field.
        return Wrong(typed, gettext_lazy("Please press the button once more."))
    try:
        address = subscribers.clean_address(typed)
    except ValidationError as error:
        return Wrong(typed, error.message)
    return Address(address, asking.wish_of(request).language)


def _is_from_the_page(request: HttpRequest) -> bool:
    """Whether the form was sent by a page of this site, or by no page at all.

    Browsers say so (Fetch Metadata Request Headers; RFC 6454, 7). Whoever is none may say anything,
    and gains nothing by it.
    """
    site = request.headers.get("Sec-Fetch-Site", "")
    if site:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).hostname == urlsplit(f"//{request.get_host()}").hostname
    except (SuspiciousOperation, ValueError):
        return False


def _wait(request: HttpRequest) -> float:
    """For how many seconds this client has to wait; 0 when it may try now."""
    address = client_address(
        request.META.get("REMOTE_ADDR", ""),
        request.META.get("HTTP_X_FORWARDED_FOR", ""),
        conf.current().trusted_proxies,
    )
    name = bucket_name(address)
    buckets = _by_client if name else _by_others
    with _one_at_a_time:
        return buckets.take(name, time.monotonic())


def _fields(request: HttpRequest) -> Mapping[str, str]:
    """The fields of the form, by name.

    Read by hand: Django would take files and charsets as well, and as much of them as the project
    allows. Raises ``OSError`` and ``ValueError``.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise ValueError("not what the form on the page sends")
    if int(request.META.get("CONTENT_LENGTH") or 0) > LONGEST_BODY:
        raise ValueError("too long")
    body = request.read(LONGEST_BODY + 1)
    if len(body) > LONGEST_BODY:
        raise ValueError("too long")
    found = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=8)
    return {name: values[0].replace("\0", "") for name, values in found.items()}


# -- What goes out -----------------------------------------------------------------------------


def _answered(request: HttpRequest, view: View, found: Found) -> HttpResponse:
    if isinstance(found, Wrong):
        return _wrong(request, view, found)
    if isinstance(found, Limited):
        response = _told(request, view, _LIMITED)
        response["Retry-After"] = str(ceil(found.seconds))
        return response
    if found is Outcome.BACK:
        return _back(request, view)
    if isinstance(found, Outcome):
        return _told(request, view, found.value)
    if view.state.mode is not Mode.CLOSED:
        return HttpResponseRedirect(answers.way_back(request))
    return answers.page(request, view)


def _told(request: HttpRequest, view: View, words: Words) -> HttpResponse:
    """The page with *words*, prepared at first use, as the page itself is."""
    visit = answers.visit_of(request)
    shelf = pages.shelf.of(view).answers
    key = (words, visit.wish.language, visit.prefix)
    page = shelf.get(key)
    if page is None:
        if len(shelf) >= answers.MOST_PREPARED:
            shelf.clear()
        page = shelf[key] = _page(visit, view, words)
    return _response(page, visit, view, words.status)


def _back(request: HttpRequest, view: View) -> HttpResponse:
    visit, words = answers.visit_of(request), Outcome.BACK.value
    more: dict[str, Any] = {
        "mode": "back", "status_url": "", "login_url": "", "languages": [], "contact_href": "",
        "ends_at": None, "button_url": answers.way_back(request),
    }  # fmt: skip
    return _response(_page(visit, view, words, **more), visit, view, words.status)


def _wrong(request: HttpRequest, view: View, wrong: Wrong) -> HttpResponse:
    """The page with the form as it was filled in, and what is wrong at the field."""
    visit = answers.visit_of(request)
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    with routes.below(visit.prefix), translation.override(visit.wish.language):
        error = str(wrong.error)
        filled = {"tell_me_error": error, "tell_me_value": wrong.typed}
        html = pages.render(view.snapshot, view.state, visit.wish.language, changes=filled)
    if escape(error) in html:
        page = pages.prepare(html)
    else:  # a template of the project's without our form
        page = _page(visit, view, Words(status, _UNABLE, error))
    return _response(page, visit, view, status)


def _page(visit: Visit, view: View, words: Words, **more: Any) -> pages.Page:
    language = visit.wish.language
    with routes.below(visit.prefix), translation.override(language):
        title, message = _(words.title), _(words.message)
        changes: dict[str, Any] = {
            "title": title,
            "message": message,
            "message_html": pages.message_html(message),
            "tell_me_url": "",
            "revision": "",  # do not load it anew: nothing else says again what it says
        }
        if "button_url" in more:
            changes["button_text"] = _("Go to the site")
        html = pages.render(view.snapshot, view.state, language, changes=changes | more)
        return pages.prepare(html)


def _response(page: pages.Page, visit: Visit, view: View, status: HTTPStatus) -> HttpResponse:
    response = answers.html(page, visit.wish, status)
    response["Cache-Control"] = "no-store"
    response["X-Maintenance"] = view.state.mode.value
    response["Content-Length"] = str(len(response.content))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response["Retry-After"] = str(RETRY_SECONDS)
    # Django logs every 4xx as a warning and mails every 5xx to ADMINS. These are no errors.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _last_resort(request: HttpRequest, view: View, error: Exception) -> HttpResponse:
    _report(error)
    return answers.refusal(request, view)


def _report(failure: Exception | None) -> None:
    # Not the error's own words, nor where it came from: an address may stand there.
    cause = getattr(failure, "__cause__", None) or failure
    known = isinstance(failure, BacksoonError)
    (logger.warning if known else logger.error)(
        "Backsoon: an address that a visitor left on the page could not be noted (%s).",
        type(cause).__name__,
    )


def _forget(**kwargs: Any) -> None:
    clear()


setting_changed.connect(_forget, dispatch_uid="backsoon.tell_me")
