"""The banner of closures to come, prepared: on pages that have its tag, and put into others.

What it says depends on the plans, the clock, the language and the time zone, not on who asks. So
it is rendered once for each, and handed out until a plan changes or its time comes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed
from django.template.loader import render_to_string
from django.urls import get_script_prefix
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from backsoon import conf
from backsoon.core.banners import Banner, banners_at, next_turn
from backsoon.core.vocabulary import Mode, State, Words
from backsoon.gate import gate

from . import files, injection
from .facts import exemption_by_settings
from .pages import message_html
from .routes import reversed_or_empty

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

    from backsoon.gate import View
    from backsoon.snapshots import Snapshot

logger = logging.getLogger("backsoon")

TEMPLATE = "backsoon/notice.html"
BOARD_TEMPLATE = "backsoon/_notices.html"

MARKER = b"data-backsoon-notice"
"""What a page has that shows the banner itself."""

MOST_PREPARED = 128
"""How many renderings are kept ready: a few for each language and time zone."""


@dataclass(frozen=True, slots=True)
class Board:
    """What hangs there now, and until when that stays so."""

    banners: tuple[Banner, ...] = ()
    key: str = ""
    """Another one whenever anything else is to be told; empty for nothing."""
    snapshot: Snapshot | None = None
    state: State | None = None
    from_: dt.datetime | None = None
    until: dt.datetime | None = None


_EMPTY = Board()

_board = _EMPTY
_prepared: dict[tuple[str, ...], SafeString] = {}


def board(view: View) -> Board:
    """What visitors are told while *view* is true. No query; with nothing planned, no clock."""
    if view.is_open and not view.has_plans:
        return _EMPTY
    global _board
    known, now = _board, gate.now()
    if (
        known.snapshot is view.snapshot
        and known.state is view.state
        and known.from_ is not None
        and known.from_ <= now
        and (known.until is None or now < known.until)
    ):
        return known
    notice = dt.timedelta(seconds=conf.current().notice)
    windows = view.snapshot.windows
    banners = banners_at(view.state, windows, now, notice)
    key = ".".join(key_of(banner) for banner in banners)
    until = next_turn(windows, now, notice)
    _board = Board(banners, key, view.snapshot, view.state, now, until)
    return _board


def key_of(banner: Banner) -> str:
    """A short name for what *banner* says."""
    return hashlib.sha256(banner.identity.encode()).hexdigest()[:16]


def board_html(view: View, language: str) -> SafeString:
    """The whole board in *language*, also an empty one: its script hears of what comes."""
    return _rendering(board(view), view.state.mode, language, whole=True)


def banners_html(view: View, language: str) -> SafeString:
    """Only what hangs on the board."""
    return _rendering(board(view), view.state.mode, language, whole=False)


def _rendering(shown: Board, mode: Mode, language: str, *, whole: bool) -> SafeString:
    zone = timezone.get_current_timezone_name()
    key = (shown.key, mode.value, language, zone, get_script_prefix(), "whole" if whole else "")
    html = _prepared.get(key)
    if html is None:
        with translation.override(language):
            parts = [render_to_string(TEMPLATE, _context(b, language)) for b in shown.banners]
            html = SafeString("".join(parts))
            if whole:
                html = render_to_string(BOARD_TEMPLATE, _board_context(shown, mode, html, language))
        if len(_prepared) >= MOST_PREPARED:
            _prepared.clear()
        _prepared[key] = html
    return html


def _board_context(shown: Board, mode: Mode, html: SafeString, language: str) -> dict[str, Any]:
    return {
        "banners": html,
        "key": shown.key,
        "mode": mode.value,
        "status_url": reversed_or_empty("backsoon:status"),
        "notice_url": reversed_or_empty("backsoon:notice"),
        "language": language,
        "direction": "rtl" if translation.get_language_bidi() else "ltr",
    }


def _context(banner: Banner, language: str) -> dict[str, Any]:
    """What the template gets (documented in the reference). *language* must be active."""
    words = banner.window.told(language) if banner.window else Words()
    length = ""
    if banner.starts_at and banner.ends_at and not banner.is_now:
        length = timesince(banner.starts_at, banner.ends_at)
    return {
        "key": key_of(banner),
        "mode": banner.mode.value,
        "is_now": banner.is_now,
        "title": words.title,
        "message": words.message,
        "message_html": message_html(words.message) if words.message else "",
        "starts_at": banner.starts_at,
        "ends_at": banner.ends_at,
        "when": _when(banner),
        "length": length,
        "brand": conf.current().brand,
        "language": language,
    }


def _when(banner: Banner) -> SafeString:
    """The time or the span of time, in the active zone, which it names; the script makes it the
    visitor's own.
    """
    zone = timezone.get_current_timezone()
    moments = [banner.ends_at] if banner.is_now else [banner.starts_at, banner.ends_at]
    local = [moment.astimezone(zone) for moment in moments if moment is not None]
    if not local:
        return SafeString("")
    this_year = gate.now().astimezone(zone).year
    texts, day = [], None
    for moment in local:
        clock = date_format(moment, "H:i")
        if moment.date() != day:
            form = "l j F" if moment.year == this_year else "l j F Y"
            clock = f"{date_format(moment, form)}, {clock}"
        day = moment.date()
        iso = moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        texts.append(format_html('<time datetime="{}">{}</time>', iso, clock))
    dash = "–" if len(local) == 2 and local[0].date() == local[1].date() else " – "
    span = SafeString(dash.join(texts))
    name = timezone.get_current_timezone_name()
    return format_html("<span data-backsoon-when>{} ({})</span>", span, name)


# -- Into pages that do not have the tag -------------------------------------------------------


def wanted(request: HttpRequest, view: View) -> bool:
    """Whether the banner is to be put into the answer to *request*, if that is a page.

    Asks the layers below for a page that can be changed. Call it on the way down.
    """
    if not conf.current().notice_banner or not board(view).banners:
        return False
    meta = request.META
    if "text/html" not in meta.get("HTTP_ACCEPT", "") or meta.get("HTTP_SEC_FETCH_DEST") in (
        "iframe",
        "frame",
    ):
        return False
    if exemption_by_settings(request.method or "GET", request.path_info):
        return False
    injection.ask_for_changeable_pages(request)
    return True


def put_in(request: HttpRequest, response: HttpResponseBase, view: View) -> None:
    """Put the banner into the page that *response* is. Never raises: it is only a banner."""
    match = getattr(request, "resolver_match", None)
    if match is not None and "admin" in match.app_names:
        return
    try:
        # The page's own language and zone: what was activated for it is active still.
        language = translation.get_language() or "en"
        html = board_html(view, language) + files.elements("notice")
        injection.insert_shared(response, html, MARKER)
    except Exception:
        logger.exception("Backsoon: the banner could not be put into a page.")


def _forget(**kwargs: Any) -> None:
    global _board
    _board = _EMPTY
    _prepared.clear()


setting_changed.connect(_forget, dispatch_uid="backsoon.banners")
