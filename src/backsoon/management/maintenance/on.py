"""``maintenance on``: close the site, or change the closure that has begun."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from backsoon import services, store
from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import Mode, Switch
from backsoon.exceptions import ConflictError

from . import local, words
from .console import origin, plain_text, usage_error
from .failures import require_time_zones
from .moments import parse_end

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from backsoon.services import Outcome
    from backsoon.snapshots import Snapshot

    from .console import Console

HELP = "Close the site. On a closed site it changes only what is given."
FAILURE = "Not closed"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--message", type=plain_text, help='What visitors read; "" brings the default back.'
    )
    parser.add_argument(
        "--until",
        metavar="WHEN",
        help="When you expect to be back: 2030-01-31T14:00+01:00, or +2h, +90m, +1d12h.",
    )
    parser.add_argument(
        "--open-at-end",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="Make the expected end a timer that opens the site, or a promise again.",
    )
    parser.add_argument(
        "--reason", type=plain_text, default="", help="Why, for the history and for colleagues."
    )
    parser.add_argument(
        "--keep-logins", action="store_true", help="Do not end the logins of ordinary users."
    )
    parser.add_argument(
        "--read-only", action="store_true", help="Let visitors read, but change nothing."
    )
    local.add_argument(parser)


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Close, unless somebody else switches to something else after this has looked."""
    if options["local"]:
        local.run(Mode.CLOSED, FAILURE, console, options)
        return
    require_time_zones()
    try:
        _close(console, options)
    except ConflictError:
        mode = Mode.READ_ONLY if options["read_only"] else Mode.CLOSED
        asks_for_more = any(
            options[name] not in (None, "")
            for name in ("message", "until", "reason", "open_at_end")
        )
        if asks_for_more or not _is_ongoing(store.load(), mode, store.utc_now()):
            raise
        _close(console, options)  # somebody wanted the very same at the same time


def _close(console: Console, options: Mapping[str, Any]) -> None:
    now = store.utc_now()
    asked_end = _until(options["until"], now)
    before = store.load()
    mode = Mode.READ_ONLY if options["read_only"] else Mode.CLOSED
    switch = before.policy.switch
    ongoing = _is_ongoing(before, mode, now)
    until, timer = _end(asked_end, options["open_at_end"], before, ongoing, now)
    outcome = services.close_site(
        origin=origin(),
        reason=options["reason"] or "",
        message=options["message"],
        until=until,
        mode=mode,
        keep_logins=options["keep_logins"],
        open_at_end=timer,
        expected=before.mark,
    )
    if ongoing and until is None:
        timer = switch.open_at_end
    after = Switch(mode, outcome.state.since, open_at_end=timer)
    amended = _amended(outcome, switch, after) if ongoing else []
    data = words.state_data(outcome.state, outcome.mark) | {
        "open_at_end": timer,
        "changed": outcome.changed,
        "already_on": ongoing,
        "amended": amended,
        "superseded": local.supersede(console),
    }
    console.answer(data, _lines(outcome, after, ongoing, amended, options))


def _is_ongoing(before: Snapshot, mode: Mode, now: dt.datetime) -> bool:
    state = resolve_state(before.policy, before.windows, now)
    set_by_us = before.policy.switch.mode is mode and not before.changed_outside
    return set_by_us and state.mode is mode


def _end(
    until: dt.datetime | None,
    given: bool | None,
    before: Snapshot,
    ongoing: bool,
    now: dt.datetime,
) -> tuple[dt.datetime | None, bool]:
    """The end, and whether it is a timer as *given*. What is not given stays as it is."""
    timer = bool(given) or (given is None and ongoing and before.policy.switch.open_at_end)
    if until is None and given is not None and ongoing:
        until = before.policy.ends_at  # the end stays, only its meaning changes
    if until is None and given:
        raise usage_error(f"{FAILURE}: --open-at-end needs an end, such as --until +2h.")
    if until is not None and until <= now:
        raise usage_error(f"{FAILURE}: the expected end has passed. Give a new one with --until.")
    return until, timer and until is not None


def _until(given: str | dt.datetime | None, now: dt.datetime) -> dt.datetime | None:
    """The end as ``call_command`` may give it, too: a datetime is taken as it is."""
    if isinstance(given, dt.datetime) and given.tzinfo is None:
        raise usage_error(f"{FAILURE}: --until: {given!r} has no time zone.")
    if given is None or isinstance(given, dt.datetime):
        return given
    try:
        return parse_end(given, now)
    except ValueError as error:
        raise usage_error(f"{FAILURE}: --until: {error}") from None


def _amended(outcome: Outcome, before: Switch, after: Switch) -> list[str]:
    """What was changed about a closure that had begun already."""
    stored = {key.partition(":")[0] for change in outcome.changes for key in change.after}
    changes = {
        "message": services.MESSAGE_KEY in stored,
        "expected end": services.END_KEY in stored,
        "opening at the end": before.open_at_end != after.open_at_end,
        "reason": before.reason != outcome.state.reason,
    }
    return [name for name, changed in changes.items() if changed]


def _lines(
    outcome: Outcome, switch: Switch, ongoing: bool, amended: list[str], options: Mapping[str, Any]
) -> Iterator[str]:
    line = words.state_line(outcome.state, outcome.mark, switch, store.utc_now())
    if not ongoing:
        yield line
        return
    changed = f"changed: {', '.join(amended)}" if amended else "nothing to change"
    yield f"It was on already; {changed}. {line}"
    if options["keep_logins"]:
        yield "--keep-logins changes nothing about a closure that has begun."
