"""Documents for machines: ``status.json``, ``calendar.ics`` and ``feed.atom``.

Anybody may read them, from pages of other origins too, whatever the state of the site. They are
bytes that were made once, and stay until something changes by itself or by somebody's hand. The
state comes from what the process knows; the other two need rows, which are read again at most every
:data:`FRESH_SECONDS`, however many ask.

The language is that of the address and nothing else of the request, so that one cached copy serves
everybody: ``?language=fr`` or ``?lang=fr``, the prefix of ``i18n_patterns``, ``LANGUAGE_CODE``.
"""

from __future__ import annotations

import datetime as dt
import functools
import gzip
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, quote

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.http import HttpResponse
from django.utils import translation
from django.utils.http import parse_etags

from backsoon import almanac, limits
from backsoon.clock import since_boot
from backsoon.core.news import Closure, next_news
from backsoon.core.vocabulary import Why
from backsoon.exceptions import StoreUnavailableError
from backsoon.gate import View, gate
from backsoon.snapshots import Mark

from . import asking, publications, responses
from .prepared import Answer, Prepared, Visit
from .routes import page_address, site_routes
from .turnstile import Turnstile

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger("backsoon")

FRESH_SECONDS = 30.0
"""After this time rows are read again although nothing is known to have changed: somebody may have
changed them by hand."""

STATUS_AGE = 5
"""Seconds for which the state may be kept by others: nobody knows when somebody opens by hand."""

FEED_AGE = 60
"""Seconds for which calendar and feed may be."""

RETRY_SECONDS = 30
"""When to try again where nothing could be read."""

PAUSE_SECONDS = 2.0
"""How long nobody reads after a reading that failed or hung."""

FIRST_PATIENCE_SECONDS = 0.25
"""How long the first ones of a process wait for whoever reads."""

LONGEST_QUERY = 200
"""Characters of a query that is looked at for a language."""

LONGEST_CONDITION = 2_000
"""Characters of ``If-None-Match`` that are looked at."""

MOST_PREPARED = 256
"""How many documents are kept ready; languages times three, unless script prefixes are many."""

METHODS = "GET, HEAD, OPTIONS"

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Date, ETag, Retry-After, X-Maintenance",
}
"""Pages of every origin may read; what anybody can fetch without a browser is no secret."""

PREFLIGHT = {
    "Access-Control-Allow-Methods": METHODS,
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}


class Name(StrEnum):
    """The documents that there are."""

    STATUS = auto()
    CALENDAR = auto()
    FEED = auto()


_TYPES = {
    Name.STATUS: "application/json",
    Name.CALENDAR: "text/calendar; charset=utf-8",
    Name.FEED: "application/atom+xml; charset=utf-8",
}


class Reading(NamedTuple):
    """The rows that calendar and feed are made of."""

    closures: tuple[Closure, ...]
    mark: Mark
    """What was known of changes before they were read."""
    at: float
    """When, on the clock of leases."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document, ready to be sent in every way."""

    source: tuple[object, ...]
    """What it was made of; the very same objects, not equal ones."""
    good_until: dt.datetime | None
    """When it says something else; ``None`` for never."""
    age: int
    """Seconds for which others may keep it, at most; 0 for not at all."""
    etag: str
    full: Prepared
    unchanged: Prepared

    def is_for(self, source: tuple[object, ...], now: dt.datetime) -> bool:
        """Whether it can be sent at *now*."""
        if self.good_until is not None and self.good_until <= now:
            return False
        return all(mine is its for mine, its in zip(self.source, source, strict=True))

    def cache_control(self, now: dt.datetime) -> str:
        """For how long others may keep it: never beyond the moment at which it changes."""
        seconds = self.age
        if self.good_until is not None:
            seconds = min(seconds, int((self.good_until - now).total_seconds()))
        if not self.age:
            return "no-store"
        return f"public, max-age={seconds}" if seconds > 0 else "no-cache"


_documents: dict[tuple[object, ...], Document] = {}
_reading: Reading | None = None
_readers = Turnstile(1, PAUSE_SECONDS)


# -- Answers -----------------------------------------------------------------------------------


