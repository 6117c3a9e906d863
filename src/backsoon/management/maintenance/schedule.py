"""``maintenance schedule``: plan a closure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.utils import timezone

from backsoon import recurrence, services, store
from backsoon.exceptions import InvalidSettingError

from . import closing, planned
from .console import origin, plain_text, usage_error
from .failures import require_time_zones
from .moments import parse_end, parse_start

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console

HELP = "Plan a closure: the site closes and opens by itself, to the second."
FAILURE = "Not planned"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the times and the options."""
    parser.add_argument(
        "start", metavar="START", help="When it begins: 2030-01-31T02:00+01:00, +30m, or now."
    )
    parser.add_argument(
        "end", nargs="?", metavar="END", help="When it ends: a moment, or from now on: +90m."
    )
    parser.add_argument(
        "--until-opened", action="store_true", help="It has no END; somebody opens by hand."
    )
    parser.add_argument(
        "--repeat",
        metavar="RULE",
        type=plain_text,
        default="",
        help=f"It comes again: {', '.join(recurrence.PRESETS)}, or a rule: FREQ=WEEKLY;BYDAY=SU.",
    )
    parser.add_argument(
        "--zone", type=plain_text, help="By whose clocks; that of the settings if not given."
    )
    planned.add_words(parser)
    planned.add_notice(parser)
    parser.add_argument(
        "--reason", type=plain_text, default="", help="Why, for the history and for colleagues."
    )
    parser.add_argument(
        "--keep-logins", action="store_true", help="Do not end the logins of ordinary users."
    )
    parser.add_argument(
        "--read-only", action="store_true", help="Let visitors read, but change nothing."
    )


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Plan it."""
    require_time_zones()
    now = store.utc_now()
    if (options["end"] is None) is not options["until_opened"]:
        raise usage_error(f"{FAILURE}: give an END, or --until-opened, and not both.")
    zone = options["zone"] or timezone.get_current_timezone_name()
    try:
        with timezone.override(recurrence.zone_of(zone)):
            start = parse_start(options["start"], now)
            end = None if options["end"] is None else parse_end(options["end"], now)
            repeat = _rule(options["repeat"], start)
    except ValidationError as error:
        raise usage_error(f"{FAILURE}: --zone: {' '.join(error.messages)}") from None
    except ValueError as error:
        raise usage_error(f"{FAILURE}: {error}") from None
    try:
        outcome = services.schedule(
            start,
            end,
            mode=closing.mode_of(options),
            keep_logins=options["keep_logins"],
            words=planned.words_of(options),
            notice=options["notice"],
            repeat=repeat,
            zone=zone,
            reason=options["reason"] or "",
            origin=origin(),
        )
    except InvalidSettingError as error:
        raise planned.as_usage_error(error, FAILURE) from None
    console.answer(*planned.answer(outcome, "Planned", store.utc_now()))


def _rule(text: str, start: dt.datetime) -> str:
    """The rule that was typed, or that a name of one stands for."""
    name = text.strip().lower()
    local = timezone.localtime(start)
    return recurrence.preset(name, local) if name in recurrence.PRESETS else text
