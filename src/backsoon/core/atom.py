"""Entries as an Atom feed (RFC 4287)."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What cannot stand in an XML document, escaped or not (XML 1.0, 2.2)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. Its texts are plain, not HTML."""

    id: str
    """An IRI that is this entry's for ever."""
    title: str
    updated: dt.datetime
    content: str
    category: str = ""


def feed(
    entries: Iterable[Entry],
    *,
    id: str,  # noqa: A002  (RFC 4287 calls it so)
    title: str,
    author: str,
    language: str,
    updated: dt.datetime,
    itself: str,
    page: str,
) -> bytes:
    """The feed *title*; *updated* is for one without entries.

    *itself* and *page* are the addresses of the feed and of the page that it belongs to; relative
    ones are understood from where the feed was fetched. Equal arguments give equal bytes.
    """
    entries = list(entries)
    latest = max((entry.updated for entry in entries), default=updated)
    parts = [
        '<?xml version="1.0" encoding="utf-8"?>\n',
        f'<feed xmlns="http://www.w3.org/2005/Atom" xml:lang={_attribute(language)}>\n',
        f"<id>{_text(id)}</id>\n",
        f"<title>{_text(title)}</title>\n",
        f"<updated>{_moment(latest)}</updated>\n",
        f"<author><name>{_text(author)}</name></author>\n",
        f'<link rel="self" type="application/atom+xml" href={_attribute(itself)}/>\n',
    ]
    if page:
        parts.append(f'<link rel="alternate" type="text/html" href={_attribute(page)}/>\n')
    parts += (_entry(entry, page) for entry in entries)
    parts.append("</feed>\n")
    return "".join(parts).encode()


def _entry(entry: Entry, page: str) -> str:
    category = f"<category term={_attribute(entry.category)}/>\n" if entry.category else ""
    link = f'<link rel="alternate" type="text/html" href={_attribute(page)}/>\n' if page else ""
    return (
        "<entry>\n"
        f"<id>{_text(entry.id)}</id>\n"
        f"<title>{_text(entry.title)}</title>\n"
        f"<published>{_moment(entry.updated)}</published>\n"
        f"<updated>{_moment(entry.updated)}</updated>\n"
        f"{category}{link}"
        f"<content>{_text(entry.content)}</content>\n"
        "</entry>\n"
    )


def _text(text: str) -> str:
    # A bare carriage return would reach the reader as a line feed, so it may as well be one.
    text = _NOT_XML.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _attribute(text: str) -> str:
    text = _text(text).replace('"', "&quot;")
    return f'"{text}"'


def _moment(moment: dt.datetime) -> str:
    moment = moment.astimezone(dt.UTC)
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%SZ}"
