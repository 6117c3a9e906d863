"""Whether all is quiet: what the rows of the workers say about a closure.

Silence is never taken for an acknowledgement. Who is not heard of may be paused with a request in
hand, and go on with it at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Condition(StrEnum):
    """Where one worker stands about a change of the switch."""

    QUIET = "quiet"
    """It has acknowledged: nothing ordinary runs in it, and nothing will."""
    BUSY = "busy"
    """It knows of the closure; something that began before still runs."""
    UNAWARE = "unaware"
    """It has not said yet that it knows."""
    SILENT = "silent"
    """It has not been heard of for so long that something is wrong."""
    ENDED = "ended"
    """It is no more."""


class Verdict(StrEnum):
    """What can be said about all of them."""

    QUIET = "quiet"
    WAITING = "waiting"
    """Nothing yet: the wait goes on."""
    SILENT = "silent"
    """Somebody cannot be heard, so nothing is proven."""
    BUSY = "busy"
    """All are heard, and something still ran when the time was over."""
    OVERTAKEN = "overtaken"
    """The switch is not where it was, so there is nothing to wait for."""


@dataclass(frozen=True, slots=True)
class Running:
    """A unit that has not ended."""

    method: str
    path: str
    age: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one worker said last, and how long ago."""

    id: str
    kind: str
    host: str
    pid: int
    version: str = ""
    age: float = 0.0
    """Seconds since it registered."""
    silence: float = 0.0
    """Seconds since it was heard of."""
    seen_epoch: int | None = None
    acked_epoch: int | None = None
    in_flight: int = 0
    apart: int = 0
    """How many units run that nobody waits for."""
    units: tuple[Running, ...] = ()
    """The oldest of those that are waited for."""
    ended_how: str = ""
    """Why it is not waited for; empty for the living."""
    ended_ago: float | None = None
    """Seconds since that was found or said."""
    ended_proven: bool = True
    """Whether its end is certain, not just somebody's word or a long silence."""
    session_name: str = ""

    @property
    def place(self) -> str:
        """Where it runs, in short: ``web1:4711``."""
        return f"{self.host}:{self.pid}"


@dataclass(frozen=True, slots=True)
class Standing:
    """A worker and where it stands."""

    report: Report
    condition: Condition


def condition(
    report: Report, epoch: int, silent_after: float, closed_for: float = float("inf")
) -> Condition:
    """Where a worker stands about the closure of number *epoch*.

    *silent_after* is in seconds, and so is *closed_for*: how long the site has been closed. Planned
    closures begin by the clock and share a number, so what was said before this one began may tell
    of the one before it.
    """
    if report.ended_how:
        return Condition.ENDED
    if report.acked_epoch == epoch and report.silence <= closed_for:
        return Condition.QUIET
    if report.silence > silent_after:
        return Condition.SILENT
    return Condition.BUSY if report.seen_epoch == epoch else Condition.UNAWARE


def condition_opened(report: Report, epoch: int, silent_after: float) -> Condition:
    """Where a worker stands about the opening of number *epoch*: quiet once it has seen it."""
    if report.ended_how:
        return Condition.ENDED
    if report.seen_epoch is not None and report.seen_epoch >= epoch:
        return Condition.QUIET
    return Condition.SILENT if report.silence > silent_after else Condition.UNAWARE


def verdict(
    workers: Sequence[Standing],
    *,
    elapsed: float,
    silent_after: float,
    lost_after: float,
    lease: float,
    time_is_over: bool = False,
) -> Verdict:
    """What can be said *elapsed* seconds after the wait began.

    All living workers have to be quiet. Where one is not waited for on somebody's word, a whole
    *lease* has to pass after that word: it may live on, with what it read last. Where only silent
    ones are left, and all of them for *lost_after* seconds, they get as long as it takes to become
    silent, to be heard again, and no longer.
    """
    conditions = {worker.condition for worker in workers} - {Condition.ENDED, Condition.QUIET}
    if not conditions:
        if not _on_somebodys_word(workers, lease):
            return Verdict.QUIET
        return Verdict.SILENT if time_is_over else Verdict.WAITING
    if time_is_over:
        return Verdict.BUSY if conditions == {Condition.BUSY} else Verdict.SILENT
    silences = [w.report.silence for w in workers if w.condition is Condition.SILENT]
    if conditions == {Condition.SILENT} and elapsed >= silent_after and min(silences) >= lost_after:
        return Verdict.SILENT
    return Verdict.WAITING


def _on_somebodys_word(workers: Iterable[Standing], lease: float) -> bool:
    return any(
        worker.condition is Condition.ENDED
        and not worker.report.ended_proven
        and (worker.report.ended_ago is None or worker.report.ended_ago < lease)
        for worker in workers
    )
