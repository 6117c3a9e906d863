"""Planned closures in words and as data, and how they are found."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from backsoon import recurrence, store
from backsoon.core.schedule import clashing, continuous_span
from backsoon.core.vocabulary import Window, Words
from backsoon.exceptions import InvalidSettingError

from . import words, worker_words
from .console import plain_text, printable, usage_error
from .moments import parse_length

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from backsoon.services import Outcome
    from backsoon.snapshots import Snapshot

FIELDS = {
    "starts_at": "START",
    "ends_at": "END",
    "title": "--title",
    "message": "--message",
    "mode": "--read-only, --closed",
    "keep_logins": "--keep-logins, --end-logins",
    "notice": "--notice",
    "repeat": "--repeat",
    "zone": "--zone",
    "window": "ID",
    "series": "ID",
}
"""What the parts of a planned closure are called on the command line."""

FULLY_TOLD = 3
"""So many closures of a series are told in full."""


# -- What is typed -----------------------------------------------------------------------------


def add_id(parser: ArgumentParser) -> None:
    """Declare the number of a planned closure."""
    parser.add_argument(
        "id", type=_number, metavar="ID", help="Its number, as 'maintenance list' shows it."
    )


def add_words(parser: ArgumentParser) -> None:
    """Declare what visitors are told."""
    parser.add_argument(
        "--title",
        type=plain_text,
        help="The heading of the page; that of the settings if not given.",
    )
    parser.add_argument(
        "--message", type=plain_text, help="What visitors read; that of the settings if not given."
    )


def add_notice(parser: argparse._ActionsContainer) -> None:
    """Declare how early visitors are told."""
    parser.add_argument(
        "--notice",
        metavar="LENGTH",
        type=_length,
        help="How long before the start visitors are told: 3d, 12h; 0 for not at all.",
    )


def words_of(options: Mapping[str, Any], known: Window | None = None) -> dict[str, Words] | None:
    """What visitors are to be told; ``None`` where nothing is said about it."""
    if options["title"] is None and options["message"] is None:
        return None
    told = dict(known.words) if known is not None else {}
    own = told.get("", Words())
    told[""] = Words(
        own.title if options["title"] is None else options["title"],
        own.message if options["message"] is None else options["message"],
    )
    return told


def _length(text: str) -> dt.timedelta:
    try:
        return parse_length(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _number(text: str) -> int:
    digits = text.removeprefix("#")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a planned closure")
    return int(digits)


def find(before: Snapshot, number: int, failure: str) -> Window:
    """The planned closure of this *number*. A usage error if there is none, or it is over."""
    for window in before.windows:
        if window.number == number and not is_over(window, store.utc_now()):
            return window
    row = store.find_window(number)
    if row is None:
        raise usage_error(
            f"{failure}: there is no planned closure #{number}. See them with: manage.py "
            "maintenance list --all"
        )
    how = "was cancelled" if row.cancelled_at is not None else "is over"
    raise usage_error(
        f"{failure}: #{number} {how}. See those to come with: manage.py maintenance list"
    )


def is_over(window: Window, now: dt.datetime) -> bool:
    """Whether it has ended."""
    return window.ends_at is not None and window.ends_at <= now


def as_usage_error(error: InvalidSettingError, failure: str) -> Exception:
    """What is wrong with a planned closure, in the words of the command line."""
    problems = "; ".join(
        f"{FIELDS.get(key, key)}: {' '.join(texts)}" for key, texts in error.errors.items()
    )
    return usage_error(f"{failure}: {problems}")


# -- What is told ------------------------------------------------------------------------------


def data(window: Window, now: dt.datetime) -> dict[str, Any]:
    """A planned closure as ``--json`` gives it."""
    return {
        "id": window.number,
        "uid": window.uid,
        "state": condition(window, now),
        "starts_at": words.iso(window.starts_at),
        "ends_at": words.iso(window.ends_at),
        "mode": window.mode.value,
        "keep_logins": window.keep_logins,
        "reason": window.reason,
        "notice": None if window.notice is None else window.notice.total_seconds(),
        "sequence": window.sequence,
        "series": window.series or None,
        "words": {
            code: {"title": told.title, "message": told.message}
            for code, told in window.words.items()
        },
    }


def condition(window: Window, now: dt.datetime) -> str:
    """Where it stands: planned, running or over."""
    if is_over(window, now):
        return "over"
    return "running" if window.starts_at <= now else "planned"


def line(window: Window, now: dt.datetime) -> str:
    """A planned closure in one line."""
    return f"#{window.number}: {words.adjective(window.mode)} {times(window, now)}."


def times(window: Window, now: dt.datetime) -> str:
    """From when to when, in the zone of the settings with UTC beside it, and how long."""
    start, end = window.starts_at, window.ends_at
    local = f"from {words.clock(start, now)} {_to(end, start)}"
    if timezone.localtime(start).utcoffset():
        with timezone.override(dt.UTC):
            local += f" ({words.clock(start, now)} {_to(end, start)})"
    length = f", {words.span(end - start)}" if end is not None else ""
    return f"{local}{length}"


def when(window: Window, now: dt.datetime) -> str:
    """How far away it is, or how long it still goes on."""
    if window.starts_at > now:
        return f"in {words.span(window.starts_at - now)}"
    if window.ends_at is None:
        return f"for {words.span(now - window.starts_at)} now"
    return f"{words.span(window.ends_at - now)} left"


def _to(end: dt.datetime | None, start: dt.datetime) -> str:
    return "until somebody opens" if end is None else f"to {words.clock(end, start)}"


def neighbours(snapshot: Snapshot, window: Window, now: dt.datetime) -> Iterator[str]:
    """That it joins others to one closure, if it does."""
    others = [
        other
        for other in clashing(snapshot.windows, window.starts_at, window.ends_at)
        if other.uid != window.uid and not is_over(other, now)
    ]
    span = continuous_span(snapshot.windows, window.starts_at)
    if not others or span is None:
        return
    start, end = span
    names = worker_words.some([f"#{other.number}" for other in others])
    yield (
        f"It touches {names}: visitors meet one closure, from {words.clock(start, now)} "
        f"{_to(end, start)}."
    )


def answer(outcome: Outcome, beginning: str, now: dt.datetime) -> tuple[dict[str, Any], list[str]]:
    """What came of a change of one planned closure, as data and in lines."""
    snapshot = store.load()
    said = {
        **words.state_data(outcome.state, outcome.mark),
        "changed": outcome.changed,
        "windows": [data(window, now) for window in outcome.windows],
    }
    lines = []
    told, further = outcome.windows[:FULLY_TOLD], outcome.windows[FULLY_TOLD:]
    for window in told:
        lines.append(f"{beginning} {line(window, now)[:-1]}; {when(window, now)}.")
        lines += neighbours(snapshot, window, now)
    if further:
        last = f"#{further[-1].number} on {words.clock(further[-1].starts_at, now)}"
        lines.append(f"… and {len(further)} more, the last of them {last}.")
    lines += _series(outcome, now)
    return said, [printable(text) for text in lines]


def _series(outcome: Outcome, now: dt.datetime) -> Iterator[str]:
    """What the series is that the closures of *outcome* belong to."""
    uids = {window.series for window in outcome.windows if window.series}
    for row in filter(None, map(store.find_series, sorted(uids))):
        if row.ended_at is not None:
            continue
        first = row.first_start.astimezone(recurrence.zone_of(row.zone))
        often = recurrence.described(recurrence.rule_of(row.rule), first)
        yield f"It repeats {often}, by the clocks of {row.zone}."
