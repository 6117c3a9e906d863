"""The maintenance page as prepared bytes.

A page depends on the settings, the state and the language, not on who asks for it. So it is
rendered once for each language, compressed once, and handed out as it is until something changes.
Rendering never fails: a template that somebody broke is reported, and a built-in page stands in.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from django.core.signals import setting_changed
from django.template.loader import get_template
from django.utils import timezone, translation
from django.utils.html import linebreaks, urlize
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from backsoon import conf, store
from backsoon.core.state import notice_of, resolve_state
from backsoon.core.vocabulary import Mode, Notice, State
from backsoon.definitions import BY_KEY, languages
from backsoon.gate import View
from backsoon.signals import page_broken
from backsoon.snapshots import Snapshot

from . import icons, routes
from .compact import compact
from .fallback_page import fallback_html

logger = logging.getLogger("backsoon")

TEMPLATE = "backsoon/maintenance.html"

MOST_PAGES = 128
"""How many pages are kept ready: about 16 kB each, one for each language and script prefix, and
another one for logins that are refused. A proxy may pass on whatever prefix a client made up."""


@dataclass(frozen=True, slots=True)
class Page:
    """One rendering, ready to be sent."""

    body: bytes
    compressed: bytes
    content_security_policy: str


@dataclass(slots=True)
class Shelfful:
    """What was prepared for one snapshot and one state."""

    snapshot: Snapshot
    state: State
    pages: dict[tuple[str, bool, str], Page] = field(default_factory=dict)
    answers: dict[tuple[object, ...], Any] = field(default_factory=dict)
    """What others make of the pages, under keys of their own."""

    def is_for(self, view: View) -> bool:
        """Whether it fits *view*. Equal objects do; the same ones are told at a glance."""
        if self.snapshot is view.snapshot and self.state is view.state:
            return True
        mine, its = self.snapshot, view.snapshot
        if self.state != view.state or (mine.mark, mine.policy) != (its.mark, its.policy):
            return False
        self.snapshot, self.state = its, view.state
        return True


class Shelf:
    """The prepared pages of this process."""

    def __init__(self) -> None:
        # One attribute, read once: a request with an older view must not lay its page among the
        # newer ones.
        self._content: Shelfful | None = None

    def of(self, view: View) -> Shelfful:
        """What was prepared for *view*."""
        content = self._content
        if content is None or not content.is_for(view):
            content = self._content = Shelfful(view.snapshot, view.state)
        return content

    def page(
        self, view: View, language: str, *, login_refused: bool = False, prefix: str = "/"
    ) -> Page:
        """The page for *view* in *language* below the script *prefix*, prepared at first use."""
        pages = self.of(view).pages
        page = pages.get((language, login_refused, prefix))
        if page is None:
            with routes.below(prefix):
                html = render(view.snapshot, view.state, language, login_refused=login_refused)
            page = prepare(html)
            if len(pages) >= MOST_PAGES:
                pages.clear()
            pages[language, login_refused, prefix] = page
        return page

    def clear(self) -> None:
        """Forget every page."""
        self._content = None


shelf = Shelf()


def prepare(html: str) -> Page:
    """Encode and compress *html* and allow exactly its own inline styles and scripts."""
    html = compact(html)
    body = html.encode()
    return Page(
        body=body,
        compressed=gzip.compress(body, compresslevel=9, mtime=0),
        content_security_policy=content_security_policy(html),
    )


def render(
    snapshot: Snapshot,
    state: State,
    language: str,
    *,
    login_refused: bool = False,
    preview: bool = False,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """The page's HTML in *language*, with *changes* to what the template gets. Never fails."""
    try:
        with translation.override(language), timezone.override(None):
            context = page_context(snapshot, state, language)
            context |= {"login_refused": login_refused, "preview": preview, **changes}
            return get_template(TEMPLATE).render(context)
    except Exception as error:
        logger.exception(
            "Backsoon: the template %s is broken; visitors get the built-in page. See: manage.py "
            "maintenance doctor", TEMPLATE,
        )  # fmt: skip
        page_broken.send_robust(sender=None, error=error)
        return fallback(snapshot, state, language, changes)


def template_error(language: str) -> str:
    """What is wrong with the page's template, or ``""``; for checks and ``doctor``."""
    try:
        with translation.override(language), timezone.override(None):
            snapshot = Snapshot()
            state = resolve_state(snapshot.policy, (), store.utc_now())
            get_template(TEMPLATE).render(page_context(snapshot, state, language))
    except Exception as error:  # noqa: BLE001  (a template can fail in every way)
        return f"{type(error).__name__}: {error}"
    return ""


