"""``maintenance cancel``: take a planned closure back, or end the one that goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backsoon import services, store
from backsoon.exceptions import InvalidSettingError

from . import planned, words, worker_words
from .console import origin, plain_text, printable, usage_error

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from backsoon.core.vocabulary import Window
    from backsoon.snapshots import Snapshot

    from .console import Console

HELP = "Take a planned closure back; one that has begun ends now."
FAILURE = "Not cancelled"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare which."""
    planned.add_id(parser)
    parser.add_argument(
        "--series",
        action="store_true",
        help="All that are to come of the series that it belongs to.",
    )
    parser.add_argument("--reason", type=plain_text, default="", help="Why, for the history.")


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Cancel it."""
    before, now = store.load(), store.utc_now()
    window = planned.find(before, options["id"], FAILURE)
    if options["series"]:
        _cancel_series(console, options, before, window)
        return
    try:
        outcome = services.cancel(
            window.uid, reason=options["reason"] or "", origin=origin(), expected=before.mark
        )
    except InvalidSettingError as error:
        raise planned.as_usage_error(error, FAILURE) from None
    begun = window.starts_at <= now
    data = words.state_data(outcome.state, outcome.mark) | {
        "changed": outcome.changed,
        "ended": begun,
        "windows": [planned.data(window, now)],
    }
    what = "Ended" if begun else "Cancelled"
    switch = store.load().policy.switch
    state = words.state_line(outcome.state, outcome.mark, switch, store.utc_now())
    console.answer(data, [printable(f"{what} {planned.line(window, now)}"), state])


def _cancel_series(
    console: Console, options: Mapping[str, Any], before: Snapshot, window: Window
) -> None:
    if not window.series:
        raise usage_error(f"{FAILURE}: #{window.number} belongs to no series. Leave out --series.")
    try:
        outcome = services.end_series(
            window.series, reason=options["reason"] or "", origin=origin(), expected=before.mark
        )
    except InvalidSettingError as error:
        raise planned.as_usage_error(error, FAILURE) from None
    now = store.utc_now()
    to_come = [w for w in before.windows if w.series == window.series and w.starts_at > now]
    data = words.state_data(outcome.state, outcome.mark) | {
        "changed": outcome.changed,
        "ended": False,
        "windows": [planned.data(w, now) for w in to_come],
    }
    numbers = worker_words.some([f"#{w.number}" for w in to_come]) if to_come else "none was left"
    lines = [f"The series has ended. Cancelled: {numbers}."]
    if window.starts_at <= now:
        lines.append(
            f"#{window.number} goes on. End it: manage.py maintenance cancel {window.number}"
        )
    console.answer(data, lines)