def answer_to(visit: Visit, view: View) -> Answer:
    """The answer to a *visit* of a document while *view* is true. Asks no database."""
    if visit.method not in ("GET", "HEAD"):
        return _other_method(visit, view)
    name = _name(visit.path_info)
    document = _document(name, visit, view)
    if document is None:
        return Answer(_unavailable(view), {}, visit.method == "HEAD")
    changes = {"Cache-Control": document.cache_control(gate.now())}
    if visit.none_match and _matches(visit.none_match, document.etag):
        return Answer(document.unchanged, changes, without_body=True)
    return Answer(document.full, changes, visit.method == "HEAD")


def is_due(path: str, view: View) -> bool:
    """Whether a document at *path* (``path_info``) needs rows that can be read and have to be."""
    routes = site_routes()
    return (
        (path in routes.calendar or path in routes.feed)
        and not _is_fresh(_reading, view)
        and gate.store_is_reachable
        and not _readers.is_shut()
    )


def renew(view: View) -> None:
    """Read the rows again, if nobody else does and the database is there. Does not fail.

    Not from a thread that serves an event loop. What was read before stays in use where the
    database has nothing to say.
    """
    global _reading
    # Whoever finds another one reading takes what there is; if there is nothing, a moment's wait.
    if not _readers.enter(FIRST_PATIENCE_SECONDS if _reading is None else 0.0):
        return
    if _is_fresh(_reading, view):
        _readers.leave(fault=False)
        return
    fault = True
    try:
        with limits.bounded():
            closures = almanac.read(view.snapshot.policy, gate.now())
        known = _reading
        if known is not None and known.closures == closures:
            closures = known.closures  # what was made of them is still right
        _reading = Reading(closures, view.snapshot.mark, since_boot())
        fault = False
    except StoreUnavailableError as error:
        logger.warning("Backsoon: planned closures cannot be read for calendars: %s", error)
    except Exception:
        logger.exception("Backsoon: planned closures cannot be read for calendars.")
    finally:
        _readers.leave(fault=fault)


def _is_fresh(reading: Reading | None, view: View) -> bool:
    return (
        reading is not None
        and reading.mark == view.snapshot.mark
        and since_boot() - reading.at < FRESH_SECONDS
    )


def _name(path: str) -> Name:
    routes = site_routes()
    if path in routes.status:
        return Name.STATUS
    return Name.CALENDAR if path in routes.calendar else Name.FEED


def _matches(condition: str, etag: str) -> bool:
    """Whether ``If-None-Match`` names *etag*, weakly compared (RFC 9110, 13.1.2)."""
    if len(condition) > LONGEST_CONDITION:
        return False
    tags = parse_etags(condition)
    return tags == ["*"] or any(tag.removeprefix("W/") == etag for tag in tags)


# -- Making them -------------------------------------------------------------------------------


def _document(name: Name, visit: Visit, view: View) -> Document | None:
    """The document that *visit* asks for; ``None`` where nothing was read that it could tell."""
    language = language_of(visit.query, visit.path_info)
    packed = visit.wish.gzip and name is not Name.STATUS
    address = visit.path if name is Name.FEED else ""
    reading = _reading
    source: tuple[object, ...]
    if name is Name.STATUS:
        source = (view.snapshot, view.state)
    elif reading is None:
        return None
    else:
        source = (reading.closures, view.snapshot)
    key = (name, language, packed, address)
    document = _documents.get(key)
    if document is None or not document.is_for(source, gate.now()):
        document = _MAKERS[name](view, language, visit, source, packed)
        if len(_documents) >= MOST_PREPARED:
            _documents.clear()
        _documents[key] = document
    return document


def _make_status(
    view: View, language: str, visit: Visit, source: tuple[object, ...], packed: bool
) -> Document:
    until = publications.status_changes(view)
    body = publications.as_json(publications.status(view, language))
    # A process that knows nothing will soon know more.
    age = 0 if view.state.why is Why.UNKNOWN else STATUS_AGE
    return _prepared(Name.STATUS, body, view, language, source, until, age, packed)


def _make_calendar(
    view: View, language: str, visit: Visit, source: tuple[object, ...], packed: bool
) -> Document:
    body = publications.calendar(_closures(source), view, language)
    return _prepared(Name.CALENDAR, body, view, language, source, None, FEED_AGE, packed)


def _make_feed(
    view: View, language: str, visit: Visit, source: tuple[object, ...], packed: bool
) -> Document:
    closures = _closures(source)
    until = next_news(closures, gate.now(), publications.default_notice())
    itself = quote(visit.path, safe="/") + f"?lang={language}"
    page = page_address(language, visit.prefix)
    body = publications.feed(closures, view, language, itself=itself, page=page)
    return _prepared(Name.FEED, body, view, language, source, until, FEED_AGE, packed)


