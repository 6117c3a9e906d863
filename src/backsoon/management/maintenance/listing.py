"""``maintenance list``: the planned closures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backsoon import store
from backsoon.core.vocabulary import Window
from backsoon.models import Window as WindowRow

from . import planned, words
from .console import printable
from .table import aligned

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console

HELP = "List the planned closures, the next one first."
FAILURE = "The planned closures are not known"

HEAD = ("ID", "STATE", "WHEN", "WHAT", "FROM, TO, LENGTH", "TITLE OR REASON")

PAST_SHOWN = 50
"""How many of those that are over --all shows at most."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--all",
        action="store_true",
        help=f"Also the last {PAST_SHOWN} that are over or were cancelled.",
    )


def run(console: Console, options: Mapping[str, Any]) -> None:
    """List them."""
    snapshot, now = store.load(), store.utc_now()
    windows = [window for window in snapshot.windows if not planned.is_over(window, now)]
    listed = [(window, planned.condition(window, now)) for window in windows]
    if options["all"]:
        listed = [*_past(now), *listed]
    data = {
        "windows": [planned.data(window, now) | {"state": state} for window, state in listed],
        "epoch": snapshot.mark.epoch,
    }
    if not listed:
        console.answer(data, ["No closure is planned. Plan one: manage.py maintenance schedule"])
        return
    rows = [_row(window, state, now) for window, state in listed]
    console.answer(data, aligned([HEAD, *rows]))


def _past(now: dt.datetime) -> list[tuple[Window, str]]:
    with store.translated_errors():
        rows = WindowRow.objects.using(store.alias())
        over = rows.filter(cancelled_at=None, ends_at__lte=now) | rows.exclude(cancelled_at=None)
        found = list(over.order_by("-starts_at", "-pk")[:PAST_SHOWN])
    return [(row.to_core(), "cancelled" if row.cancelled_at else "over") for row in reversed(found)]


def _row(window: Window, state: str, now: dt.datetime) -> tuple[str, ...]:
    told = window.told("").title or window.reason
    return (
        f"#{window.number}",
        state,
        planned.when(window, now) if state in ("planned", "running") else "",
        words.adjective(window.mode) + (", repeats" if window.series else ""),
        planned.times(window, now),
        printable(told if len(told) <= 60 else f"{told[:59]}…"),
    )
