"""``maintenance move``: change the times or words of a planned closure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backsoon import services, store
from backsoon.exceptions import InvalidSettingError

from . import planned
from .console import origin, plain_text, usage_error
from .moments import parse_end, parse_start

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console

HELP = "Change the times or words of a planned closure; --start now begins it at once."
FAILURE = "Not moved"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare which, and what shall change."""
    planned.add_id(parser)
    parser.add_argument("--start", metavar="WHEN", help="A moment, from now on (+30m), or now.")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--end", metavar="WHEN", help="A moment, or from now on: +90m.")
    end.add_argument("--until-opened", action="store_true", help="Take its end away.")
    planned.add_words(parser)
    planned.add_notice(parser)
    parser.add_argument("--reason", type=plain_text, default="", help="Why, for the history.")


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Move it."""
    before, now = store.load(), store.utc_now()
    window = planned.find(before, options["id"], FAILURE)
    told = planned.words_of(options, window)
    given = options["start"] or options["end"] or options["until_opened"]
    if told is None and options["notice"] is None and not given:
        raise usage_error(f"{FAILURE}: say what shall change: --start, --end, --title, --message.")
    try:
        start = None if options["start"] is None else parse_start(options["start"], now)
        end = None if options["end"] is None else parse_end(options["end"], now)
    except ValueError as error:
        raise usage_error(f"{FAILURE}: {error}") from None
    try:
        outcome = services.reschedule(
            window.uid,
            starts_at=start,
            ends_at=end,
            until_opened=options["until_opened"],
            words=told,
            notice=options["notice"],
            reason=options["reason"] or "",
            origin=origin(),
            expected=before.mark,
        )
    except InvalidSettingError as error:
        raise planned.as_usage_error(error, FAILURE) from None
    if not outcome.changed:
        line = planned.line(window, now)
        data = {"changed": False, "windows": [planned.data(window, now)]}
        console.answer(data, [f"Nothing to change. {line}"])
        return
    console.answer(*planned.answer(outcome, "Moved", store.utc_now()))
