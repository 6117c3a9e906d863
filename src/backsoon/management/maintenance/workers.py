"""``maintenance workers``: who is registered, what they know, and what still runs in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backsoon import quiesce
from backsoon.quiesce import Condition, Progress, Standing

from . import words, worker_words
from .console import printable
from .table import aligned

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console

HELP = "List the processes that a closure waits for, and what still runs in them."
FAILURE = "The workers are not known"

HEAD = ("ID", "WORKER", "KIND", "VERSION", "HEARD OF", "KNOWS", "STATE", "RUNNING, AS LAST HEARD")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--all", action="store_true", help="Also those that have ended, of the last day."
    )


def run(console: Console, options: Mapping[str, Any]) -> None:
    """List them, from their rows."""
    progress = look()
    listed = [
        standing
        for standing in progress.workers
        if options["all"] or standing.condition is not Condition.ENDED
    ]
    data = {
        "mode": progress.state.mode.value,
        "epoch": progress.mark.epoch,
        "quiet": is_quiet(progress),
        "workers": [worker_words.worker_data(standing) for standing in listed],
    }
    console.answer(data, _lines(progress, listed))


def look() -> Progress:
    """Where all of them stand about what is in force now.

    Raises :class:`backsoon.exceptions.StoreUnavailableError`.
    """
    progress = quiesce.look()
    # What nobody closed cannot become quiet: then the question is who knows that it is open.
    return quiesce.look(opened=True) if progress.state.is_open else progress


def is_quiet(progress: Progress) -> bool | None:
    """Whether a closed site is proven quiet; ``None`` for one that is open."""
    return None if progress.state.is_open else progress.is_quiet


def summary(progress: Progress) -> str:
    """How many there are, and whether what was switched last has come to all of them."""
    living = [s for s in progress.workers if s.condition is not Condition.ENDED]
    if not living:
        return "none is registered"
    waiting = [s for s in living if s.condition is not Condition.QUIET]
    number = len(living)
    if progress.state.is_open:
        if waiting:
            return f"{number}; not known to be open in {_names(waiting)}"
        return f"{number}; the site is open in {'it' if number == 1 else 'all of them'}"
    if waiting:
        return f"not quiet: {_names(waiting)}"
    if not progress.is_quiet:
        return "not quiet: one is not waited for on somebody's word, and its lease is not over"
    return f"quiet: {worker_words.everybody(number)} acknowledged"


def versions(progress: Progress) -> list[str]:
    """The versions of Backsoon that run, if they are different ones."""
    found = {s.report.version for s in progress.workers if s.condition is not Condition.ENDED}
    return sorted(found) if len(found) > 1 else []


def _names(standings: Sequence[Standing]) -> str:
    return worker_words.some(
        [f"{worker_words.name(s.report)} {worker_words.state(s)}" for s in standings]
    )


def _lines(progress: Progress, listed: Sequence[Standing]) -> Iterator[str]:
    if not listed:
        yield (
            "No worker is registered. A process registers with its first request, once the tables "
            "are there. If the site answers requests all the same, it runs without the middleware, "
            "or an older version: a closure cannot wait for it."
        )
        return
    ids = worker_words.short_ids(standing.report for standing in progress.workers)
    is_open = progress.state.is_open
    yield from aligned([HEAD, *(row for s in listed for row in _rows(s, ids, is_open))])
    mode = words.adjective(progress.state.mode)
    yield f"The site is {mode} (epoch {progress.mark.epoch}). Workers: {summary(progress)}."
    different = versions(progress)
    if different:
        yield (
            f"Different versions of Backsoon run at once: {', '.join(map(printable, different))}. "
            "Restart those that are behind."
        )


def _rows(standing: Standing, ids: Mapping[str, str], is_open: bool) -> Iterator[tuple[str, ...]]:
    report = standing.report
    first, *others = worker_words.running_in(standing) or [""]
    knows = "-" if report.seen_epoch is None else str(report.seen_epoch)
    yield (
        ids[report.id],
        printable(report.place),
        printable(report.kind),
        printable(report.version),
        f"{worker_words.length(report.silence)} ago",
        knows,
        # Nothing is quiet about a worker that knows that the site is open.
        "open"
        if is_open and standing.condition is Condition.QUIET
        else worker_words.state(standing),
        first,
    )
    for other in others:
        yield ("",) * 7 + (other,)
