"""`python -m benchmarks`: measure everything, tell it, and write it down."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import alternatives as known
from benchmarks import (
    closed_site,
    growth,
    machine,
    memory,
    open_site,
    picture,
    polling,
    report,
    services,
    switching,
    throughput,
    waiting,
)
from benchmarks.crew import ROOT, Place, Rounds, log
from benchmarks.findings import Section

PAGE = ROOT / "docs" / "explanation" / "performance.md"
PICTURES = ROOT / "docs" / "images"
RESULTS = ROOT / "var" / "benchmarks.json"

QUICK_NAMES = ("open", "closed", "growth")


@dataclass(frozen=True)
class Effort:
    """How much is done for the numbers."""

    rounds: Rounds
    load: Rounds
    switches: int
    processes: int
    size: growth.Size
    readings: int
    open_alternatives: tuple[known.Alternative, ...]
    closed_alternatives: tuple[known.Alternative, ...]
    bare: bool


FULL = Effort(
    Rounds(40, 0.015), Rounds(7, 2), 110, 5, growth.FULL, 1_000, known.OPEN, known.CLOSED, True
)
QUICK = Effort(
    Rounds(3, 0.002), Rounds(1, 1), 3, 1, growth.QUICK, 20, known.QUICK_OPEN, known.QUICK_CLOSED,
    False,
)  # fmt: skip


def measurements(
    place: Place, there: services.Services, effort: Effort
) -> dict[str, Callable[[], Section]]:
    """What can be measured, by name."""
    return {
        "open": lambda: open_site.measure(
            place, effort.rounds, effort.open_alternatives, effort.bare
        ),
        "closed": lambda: closed_site.measure(place, effort.rounds, effort.closed_alternatives),
        "throughput": lambda: throughput.measure(place, effort.load),
        "switching": lambda: switching.measure(place, effort.switches),
        "waiting": lambda: waiting.measure(place, (effort.switches + 1) // 2),
        "memory": lambda: memory.measure(place, effort.processes),
        "growth": lambda: growth.measure(place, effort.rounds, effort.size),
        "polling": lambda: polling.measure(place, there, effort.readings, 5),
    }


def main(arguments: list[str]) -> int:
    """Measure what *arguments* ask for, and say what had to be left out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--only", default="", help="names with commas between them")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file for JSON")
    parser.add_argument("--docs", action="store_true", help="write tables and pictures to the docs")
    options = parser.parse_args(arguments)
    effort = QUICK if options.quick else FULL
    names = tuple(filter(None, options.only.split(","))) or (
        QUICK_NAMES if options.quick else report.ORDER
    )
    if options.docs and names != report.ORDER:
        parser.error("the docs show one run of everything: no --docs with --quick or --only")
    # Ended from outside, it takes the servers along that it started.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    about = machine.description()
    directory = Path(tempfile.mkdtemp(prefix="backsoon-benchmarks-"))
    options.results.parent.mkdir(parents=True, exist_ok=True)
    sections: list[Section] = []
    try:
        for section in _measured(directory, names, effort, with_services=not options.quick):
            sections.append(section)
            # After each: a run takes long, and what it has given should not be lost.
            options.results.write_text(report.as_json(about, sections), encoding="utf-8")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    parts = report.blocks(about, sections)
    sys.stdout.write("\n\n".join(parts.values()) + "\n")
    if options.docs:
        report.rewrite(PAGE, parts)
        for section in sections:
            for number, bars in enumerate(section.bars, 1):
                file = PICTURES / f"performance-{section.name}-{number}.svg"
                file.write_text(picture.svg(bars), encoding="utf-8")
    for reason in (reason for section in sections for reason in section.left_out):
        log(f"left out: {reason}")
    return 0


def _measured(
    directory: Path, names: tuple[str, ...], effort: Effort, with_services: bool
) -> Iterator[Section]:
    with services.running(directory, with_services) as there:
        place = Place(directory, there.addresses())
        measure = measurements(place, there, effort)
        for name in names:
            log(f"{name}:")
            yield measure[name]()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
