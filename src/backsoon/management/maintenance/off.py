"""``maintenance off``: open the site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from backsoon import services, store
from backsoon.core.vocabulary import Mode, Switch
from backsoon.exceptions import ConflictError

from . import local, words
from .console import origin, plain_text
from .failures import require_time_zones

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from backsoon.services import Outcome
    from backsoon.snapshots import Mark

    from .console import Console

HELP = "Open the site."
FAILURE = "Not opened"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--reason", type=plain_text, default="", help="Why, for the history.")
    local.add_argument(parser)


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Open, unless somebody else switches after this has looked."""
    if options["local"]:
        local.run(Mode.OPEN, FAILURE, console, options)
        return
    require_time_zones()
    before = store.load()
    try:
        outcome = _open(options, before.mark)
    except ConflictError:
        before = store.load()
        if before.policy.switch.mode is not Mode.OPEN:
            raise
        outcome = _open(options, before.mark)  # somebody wanted the same at the same time
    since = store.utc_now() if outcome.changed else before.policy.switch.since
    data = words.state_data(outcome.state, outcome.mark) | {
        "changed": outcome.changed,
        "superseded": local.supersede(console),
    }
    console.answer(data, _lines(outcome, Switch(Mode.OPEN, since)))


def _open(options: Mapping[str, Any], expected: Mark) -> Outcome:
    return services.open_site(origin=origin(), reason=options["reason"] or "", expected=expected)


def _lines(outcome: Outcome, switch: Switch) -> Iterator[str]:
    line = words.state_line(outcome.state, outcome.mark, switch, store.utc_now())
    already = "" if outcome.changed else "It was off already. "
    yield already + line
    if not outcome.state.is_open:
        yield "The switch is off; a planned window keeps the site from opening."
