"""``maintenance status``: what is true now."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from backsoon import brakes, lastknown, store
from backsoon.core.schedule import next_boundary
from backsoon.core.state import braked, opens_from, resolve_state, switch_mode
from backsoon.core.vocabulary import Brake, Mode, State, Window
from backsoon.exceptions import NotMigratedError, StoreUnavailableError
from backsoon.snapshots import Snapshot

from . import fitness, planned, runs, words, worker_words, workers
from .console import ExitCode

if TYPE_CHECKING:
    import datetime as dt
    from argparse import ArgumentParser

    from .console import Console
    from .runs import Run

HELP = "Say whether the site is open, since when, why and until when."
FAILURE = "The state is not known"

PLANS_SHOWN = 3
"""How many planned closures it tells of; all of them are in the list."""

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
    progress, record = workers.look(), runs.read()
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
        "quiet": workers.is_quiet(progress),
        "workers": [worker_words.worker_data(standing) for standing in progress.workers],
        "run": _run_data(record),
        "windows": [planned.data(window, now) for window in _planned(snapshot, now)],
    }
    lines = [
        *_lines(snapshot, state, now),
        *([f"  command: {record.line(now)}"] if record is not None else ()),
        f"  workers: {workers.summary(progress)}",
        *_plans(snapshot, now),
        *(f"  opens unchecked: {how}" for how in fitness.unchecked(snapshot, now)),
        *_warnings(snapshot),
        *_pending(brake, now),
    ]
    console.answer(data, lines)
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
        "alarm": words.alarm_sentence(state, switch, now),
        "logins": _logins(state),
        "next change": _next_change(snapshot, now),
    }
    for name, text in details.items():
        if text:
            yield f"  {name}: {text}"


def _logins(state: State) -> str:
    """What became of the logins of ordinary users; empty where nothing can have."""
    if state.mode is not Mode.CLOSED or state.since is None:
        return ""
    ended = words.ends_logins(state.generation, state.since)
    return f"those of ordinary users {'have ended' if ended else 'were kept'}"


def _next_change(snapshot: Snapshot, now: dt.datetime) -> str:
    """When something changes by itself; an end that is only a promise changes nothing."""
    opens = (
        opens_from(snapshot.policy) if switch_mode(snapshot.policy, now) is not Mode.OPEN else None
    )
    edge = next_boundary(snapshot.windows, now)
    moments = [moment for moment in (opens, edge) if moment is not None and moment > now]
    return words.clock(min(moments), now) if moments else ""


def _planned(snapshot: Snapshot, now: dt.datetime) -> list[Window]:
    """The planned closures that go on or are to come."""
    return [window for window in snapshot.windows if not planned.is_over(window, now)]


def _plans(snapshot: Snapshot, now: dt.datetime) -> Iterator[str]:
    windows = _planned(snapshot, now)
    for window in windows[:PLANS_SHOWN]:
        yield f"  planned: {planned.line(window, now)[:-1]}; {planned.when(window, now)}"
    if len(windows) > PLANS_SHOWN:
        yield f"  and {len(windows) - PLANS_SHOWN} more: manage.py maintenance list"


def _run_data(record: Run | None) -> dict[str, Any] | None:
    return record.data | {"gone": record.is_gone} if record is not None else None


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
