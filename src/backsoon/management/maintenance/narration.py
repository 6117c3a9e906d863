"""How a wait goes, told while it lasts: a live table on a terminal, elsewhere a line per change."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Protocol

from backsoon.quiesce import Condition, Progress, Standing

from . import worker_words
from .console import Console
from .table import LiveTable


class Narrator(Protocol):
    """Somebody who tells how a wait goes."""

    def show(self, progress: Progress) -> None:
        """Tell where it stands now."""

    def say(self, line: str) -> None:
        """Tell what was done meanwhile."""


def narrator(console: Console, seconds: float, *, opened: bool = False) -> Narrator:
    """The one for this console, for a wait of at most so many *seconds*."""
    terminal = os.environ.get("TERM", "dumb") != "dumb"
    if console.stdout.isatty() and terminal and not console.as_json:
        return Table(console, seconds)
    return Lines(console, seconds, opened=opened)


class Table:
    """Tells by a table that is drawn again in place."""

    def __init__(self, console: Console, seconds: float) -> None:
        self._console, self._seconds = console, seconds
        self._table = LiveTable(console.stdout)

    def show(self, progress: Progress) -> None:
        """Draw the table."""
        self._table.show(progress, self._seconds)

    def say(self, line: str) -> None:
        """Write *line* below the table; the next one is drawn below that."""
        self._console.tell([line])
        self._table = LiveTable(self._console.stdout)


class Lines:
    """Tells by lines, and only what is new."""

    def __init__(self, console: Console, seconds: float, *, opened: bool = False) -> None:
        self._console, self._seconds, self._opened = console, seconds, opened
        self._told: dict[str, object] | None = None

    def show(self, progress: Progress) -> None:
        """Write a line for each worker of whom something is new."""
        facts = {standing.report.id: _fact(standing) for standing in progress.workers}
        if self._told is None:
            self._console.tell([self._beginning(progress)])
            # Who had acknowledged by then is no news; that all had is said at the end.
            self._told = {i: f for i, f in facts.items() if f in (Condition.QUIET, Condition.ENDED)}
        news = [s for s in progress.workers if facts[s.report.id] != self._told.get(s.report.id)]
        self._told |= facts
        self._console.tell(self._lines(news))

    def say(self, line: str) -> None:
        """Write *line*."""
        self._console.tell([line])

    def _beginning(self, progress: Progress) -> str:
        living = [s for s in progress.workers if s.condition is not Condition.ENDED]
        done = sum(s.condition is Condition.QUIET for s in living)
        verb = "know" if self._opened else "acknowledged"
        so_far = f" ({done} {verb} already)" if done else ""
        return (
            f"Waiting for {worker_words.count(len(living))}{so_far}, "
            f"at most {worker_words.length(self._seconds)}."
        )

    def _lines(self, standings: Iterable[Standing]) -> Iterator[str]:
        for standing in standings:
            report, name = standing.report, worker_words.name(standing.report)
            if standing.condition is Condition.QUIET:
                yield f"{name} {'knows' if self._opened else 'acknowledged'}"
            elif standing.condition is Condition.BUSY:
                yield f"still running on {name}: {', '.join(worker_words.all_running(report))}"
            elif standing.condition is Condition.SILENT:
                yield f"{name} has not been heard of for {worker_words.length(report.silence)}"
            elif standing.condition is Condition.ENDED:
                ended = "has ended" if report.ended_proven else "is not waited for any more"
                yield f"{name} {ended}"


def _fact(standing: Standing) -> object:
    """What has to change about a worker before it is told again; ages always do."""
    if standing.condition is Condition.BUSY:
        report = standing.report
        return (report.in_flight, *((unit.method, unit.path) for unit in report.units))
    return standing.condition