def page_context(snapshot: Snapshot, state: State, language: str) -> dict[str, Any]:
    """What the template gets (documented in the reference). *language* must be active."""
    notice = notice_of(snapshot.policy, state, language)
    title, message = texts(notice, state)
    settings = conf.current()
    read_only = state.mode is Mode.READ_ONLY
    return {
        "mode": state.mode.value,
        "title": title,
        "message": message,
        "message_html": message_html(message),
        "image_url": notice.image_url,
        "icon_svg": _icon(notice),
        "button_url": notice.button_url,
        "button_text": _button_text(notice),
        "contact_href": _contact_href(notice.contact),
        "contact_label": notice.contact,
        "since": state.since,
        "ends_at": state.until,
        "late": state.late,
        "revision": snapshot.mark.revision,
        # A refused change in read-only mode is not waiting for anything: no polling there.
        "status_url": "" if read_only else routes.reversed_or_empty("backsoon:status"),
        "calendar_url": routes.reversed_or_empty("backsoon:calendar"),
        "feed_url": routes.reversed_or_empty("backsoon:feed"),
        "tell_me_url": _tell_me_url(state, language),
        "tell_me_error": "",
        "tell_me_value": "",
        "login_url": routes.login_url() if settings.show_login_link else "",
        "login_refused": False,
        "preview": False,
        "brand": settings.brand,
        "language": language,
        "direction": "rtl" if translation.get_language_bidi() else "ltr",
        "languages": _languages(),
    }


def message_html(message: str) -> SafeString:
    """Plain text as HTML: escaped, with paragraphs, line breaks and links."""
    links = urlize(message, nofollow=True, autoescape=True)  # escapes everything else
    return mark_safe(linebreaks(links))  # noqa: S308


def content_security_policy(html: str) -> str:
    """A policy that allows the inline styles and scripts of *html* by hash, and files of this site.

    Source: Content Security Policy Level 3, 2.3.1 (hash-source).
    """
    styles = _hashes(_STYLE, html)
    scripts = _hashes(_SCRIPT, html)
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src 'self' {styles}".rstrip(),
            f"script-src 'self' {scripts}".rstrip(),
            "img-src 'self' http: https: data:",
            "font-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'" if _FORM.search(html) else "form-action 'none'",
            "frame-ancestors 'self'",
        )
    )


_STYLE = re.compile(r"<style\b[^>]*>(.*?)</style\s*>", re.DOTALL | re.IGNORECASE)
_SCRIPT = re.compile(r"<script\b[^>]*>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE)


_FORM = re.compile(r"<form\b", re.IGNORECASE)


def _hashes(pattern: re.Pattern[str], html: str) -> str:
    contents = (text for text in pattern.findall(html) if text.strip())
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in contents)
    return " ".join(f"'sha256-{digest.decode()}'" for digest in digests)


def texts(notice: Notice, state: State) -> tuple[str, str]:
    """Title and message, with our own words where the operator gave none."""
    if state.mode is Mode.READ_ONLY:
        return (
            notice.title or _("Nothing can be changed right now"),
            notice.message
            or _("We are carrying out maintenance. You can look at everything in the meantime."),
        )
    return (
        notice.title or BY_KEY["maintenance_title"].default_text(),
        notice.message or BY_KEY["maintenance_message"].default_text(),
    )


def _tell_me_url(state: State, language: str) -> str:
    """Where the form is sent to; it names the language, which the visitor may have chosen here."""
    if state.mode is not Mode.CLOSED or not routes.tell_me_paths():
        return ""
    url = routes.reversed_or_empty("backsoon:tell-me")
    return f"{url}?language={quote(language)}" if url else ""


def _icon(notice: Notice) -> SafeString:
    drawn = icons.icon_svg(notice.icon or icons.DEFAULT_ICON) or icons.DEFAULT_SVG
    return mark_safe(drawn)  # noqa: S308  (made of the pack's drawings, not of what was typed)


def _button_text(notice: Notice) -> str:
    if not notice.button_url:
        return ""
    return notice.button_text or _("More information")


def _contact_href(contact: str) -> str:
    if not contact:
        return ""
    return contact if contact.startswith(("http://", "https://")) else f"mailto:{contact}"


def _languages() -> list[tuple[str, str]]:
    codes = [code for code, _name in languages()]
    if len(codes) < 2:
        return []
    return [(code, _own_name(code)) for code in codes]


def _own_name(code: str) -> str:
    try:
        return str(translation.get_language_info(code)["name_local"])
    except KeyError:
        return code


def fallback(
    snapshot: Snapshot,
    state: State,
    language: str,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """The built-in page with the stored texts, or those in *changes*. Never fails."""
    notice = notice_of(snapshot.policy, state, language)
    try:
        with translation.override(language):
            title, message = texts(notice, state)
            direction = "rtl" if translation.get_language_bidi() else "ltr"
    except Exception:  # noqa: BLE001  (a broken translation must not take the last page away)
        title = notice.title or BY_KEY["maintenance_title"].default
        message = notice.message or BY_KEY["maintenance_message"].default
        direction = "ltr"
    title, message = changes.get("title", title), changes.get("message", message)
    return fallback_html(title, message, language, direction)


def _forget(**kwargs: Any) -> None:
    shelf.clear()


setting_changed.connect(_forget, dispatch_uid="backsoon.pages")
