"""What people read: subject, text and, where the project has a template for it, HTML.

``backsoon/mail/<moment>_subject.txt``, ``<moment>.txt`` and, optional, ``<moment>.html``; each is
rendered in the language of whoever gets it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.template import TemplateDoesNotExist, loader
from django.template.context import make_context
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.timesince import timeuntil
from django.utils.translation import gettext as _

from backsoon import conf
from backsoon.core.telling import Moment
from backsoon.definitions import DEFAULT_MESSAGE, parse_moment

SUBJECT_LENGTH = 200

_MANY_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as it is read."""

    subject: str
    text: str
    html: str = ""


def write(
    moment: str, facts: Mapping[str, Any], language: str = "", *, unsubscribe_url: str = ""
) -> Letter:
    """The letter about *moment* in *language*, or in that of the site."""
    with in_language(language) as code:
        context = _context(moment, facts, code) | {"unsubscribe_url": unsubscribe_url}
        subject = _render(f"{moment}_subject.txt", context)
        # One line, whatever a title or a template holds: a header must not get a second one.
        subject = " ".join(subject.split())[:SUBJECT_LENGTH]
        text = _render(f"{moment}.txt", context | {"subject": subject}).strip()
        text = _MANY_LINES.sub("\n\n", text) + "\n"
        try:
            html = _render(f"{moment}.html", context | {"subject": subject})
        except TemplateDoesNotExist:
            html = ""
    return Letter(subject, text, html)


@contextmanager
def in_language(wanted: str) -> Iterator[str]:
    """Speak *wanted* if the project has it (``fr`` for ``fr-ca``), else the site's language."""
    code = django_settings.LANGUAGE_CODE
    if wanted and django_settings.USE_I18N:
        with suppress(LookupError):
            code = translation.get_supported_language_variant(wanted)
    with translation.override(code), timezone.override(None):
        yield code


def _render(name: str, context: dict[str, Any]) -> str:
    template = loader.get_template(f"backsoon/mail/{name}")
    inner: Any = getattr(template, "template", None)
    if name.endswith(".txt") and hasattr(inner, "nodelist"):
        # A text is no HTML: "Kiss & ride" must not become "Kiss &amp; ride".
        return str(inner.render(make_context(context, autoescape=False)))
    return str(template.render(context))


def _context(moment: str, facts: Mapping[str, Any], language: str) -> dict[str, Any]:
    starts_at, until = _moment(facts.get("starts_at")), _moment(facts.get("until"))
    earlier = facts.get("earlier") or {}
    title, message = _words(facts, language)
    lead = facts.get("lead")
    return {
        "moment": moment,
        "site": site_name(),
        "site_url": conf.current().site_url,
        "planned": bool(facts.get("planned")),
        "read_only": facts.get("mode") == "read_only",
        "starts_at": starts_at,
        "until": until,
        "start": clock(starts_at),
        "end": clock(until),
        "earlier_start": clock(_moment(earlier.get("starts_at"))),
        "earlier_end": clock(_moment(earlier.get("until"))),
        "start_moved": bool(earlier) and earlier.get("starts_at") != facts.get("starts_at"),
        "end_moved": bool(earlier) and earlier.get("until") != facts.get("until"),
        "lasts": _span(starts_at, until),
        "lead": _lead(lead) if isinstance(lead, (int, float)) else "",
        "title": title,
        "message": message,
    }


def _words(facts: Mapping[str, Any], language: str) -> tuple[str, str]:
    """Title, if there is one, and message; where none is set, that of Backsoon, translated."""
    by_language = facts.get("words") or {}
    found: Mapping[str, str] = {}
    for code in (language, language.partition("-")[0], ""):
        if code in by_language:
            found = by_language[code]
            break
    return found.get("title") or "", found.get("message") or _(DEFAULT_MESSAGE)


def site_name() -> str:
    """What the site is called: its brand, or its host."""
    settings = conf.current()
    return settings.brand or urlsplit(settings.site_url).hostname or _("our site")


def _moment(text: Any) -> dt.datetime | None:
    try:
        return parse_moment(str(text)) if text else None
    except ValueError:
        return None


def clock(moment: dt.datetime | None) -> str:
    """Day, time and zone of the site, with UTC beside it; empty for none."""
    if moment is None:
        return ""
    local = timezone.localtime(moment)
    told = f"{date_format(local, 'DATE_FORMAT')}, {date_format(local, 'H:i')} {local.tzname()}"
    if not local.utcoffset():
        return told
    utc = moment.astimezone(dt.UTC)
    same_day = utc.date() == local.date()
    day = "" if same_day else f"{date_format(utc, 'DATE_FORMAT')}, "
    return f"{told} ({day}{date_format(utc, 'H:i')} UTC)"


def _span(start: dt.datetime | None, end: dt.datetime | None) -> str:
    if start is None or end is None or end <= start:
        return ""
    return timeuntil(end, start, depth=2)


def _lead(seconds: float) -> str:
    start = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    return timeuntil(start + dt.timedelta(seconds=seconds), start, depth=2)


def example(moment: str, now: dt.datetime) -> dict[str, Any]:
    """Facts to show a template with: a closure tomorrow, for two hours."""
    start = (now + dt.timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    if moment in (Moment.STARTED, Moment.EXTENDED, Moment.ENDED):
        start = now.replace(microsecond=0)
    end = start + dt.timedelta(hours=2)
    before = (start, end - dt.timedelta(hours=1))
    return {
        "planned": True,
        "public": True,
        "mode": "closed",
        "starts_at": start.isoformat(),
        "until": (now if moment == Moment.ENDED else end).isoformat(),
        "earlier": {"starts_at": before[0].isoformat(), "until": before[1].isoformat()},
        "lead": 24 * 3600.0,
        "number": 1,
        "sequence": 0,
        "words": {"": {"title": "", "message": ""}},
    }
