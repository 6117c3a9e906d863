"""``maintenance status``: what is true now."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from backsoon import brakes, lastknown, store
from backsoon.core.state import braked, resolve_state
from backsoon.core.vocabulary import Brake, Mode, State
from backsoon.exceptions import NotMigratedError, StoreUnavailableError
from backsoon.snapshots import Snapshot

from . import words
from .console import ExitCode

if TYPE_CHECKING:
    import datetime as dt
    from argparse import ArgumentParser

    from .console import Console

HELP = "Say whether the site is open, since when, why and until when."
FAILURE = "The state is not known"

EXIT_CODES = {
    Mode.OPEN: ExitCode.DONE,
    Mode.CLOSED: ExitCode.CLOSED,
    Mode.READ_ONLY: ExitCode.READ_ONLY,
}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--exit-code",
        action="store_true",
        help="Exit with 0 when the site is open, 10 when it is closed, 11 when it is read-only.",
    )


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Answer, from the database and not from what this process may remember."""
    try:
        snapshot = store.load()
    except NotMigratedError:
        raise
    except StoreUnavailableError:
        _tell_what_the_host_knows(console)
        raise
    now = store.utc_now()
    brake = brakes.read()
    state = resolve_state(snapshot.policy, snapshot.windows, now)
    data = words.state_data(state, snapshot.mark) | {
        "open_at_end": snapshot.policy.switch.open_at_end,
        "changed_outside": snapshot.changed_outside,
        "broken": [
            {"key": problem.key, "value": problem.value, "message": problem.message}
            for problem in snapshot.broken
        ],
        "missing": list(snapshot.missing),
        "read_from": "database",
        "brake": words.brake_data(brake) if brake is not None else None,
    }
    console.answer(data, [*_lines(snapshot, state, now), *_pending(brake, now)])
    code = EXIT_CODES[state.mode]
    if options["exit_code"] and code:
        sys.exit(int(code))


def _tell_what_the_host_knows(console: Console) -> None:
    """What its processes go by while the database is away; nothing if they know nothing."""
    known, brake, now = lastknown.load(), brakes.read(), store.utc_now()
    if known is None and brake is None:
        return
    snapshot = known or Snapshot()
    policy, windows = snapshot.policy, snapshot.windows
    if brake is not None:
        policy, windows = braked(policy, windows, brake)
    state = resolve_state(policy, windows, now)
    data = words.state_data(state, snapshot.mark) | {
        "open_at_end": policy.switch.open_at_end,
        "read_from": "host",
        "brake": words.brake_data(brake) if brake is not None else None,
    }
    source = "by an order on it" if brake is not None else "as far as it knew last"
    line = words.state_line(state, snapshot.mark, policy.switch, now)
    console.answer(data, [f"On this host, {source}: {line}", *_pending(brake, now)])


def _pending(brake: Brake | None, now: dt.datetime) -> Iterator[str]:
    if brake is None:
        return
    yield f"  In force on this host, whatever the database says: {words.brake_line(brake, now)}."
    yield (
        "  The first process here that reaches the database stores it for all hosts. To take it "
        "back: manage.py maintenance on, or off; with --local while the database is away."
    )


def _lines(snapshot: Snapshot, state: State, now: dt.datetime) -> Iterator[str]:
    switch = snapshot.policy.switch
    yield words.state_line(state, snapshot.mark, switch, now)
    details = {
        "by": switch.by if state.is_open else state.by,
        "reason": switch.reason if state.is_open else state.reason,
        "expected end": words.end_sentence(state, switch, now),
        "logins": f"those older than generation {state.generation} have ended"
        if state.generation
        else "",
        "next change": words.clock(state.next_change, now) if state.next_change else "",
    }
    for name, text in details.items():
        if text:
            yield f"  {name}: {text}"
    yield from _warnings(snapshot)


def _warnings(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.changed_outside:
        yield "  The switch was set in the table by other hands; running processes record it."
    for problem in snapshot.broken:
        yield (
            f"  {problem.key} holds {problem.value!r}, which cannot be used, so the default stands "
            f"in: {problem.message}"
        )
    if snapshot.missing:
        yield (
            f"  No row yet for {', '.join(snapshot.missing)}: the defaults hold. To make them: "
            "manage.py init_default_settings"
        )
