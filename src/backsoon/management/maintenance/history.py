"""``maintenance history``: who changed what, when, from where and why; newest first."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from backsoon import store
from backsoon.exceptions import StoreUnavailableError
from backsoon.models import Change

from . import words
from .console import usage_error
from .moments import parse_past

if TYPE_CHECKING:
    import datetime as dt
    from argparse import ArgumentParser

    from .console import Console

HELP = "List the changes, newest first. With --json one object per line."
FAILURE = "No history"

LONGEST_SHOWN = 60
"""Characters of an old or new value in the list; --json gives all of them."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--limit", type=_positive, default=20, metavar="N", help="At most so many; default 20."
    )
    parser.add_argument("--action", choices=Change.Action.values, help="Only this kind of change.")
    parser.add_argument("--channel", choices=Change.Channel.values, help="Only from there.")
    parser.add_argument(
        "--since", metavar="WHEN", help="Only from then on: a day, a moment, or a length (2h, 7d)."
    )


def run(console: Console, options: Mapping[str, Any]) -> None:
    """List what the filters leave."""
    now = store.utc_now()
    try:
        _show(console, _changes(options, now), now)
    except (TypeError, ValueError) as error:
        raise StoreUnavailableError(
            f"a row of the history cannot be read, it was changed by hand: {error}"
        ) from error


def _show(console: Console, changes: list[Change], now: dt.datetime) -> None:
    if console.as_json:
        for change in changes:
            console.answer(change_data(change), ())
        return
    lines = [line for change in changes for line in _lines(change, now)]
    console.answer({}, lines or ["No change is recorded that fits."])


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:10]) > 0 and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _changes(options: Mapping[str, Any], now: dt.datetime) -> list[Change]:
    rows = Change.objects.using(store.alias()).all()
    for name in ("action", "channel"):
        if options[name]:
            rows = rows.filter(**{name: options[name]})
    if options["since"]:
        try:
            rows = rows.filter(at__gte=parse_past(options["since"], now))
        except ValueError as error:
            raise usage_error(f"{FAILURE}: --since: {error}") from None
    with store.translated_errors():
        return list(rows[: options["limit"]])


def change_data(change: Change) -> dict[str, Any]:
    """The change as ``--json`` gives it, complete."""
    return {
        "at": words.iso(change.moment) if change.moment else None,
        "who": change.actor_name,
        "user": change.actor_id if change.actor_id is None else str(change.actor_id),
        "channel": change.channel,
        "action": change.action,
        "reason": change.reason,
        "epoch": change.epoch,
        "before": change.before,
        "after": change.after,
    }


def _lines(change: Change, now: dt.datetime) -> Iterator[str]:
    by_itself = change.channel == Change.Channel.SCHEDULE and not change.actor_name
    who = "" if by_itself else f" by {change.actor_name or 'unknown'}"
    reason = f": {change.reason}" if change.reason else ""
    when = words.clock(change.moment, now) if change.moment else "at an unknown time"
    yield (
        f"{when}  {change.get_action_display()}{who} "
        f"({change.get_channel_display()}, epoch {change.epoch}){reason}"
    )
    # Somebody may have put anything into the rows by hand.
    before = change.before if isinstance(change.before, dict) else {}
    after = change.after if isinstance(change.after, dict) else {}
    for key in {**before, **after}:
        old, new = before.get(key), after.get(key)
        if old != new:
            yield f"    {key}: {_shown(old)} → {_shown(new)}"


def _shown(value: object) -> str:
    if value is None or value == "":
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"
