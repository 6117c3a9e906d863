"""A line on pages that are not ours: the administrators' reminder, the notice at the login door,
and the banner of a closure to come.

Only for those who need it, and only in HTML that can be changed without guessing: whole, with a
body.
"""

from __future__ import annotations

import gzip
import logging
import re
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.text import compress_string
from django.utils.translation import get_language_bidi

from backsoon import conf

from .routes import reversed_or_empty
from .users import may_change

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

    from backsoon.core.vocabulary import State

logger = logging.getLogger("backsoon")

MARKER = b"data-backsoon-bar"
"""What every badge of ours carries; a page that has it needs no second one."""

BADGE = "backsoon/badge.html"
DOOR_NOTICE = "backsoon/door_notice.html"

_BODY = re.compile(rb"<body\b(?:\"[^\"]*\"|'[^']*'|[^'\">])*>", re.IGNORECASE)
"""The start tag, also where an attribute holds a ``>``."""

_END_OF_HEAD = re.compile(rb"</head\s*>", re.IGNORECASE)


def ask_for_plain_pages(request: HttpRequest) -> None:
    """Keep layers below us from compressing the answer, or from saying "not modified"."""
    for header in ("HTTP_ACCEPT_ENCODING", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE"):
        request.META.pop(header, None)
    request.__dict__.pop("headers", None)  # a cached view of META


def add_badge(
    request: HttpRequest, response: HttpResponseBase, state: State, administrator: Any
) -> None:
    """Remind an administrator that visitors see the maintenance page."""
    if conf.current().badge:
        _insert(request, response, BADGE, _context(state, may_change=may_change(administrator)))


def add_door_notice(request: HttpRequest, response: HttpResponseBase, state: State) -> None:
    """Say on the login page who can log in now."""
    _insert(request, response, DOOR_NOTICE, _context(state, may_change=False))


def _insert(
    request: HttpRequest, response: HttpResponseBase, template: str, context: dict[str, Any]
) -> None:
    if not can_be_changed(response):
        return
    assert isinstance(response, HttpResponse)
    content = response.content
    place = _place_in(content)
    if MARKER in content or place is None:
        return
    try:
        html = render_to_string(template, context)
        line = html.encode(response.charset, "xmlcharrefreplace")
    except Exception:  # a reminder must not take the page away
        logger.exception("Backsoon: the template %s is broken.", template)
        return
    _set_content(response, content[:place] + line + content[place:])
    response["Cache-Control"] = "no-store"  # without the line it is another page tomorrow


def ask_for_changeable_pages(request: HttpRequest) -> None:
    """As :func:`ask_for_plain_pages`, for pages of ordinary visitors, who are many: they may come
    compressed, in the one way that can be undone here.
    """
    takes_gzip = "gzip" in request.META.get("HTTP_ACCEPT_ENCODING", "")
    ask_for_plain_pages(request)
    if takes_gzip:
        request.META["HTTP_ACCEPT_ENCODING"] = "gzip"


def insert_shared(response: HttpResponseBase, html: str, marker: bytes) -> None:
    """Put *html*, which is the same for everybody, into the page unless it has the *marker*.

    How long the page may be kept stays as it is: caches go on to help on the day before a closure.
    What it was compared by goes, because it is another page now.
    """
    is_compressed = response.get("Content-Encoding", "") == "gzip"
    if not can_be_changed(response, compressed=is_compressed):
        return
    assert isinstance(response, HttpResponse)
    content = gzip.decompress(response.content) if is_compressed else response.content
    place = _place_in(content)
    if marker in content or place is None:
        return
    line = html.encode(response.charset, "xmlcharrefreplace")
    content = content[:place] + line + content[place:]
    if is_compressed:
        # As Django's own GZipMiddleware does, against guessing secrets by length (BREACH).
        content = compress_string(content, max_random_bytes=100)
    _set_content(response, content)
    del response["Last-Modified"]


def _place_in(content: bytes) -> int | None:
    """Right after the start tag of the body; ``None`` for what is no whole page."""
    head = _END_OF_HEAD.search(content)  # a script in the head may well speak of "<body>"
    body = _BODY.search(content, head.end() if head else 0)
    return body.end() if body is not None else None


def _set_content(response: HttpResponse, content: bytes) -> None:
    response.content = content
    if response.has_header("Content-Length"):
        response["Content-Length"] = str(len(response.content))
    del response["ETag"]


def can_be_changed(response: HttpResponseBase, *, compressed: bool = False) -> bool:
    """Whether a line can be put into *response* without guessing; *compressed* if that is known."""
    return (
        isinstance(response, HttpResponse)
        and not response.streaming
        and response.has_header("Content-Encoding") is compressed
        and response.get("Content-Type", "").startswith("text/html")
        and not response.get("Content-Disposition", "").startswith("attachment")
    )


def _context(state: State, *, may_change: bool) -> dict[str, Any]:
    return {
        "state": state,
        "mode": state.mode.value,
        "since": state.since,
        "ends_at": state.until,
        "late": state.late,
        "overdue": state.overdue,
        "admin_url": reversed_or_empty("admin:index"),
        "settings_url": reversed_or_empty("backsoon_admin:settings") if may_change else "",
        "confirm_url": reversed_or_empty("backsoon_admin:confirm") if may_change else "",
        "direction": "rtl" if get_language_bidi() else "ltr",
    }
