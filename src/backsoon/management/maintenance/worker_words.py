"""Workers in words and as data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from backsoon.quiesce import Condition, Report, Running, Standing

from . import words
from .console import printable

SHORTEST_ID = 6
"""Characters of an identifier that are shown at least."""

NAMED = 3
"""How many workers or units a sentence names; the others are counted."""


def name(report: Report) -> str:
    """Where it runs and what it is: ``web1:4711 (wsgi)``."""
    return printable(f"{report.place} ({report.kind})")


def running(unit: Running) -> str:
    """What it is and since when: ``POST /orders/ for 12 s``."""
    return printable(f"{unit.method} {unit.path} for {length(unit.age)}")


def all_running(report: Report) -> list[str]:
    """What a worker is waited for, the oldest first; those that its row does not name in one."""
    told = [running(unit) for unit in report.units]
    more = report.in_flight - len(told)
    if more > 0:
        told.append(f"{more} more" if told else f"{more} unit{'' if more == 1 else 's'}")
    return told


def running_in(standing: Standing) -> list[str]:
    """The same for a table; nothing of those that are no more."""
    return [] if standing.condition is Condition.ENDED else all_running(standing.report)


def some(texts: Sequence[str]) -> str:
    """The first of *texts*, and how many there are besides."""
    named = ", ".join(texts[:NAMED])
    return f"{named} and {len(texts) - NAMED} more" if len(texts) > NAMED else named


def length(seconds: float) -> str:
    """A length of time in short: ``0.3 s``, ``12 s``, ``5 minutes``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else words.span(dt.timedelta(seconds=seconds))


def count(number: int) -> str:
    """So many workers."""
    return f"{number} worker{'' if number == 1 else 's'}"


def everybody(number: int) -> str:
    """So many workers, as those who all did something."""
    return {1: "the one worker", 2: "both workers"}.get(number, f"all {number} workers")


def short_ids(reports: Iterable[Report]) -> dict[str, str]:
    """The beginning of each identifier that no other one of *reports* has, by identifier."""
    every = sorted({report.id for report in reports})
    neighbours = zip(["", *every], every, [*every[1:], ""], strict=False)
    return {
        own: own[: max(SHORTEST_ID, 1 + _shared(own, before), 1 + _shared(own, after))]
        for before, own, after in neighbours
    }


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def state(standing: Standing) -> str:
    """Where a worker stands, in one or two words."""
    report = standing.report
    if standing.condition is Condition.ENDED:
        return f"ended ({report.ended_how})"
    if standing.condition is Condition.SILENT:
        return f"silent for {length(report.silence)}"
    return standing.condition.value


def worker_data(standing: Standing) -> dict[str, Any]:
    """A worker as ``--json`` gives it: ages and lengths in seconds."""
    report = standing.report
    return {
        "id": report.id,
        "kind": report.kind,
        "host": report.host,
        "pid": report.pid,
        "version": report.version,
        "condition": standing.condition.value,
        "age": round(report.age, 3),
        "silence": round(report.silence, 3),
        "seen_epoch": report.seen_epoch,
        "acked_epoch": report.acked_epoch,
        "in_flight": report.in_flight,
        "apart": report.apart,
        "units": [
            {"method": unit.method, "path": unit.path, "age": round(unit.age, 3)}
            for unit in report.units
        ],
        "ended": report.ended_how,
    }