_MAKERS: dict[Name, Callable[[View, str, Visit, tuple[object, ...], bool], Document]] = {
    Name.STATUS: _make_status,
    Name.CALENDAR: _make_calendar,
    Name.FEED: _make_feed,
}


def _closures(source: tuple[object, ...]) -> tuple[Closure, ...]:
    closures = source[0]
    assert isinstance(closures, tuple)
    return closures


def _prepared(
    name: Name,
    body: bytes,
    view: View,
    language: str,
    source: tuple[object, ...],
    until: dt.datetime | None,
    age: int,
    packed: bool,
) -> Document:
    # Strong: the same tag promises the same bytes, so the compressed ones have another.
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}{"-gzip" if packed else ""}"'
    headers = {"ETag": etag, "Cache-Control": "no-store", **_usual(view)}
    if name is not Name.STATUS:
        headers["Vary"] = "Accept-Encoding"
    about = {"Content-Language": language, "X-Content-Type-Options": "nosniff"}
    if packed:
        body = gzip.compress(body, compresslevel=9, mtime=0)
        about["Content-Encoding"] = "gzip"
    full = HttpResponse(body, content_type=_TYPES[name], headers={**headers, **about})
    full["Content-Length"] = str(len(body))
    unchanged = HttpResponse(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    # Django gives every response a type; one without a body has none.
    del unchanged["Content-Type"]
    return Document(source, until, age, etag, _copies(full), _copies(unchanged))


def _other_method(visit: Visit, view: View) -> Answer:
    if visit.method == "OPTIONS":
        response = HttpResponse(
            status=HTTPStatus.NO_CONTENT,
            headers={"Allow": METHODS, **PREFLIGHT, **_usual(view)},
        )
        del response["Content-Type"]
    else:
        response = HttpResponse(
            status=HTTPStatus.METHOD_NOT_ALLOWED,
            headers={"Allow": METHODS, "Content-Length": "0", **_usual(view)},
            content_type="text/plain; charset=utf-8",
        )
        response["Cache-Control"] = "no-store"
        response._has_been_logged = True  # type: ignore[attr-defined]
    return Answer(_copies(response), {}, without_body=True)


def _unavailable(view: View) -> Prepared:
    response = HttpResponse(
        b"Planned closures cannot be read at the moment. Please try again later.\n",
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        content_type="text/plain; charset=utf-8",
        headers={"Retry-After": str(RETRY_SECONDS), "Cache-Control": "no-store", **_usual(view)},
    )
    response["Content-Length"] = str(len(response.content))
    response._has_been_logged = True  # type: ignore[attr-defined]
    return _copies(response)


def _usual(view: View) -> dict[str, str]:
    return {**CORS, "X-Maintenance": view.state.mode.value}


def _copies(response: HttpResponse) -> Prepared:
    return Prepared(responses.copier(response), False, {})


# -- In a view ---------------------------------------------------------------------------------


def respond(request: HttpRequest, visit: Visit, view: View) -> HttpResponse:
    """The answer of a view, which may wait a moment for the database."""
    if is_due(request.path_info, view):
        renew(view)
    return answer_to(visit, view).response()


# -- The language ------------------------------------------------------------------------------


def language_of(query: str, path: str) -> str:
    """The language that the address asks for; the site's own where it names none that there is."""
    if not query and not asking.language_is_in_paths():
        return django_settings.LANGUAGE_CODE
    return _named_language(query[:LONGEST_QUERY] if len(query) <= LONGEST_QUERY else "", path)


@functools.lru_cache(maxsize=256)
def _named_language(query: str, path: str) -> str:
    if not django_settings.USE_I18N:
        return django_settings.LANGUAGE_CODE
    for name, value in parse_qsl(query, max_num_fields=None):
        if name in ("lang", "language"):
            try:
                return translation.get_supported_language_variant(value.lower())
            except (LookupError, ValueError):
                break
    if asking.language_is_in_paths():
        found = translation.get_language_from_path(path)
        if found:
            return found
    return django_settings.LANGUAGE_CODE


def forget() -> None:
    """Know and keep nothing, as a process that was just born."""
    global _reading
    _reading = None
    _documents.clear()
    _named_language.cache_clear()


def _forget(**kwargs: object) -> None:
    forget()


setting_changed.connect(_forget, dispatch_uid="backsoon.documents")
