"""What is published for machines: the state as JSON, planned closures as calendar and as feed.

Only what visitors may know: no operator's name, no reason that is for colleagues, and no plan that
nobody shall be told of.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from django.utils import timezone, translation
from django.utils.crypto import salted_hmac
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from backsoon import conf
from backsoon.core import atom, ics
from backsoon.core.banners import next_turn
from backsoon.core.news import Closure, Kind, is_public, news_of
from backsoon.core.schedule import announced, upcoming
from backsoon.core.state import notice_of
from backsoon.core.vocabulary import Mode, Why
from backsoon.gate import gate

from . import banners
from .pages import texts

if TYPE_CHECKING:
    from backsoon.core.news import News
    from backsoon.core.vocabulary import Window
    from backsoon.gate import View

VERSION = 1
"""Of the form of ``status.json``: grows when a field goes away or means something else."""

MOST_ANNOUNCED = 10
"""How many planned closures ``status.json`` tells of, the next ones."""

MOST_NEWS = 50
"""How many entries the feed has, the latest."""

REFRESH = dt.timedelta(hours=1)
"""When calendars are asked to look again."""

OPEN_END = dt.timedelta(hours=1)
"""How long an event without an end is drawn: calendars hide what takes no time."""

_IDS = uuid.UUID("5f2a6a0c-3f43-5a58-9d0e-2d4f0f6b7c11")

_WHY = {Why.SWITCH: "by_hand", Why.WINDOW: "planned", Why.UNKNOWN: "unknown"}


# -- The state ---------------------------------------------------------------------------------


def describe(view: View) -> dict[str, object]:
    """The public part of the state. True until the state changes, as *view* says."""
    state = view.state
    return {
        "mode": state.mode.value,
        "why": _WHY.get(state.why),
        "since": state.since.isoformat() if state.since and not state.is_open else None,
        "until": state.until.isoformat() if state.until else None,
        "late": state.late,
        "next": _next_window(view),
        "revision": view.snapshot.mark.revision,
    }


def status(view: View, language: str) -> dict[str, object]:
    """What ``status.json`` says in *language*."""
    with translation.override(language):
        title, message = _told_now(view, language)
        told = announced(view.snapshot.windows, gate.now(), default_notice())
        return {
            "version": VERSION,
            **describe(view),
            "language": language,
            "title": title,
            "message": message,
            "announced": [_announced(window, language) for window in told[:MOST_ANNOUNCED]],
            "notice": banners.board(view).key or None,
        }


def status_changes(view: View) -> dt.datetime | None:
    """The first moment from now on at which ``status.json`` says something else by itself."""
    turn = next_turn(view.snapshot.windows, gate.now(), default_notice())
    return min((m for m in (view.state.next_change, turn) if m is not None), default=None)


def as_json(document: dict[str, object]) -> bytes:
    """*document* as it is sent."""
    return json.dumps(document, ensure_ascii=True).encode()


def default_notice() -> dt.timedelta:
    """How long before a planned closure visitors are told where it does not say so itself."""
    return dt.timedelta(seconds=conf.current().notice)


def _next_window(view: View) -> dict[str, str | None] | None:
    """The times of the next planned closure that visitors may know of, if there is one."""
    notice = default_notice()
    for window in upcoming(view.snapshot.windows, gate.now()):
        if is_public(window, notice):
            return _times(window)
    return None


def _times(window: Window) -> dict[str, str | None]:
    return {
        "starts_at": window.starts_at.isoformat(),
        "ends_at": window.ends_at.isoformat() if window.ends_at else None,
    }


def _told_now(view: View, language: str) -> tuple[str | None, str | None]:
    if view.state.is_open:
        return None, None
    return texts(notice_of(view.snapshot.policy, view.state, language), view.state)


def _announced(window: Window, language: str) -> dict[str, str | None]:
    return {
        "uid": window.uid,
        "mode": window.mode.value,
        **_times(window),
        "title": title_of(window, language),
        "message": window.told(language).message,
    }


# -- The calendar ------------------------------------------------------------------------------


def calendar(closures: Iterable[Closure], view: View, language: str) -> bytes:
    """The planned closures as an iCalendar object with texts in *language*."""
    notice = default_notice()
    with translation.override(language):
        url = view.snapshot.policy.notice(language).button_url
        events = [
            _event(closure, language, url)
            for closure in sorted(closures, key=lambda c: (c.window.starts_at, c.window.uid))
            if closure.planned and is_public(closure.window, notice)
        ]
        return ics.calendar(events, name=name(), language=language, refresh=REFRESH)


def _event(closure: Closure, language: str, url: str) -> ics.Event:
    window = closure.window
    return ics.Event(
        uid=window.uid,
        starts_at=window.starts_at,
        ends_at=window.ends_at or _later(window.starts_at, OPEN_END),
        created_at=closure.created_at,
        modified_at=closure.modified_at,
        sequence=window.sequence,
        summary=title_of(window, language),
        description=_description(window, language),
        cancelled=closure.cancelled_at is not None,
        url=url,
    )


def _description(window: Window, language: str) -> str:
    if window.mode is Mode.READ_ONLY:
        meaning = _("You can look at everything during this time, but nothing can be changed.")
    else:
        meaning = _("The site is closed during this time.")
    lines = [window.told(language).message, meaning]
    if window.ends_at is None:
        lines.append(_("The end is not known yet."))
    return "\n".join(line for line in lines if line)


# -- The feed ----------------------------------------------------------------------------------


def feed(
    closures: Sequence[Closure], view: View, language: str, *, itself: str, page: str
) -> bytes:
    """What happened to closures as an Atom feed in *language*.

    *itself* and *page* are the addresses of the feed and of the maintenance page.
    """
    news = news_of(closures, gate.now(), default_notice())[:MOST_NEWS]
    with translation.override(language), timezone.override(None):
        return atom.feed(
            [_entry(one, language) for one in news],
            id=_feed_id(),
            title=name(),
            author=conf.current().brand or _("Maintenance"),
            language=language,
            updated=view.snapshot.policy.switch.since or dt.datetime.fromtimestamp(0, dt.UTC),
            itself=itself,
            page=page,
        )


def _entry(news: News, language: str) -> atom.Entry:
    closure, window = news.closure, news.closure.window
    which = f"{window.uid}/{news.kind}"
    if news.kind is Kind.CHANGED:
        which += f"/{window.sequence}"
    return atom.Entry(
        id=uuid.uuid5(_IDS, which).urn,
        title=_headline(news, title_of(window, language, planned=closure.planned)),
        updated=news.at,
        content=_story(news, language),
        category=news.kind.value,
    )


def _headline(news: News, title: str) -> str:
    if news.kind is Kind.ANNOUNCED:
        return _("Announced: %(title)s") % {"title": title}
    if news.kind is Kind.CHANGED:
        return _("Changed: %(title)s") % {"title": title}
    if news.kind is Kind.BEGAN:
        return _("Begun: %(title)s") % {"title": title}
    if news.kind is Kind.CANCELLED:
        return _("Cancelled: %(title)s") % {"title": title}
    return _("Over: %(title)s") % {"title": title}


def _story(news: News, language: str) -> str:
    window = news.closure.window
    if news.kind is Kind.ENDED:
        return _("We are open again since %(time)s.") % {"time": in_words(news.at)}
    start = {"start": in_words(window.starts_at)}
    if news.kind is Kind.CANCELLED:
        return _("We stay open: the maintenance planned for %(start)s does not take place.") % start
    if window.ends_at is None:
        times = _("From %(start)s; the end is not known yet.") % start
    else:
        times = _("From %(start)s until %(end)s.") % {**start, "end": in_words(window.ends_at)}
    return f"{times}\n{_description(window, language)}"


def _feed_id() -> str:
    """An IRI that no other site's feed has. It says nothing about the key that it is made of."""
    digest = salted_hmac("backsoon.feed", "id", algorithm="sha256").digest()
    return uuid.UUID(bytes=digest[:16], version=4).urn


# -- Words -------------------------------------------------------------------------------------


def name() -> str:
    """What calendar and feed are called, in the active language."""
    brand = conf.current().brand
    return _("Maintenance of %(brand)s") % {"brand": brand} if brand else _("Maintenance")


def title_of(window: Window, language: str, *, planned: bool = True) -> str:
    """What *window* is called in *language*, which must be active."""
    title = window.told(language).title
    if title:
        return title
    brand = conf.current().brand
    if not planned:
        return name()
    if brand:
        return _("Planned maintenance of %(brand)s") % {"brand": brand}
    return _("Planned maintenance")


def in_words(moment: dt.datetime) -> str:
    """*moment* in the site's time zone, which it names, as the active language writes it."""
    local = timezone.localtime(moment)
    zone = date_format(local, "T")
    zone = f"UTC{zone}" if zone[:1] in "+-" else zone
    return f"{date_format(local, 'DATE_FORMAT')}, {local:%H:%M} {zone}"


def _later(moment: dt.datetime, span: dt.timedelta) -> dt.datetime:
    try:
        return moment + span
    except OverflowError:
        return dt.datetime.max.replace(tzinfo=dt.UTC)
