"""``maintenance move``: change a planned closure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backsoon import services, store
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import InvalidSettingError

from . import planned
from .console import origin, plain_text, usage_error
from .moments import parse_end, parse_start

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console

HELP = "Change a planned closure; --start now begins it at once."
FAILURE = "Not moved"

CHANGES = (
    "start", "end", "until_opened", "closed", "read_only", "keep_logins", "end_logins",
    "usual_notice",
)  # fmt: skip
"""The options besides words and notice that change something."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare which, and what shall change."""
    planned.add_id(parser)
    parser.add_argument("--start", metavar="WHEN", help="A moment, from now on (+30m), or now.")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--end", metavar="WHEN", help="A moment, or from now on: +90m.")
    end.add_argument("--until-opened", action="store_true", help="Take its end away.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--closed", action="store_true", help="Let nobody in.")
    mode.add_argument(
        "--read-only", action="store_true", help="Let visitors read, but change nothing."
    )
    logins = parser.add_mutually_exclusive_group()
    logins.add_argument(
        "--keep-logins", action="store_true", help="Do not end the logins of ordinary users."
    )
    logins.add_argument("--end-logins", action="store_true", help="End them.")
    planned.add_words(parser)
    notice = parser.add_mutually_exclusive_group()
    planned.add_notice(notice)
    notice.add_argument(
        "--usual-notice", action="store_true", help="Tell visitors as early as the settings say."
    )
    parser.add_argument("--reason", type=plain_text, default="", help="Why, for the history.")


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Move it."""
    before, now = store.load(), store.utc_now()
    window = planned.find(before, options["id"], FAILURE)
    told = planned.words_of(options, window)
    if told is None and options["notice"] is None and not any(options[name] for name in CHANGES):
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
            mode=_mode(options),
            keep_logins=True
            if options["keep_logins"]
            else False
            if options["end_logins"]
            else None,
            words=told,
            notice=options["notice"],
            usual_notice=options["usual_notice"],
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


def _mode(options: Mapping[str, Any]) -> Mode | None:
    if options["read_only"]:
        return Mode.READ_ONLY
    return Mode.CLOSED if options["closed"] else None
