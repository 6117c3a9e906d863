"""A line on pages that are not ours: the administrators' reminder, the notice at the login door.

Only for those who need it, only while the site is not open, and only in HTML that can be changed
without guessing: whole, uncompressed, with a body.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from django.template.loader import render_to_string
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
    if MARKER in content:
        return
    head = _END_OF_HEAD.search(content)  # a script in the head may well speak of "<body>"
    body = _BODY.search(content, head.end() if head else 0)
    if body is None:
        return
    try:
        html = render_to_string(template, context)
        line = html.encode(response.charset, "xmlcharrefreplace")
    except Exception:  # a reminder must not take the page away
        logger.exception("Backsoon: the template %s is broken.", template)
        return
    response.content = content[: body.end()] + line + content[body.end() :]
    if response.has_header("Content-Length"):
        response["Content-Length"] = str(len(response.content))
    del response["ETag"]
    response["Cache-Control"] = "no-store"  # without the line it is another page tomorrow


def can_be_changed(response: HttpResponseBase) -> bool:
    """Whether a line can be put into *response* without guessing."""
    return (
        isinstance(response, HttpResponse)
        and not response.streaming
        and not response.has_header("Content-Encoding")
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
