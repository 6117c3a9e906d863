"""``maintenance off``: open the site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from backsoon import services, store
from backsoon.core.vocabulary import Mode, Switch
from backsoon.exceptions import ChecksFailedError, ConflictError

from . import fitness, local, runs, waiting, words
from .console import origin, plain_text, usage_error
from .failures import require_time_zones

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from backsoon.services import Outcome
    from backsoon.snapshots import Mark

    from .console import Console
    from .waiting import Wish

HELP = "Open the site."
FAILURE = "Not opened"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--reason", type=plain_text, default="", help="Why, for the history.")
    waiting.add_wait(parser, "every worker knows that the site is open")
    local.add_argument(parser)
    fitness.add_force(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="Run the checks before opening, and change nothing.",
    )


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Open, unless somebody else switches after this has looked."""
    if options["local"]:
        local.run(Mode.OPEN, FAILURE, console, options)
        return
    require_time_zones()
    if options["check"]:
        _refuse_with_check(options)
        fitness.tell(console)
        return
    wish = waiting.wish_of(options, FAILURE)
    record = runs.read()
    before = store.load()
    try:
        outcome = _open(options, before.mark)
    except ChecksFailedError as error:
        raise fitness.refuse(console, error, FAILURE) from None
    except ConflictError:
        before = store.load()
        if before.policy.switch.mode is not Mode.OPEN:
            raise
        outcome = _open(options, before.mark)  # somebody wanted the same at the same time
    since = store.utc_now() if outcome.changed else before.policy.switch.since
    checks, forced = fitness.of_opening(outcome)
    data = words.state_data(outcome.state, outcome.mark) | {
        "changed": outcome.changed,
        "superseded": local.supersede(console),
        "checks": [result.record() for result in checks],
        "forced": forced,
    }
    lines = [*_lines(outcome, Switch(Mode.OPEN, since))]
    if forced:
        lines += ["Opened though checks failed:", *fitness.lines(checks)]
    if outcome.changed and record is not None and not record.is_over:
        lines.append(f"It was closed for a command: {record.line(store.utc_now())}")
    if wish is None:
        console.answer(data, lines)
    else:
        _wait(console, wish, data, lines)


def _open(options: Mapping[str, Any], expected: Mark) -> Outcome:
    return services.open_site(
        origin=origin(),
        reason=options["reason"] or "",
        expected=expected,
        force=options["force"],
    )


def _refuse_with_check(options: Mapping[str, Any]) -> None:
    others = [name for name in ("wait", "force", "reason") if options.get(name)]
    if others:
        raise usage_error(
            f"{FAILURE}: --check changes nothing, so it does not go with --{others[0]}."
        )


def _lines(outcome: Outcome, switch: Switch) -> Iterator[str]:
    line = words.state_line(outcome.state, outcome.mark, switch, store.utc_now())
    already = "" if outcome.changed else "It was off already. "
    yield already + line


def _wait(console: Console, wish: Wish, data: dict[str, Any], lines: list[str]) -> None:
    if not console.as_json:
        console.tell(lines)
    result = waiting.wait(console, wish, opened=True)
    if result.progress is not None:
        data |= words.state_data(result.progress.state, result.progress.mark)
    if not result.code:
        console.answer(data | result.data, [result.sentence])
        return
    if console.as_json:
        console.answer(data | result.data, ())
    raise CommandError(
        f"Opened, but {result.sentence} {result.advice}".rstrip(), returncode=result.code
    )
