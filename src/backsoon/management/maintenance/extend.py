"""``maintenance extend``: give a planned closure a later end, also while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backsoon import services, store
from backsoon.exceptions import InvalidSettingError

from . import planned, words
from .console import origin, plain_text, usage_error
from .moments import parse_end

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console

HELP = "Let a planned closure last longer."
FAILURE = "Not extended"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare which, and until when."""
    planned.add_id(parser)
    parser.add_argument(
        "end", metavar="END", help="The new end: a moment, or so much later than now planned: +30m."
    )
    parser.add_argument("--reason", type=plain_text, default="", help="Why, for the history.")


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Extend it."""
    before = store.load()
    window = planned.find(before, options["id"], FAILURE)
    if window.ends_at is None:
        raise usage_error(
            f"{FAILURE}: #{window.number} has no end: it lasts until somebody opens. To give it "
            f"one: manage.py maintenance move {window.number} --end WHEN"
        )
    is_length = options["end"].strip().startswith("+")
    try:
        end = parse_end(options["end"], window.ends_at if is_length else store.utc_now())
    except ValueError as error:
        raise usage_error(f"{FAILURE}: {error}") from None
    if end <= window.ends_at:
        raise usage_error(
            f"{FAILURE}: #{window.number} lasts until "
            f"{words.clock(window.ends_at, store.utc_now())} already. To end it earlier: "
            f"manage.py maintenance move {window.number} --end WHEN"
        )
    try:
        outcome = services.reschedule(
            window.uid,
            ends_at=end,
            reason=options["reason"] or "",
            origin=origin(),
            expected=before.mark,
        )
    except InvalidSettingError as error:
        raise planned.as_usage_error(error, FAILURE) from None
    console.answer(*planned.answer(outcome, "Extended", store.utc_now()))
