"""The site is closed: what it costs to refuse an ordinary visitor."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import alternatives as known
from benchmarks.crew import Crewman, Place, Rounds, Times, in_turn, log
from benchmarks.findings import (
    Bars,
    Finding,
    Section,
    Table,
    at_least,
    at_most,
    duration,
    number,
    spread,
    times,
)
from benchmarks.guarded import guard_is_there
from benchmarks.open_site import STYLES, left_out
from benchmarks.samples import Sample, ratio

MOST_TIMES_CONSTANT = 1.2
LEAST_TIMES_ANONYMOUS, LEAST_TIMES_SESSION = 4, 20
MOST_SECONDS_GUARD = 10e-6

VISITORS = {"stranger": "no cookie", "user": "an ordinary user's session cookie"}
LABELS = {alternative.name: alternative.label for alternative in known.CLOSED}


def measure(
    place: Place, rounds: Rounds, alternatives: Sequence[known.Alternative] = known.CLOSED
) -> Section:
    """Refusals by middleware, alone and in whole requests, and by the outermost guard."""
    section = Section("closed")
    with place.crew(alternatives) as crew:
        section.left_out += left_out(place, alternatives)
        for worker in crew:
            worker.ask("close")
        for style, shown in STYLES.items():
            for visitor, described in VISITORS.items():
                log(f"  closed, {shown}, {described}")
                alone = _measured(section, crew, "call", style, visitor, rounds)
                whole = _measured(section, crew, "whole", style, visitor, rounds)
                counts = _counted(section, crew, style, visitor)
                title = f"Closed, {shown}, {described}"
                section.tables.append(_table(title, alone, whole, counts))
                section.findings += _judge(f"{shown}, {described}", visitor, whole, counts)
                if style == "wsgi":
                    section.bars.append(_bars(f"{title}: a whole request", whole))
        _measure_guard(section, crew, rounds)
    return section


def _cookie(worker: Crewman, visitor: str) -> str:
    return worker.cookie if visitor == "user" else ""


def _measured(
    section: Section, crew: list[Crewman], do: str, style: str, visitor: str, rounds: Rounds
) -> Times:
    tasks = [
        (worker.alternative.name, worker, do, style, _cookie(worker, visitor)) for worker in crew
    ]
    measured = in_turn(tasks, rounds).wall
    section.data[f"{do} {style} {visitor}"] = measured
    return measured


def _counted(
    section: Section, crew: list[Crewman], style: str, visitor: str
) -> dict[str, dict[str, int]]:
    counts = {
        worker.alternative.name: worker.ask("counts", style=style, cookie=_cookie(worker, visitor))
        for worker in crew
    }
    section.data[f"counts {style} {visitor}"] = counts
    return counts


def _table(title: str, alone: Times, whole: Times, counts: dict[str, dict[str, int]]) -> Table:
    rows = []
    for name, seconds in whole.items():
        sample = Sample.of(seconds)
        against = ratio(seconds, whole[known.CONSTANT.name])
        rows.append(
            [
                LABELS[name],
                duration(Sample.of(alone[name]).median),
                duration(sample.median),
                spread(sample),
                "" if name == known.CONSTANT.name else times(against),
                str(counts[name]["queries"]),
            ]
        )
    columns = ["", "call alone", "whole request", "middle half", "of the constant 503", "queries"]
    return Table(title, columns, rows)


def _bars(title: str, whole: Times) -> Bars:
    values = {LABELS[name]: Sample.of(seconds).median * 1e6 for name, seconds in whole.items()}
    return Bars(title, values)


def _judge(
    shown: str, visitor: str, whole: Times, counts: dict[str, dict[str, int]]
) -> list[Finding]:
    what = f"Closed, middleware, {shown}"
    found = []
    for ours in (known.BACKSOON, known.IN_PLACE):
        answer = "redirect to the page" if ours is known.BACKSOON else "the page in place"
        against = ratio(whole[ours.name], whole[known.CONSTANT.name])
        queries = counts[ours.name]["queries"]
        found += [
            at_most(
                what,
                MOST_TIMES_CONSTANT,
                against.median,
                f"≤ {MOST_TIMES_CONSTANT} × a constant 503 in a middleware ({answer})",
                times(against),
            ),
            at_most(what, 0, queries, f"0 queries ({answer})", str(queries)),
        ]
    least = LEAST_TIMES_SESSION if visitor == "user" else LEAST_TIMES_ANONYMOUS
    target = f"≥ {least} × faster than {known.PEER_FILE.label}"
    if known.PEER_FILE.name in whole:
        theirs = whole[known.PEER_FILE.name]
        faster = ratio(theirs, whole[known.IN_PLACE.name])
        most = ratio(theirs, whole[known.CONSTANT.name])
        shown = f"{times(faster)}; the constant 503 is {number(most.median)} × faster"
        found.append(at_least(what, least, faster.median, target, shown))
    else:
        found.append(Finding(what, target, "it is not installed", None))
    return found


def _measure_guard(section: Section, crew: list[Crewman], rounds: Rounds) -> None:
    """The guard in process, beside an application that is nothing but a constant 503."""
    target = "≤ 10 µs"
    if not guard_is_there():
        section.findings.append(
            Finding("Closed, guard, in process", target, "there is no guard yet", None)
        )
        return
    ours = {
        worker.alternative.name: worker
        for worker in crew
        if worker.alternative in (known.BACKSOON, known.IN_PLACE)
    }
    for style, shown in STYLES.items():
        log(f"  closed, guard, {shown}")
        some = next(iter(ours.values()))
        tasks = [("constant 503 outside Django", some, "outside", style, "")]
        for name, worker in ours.items():
            for visitor, described in VISITORS.items():
                label = f"guard, {LABELS[name]}, {described}"
                tasks.append((label, worker, "guard", style, _cookie(worker, visitor)))
        measured = in_turn(tasks, rounds).wall
        section.data[f"guard {style}"] = measured
        rows = []
        for label, seconds in measured.items():
            sample = Sample.of(seconds)
            rows.append([label, duration(sample.median), spread(sample)])
            if label.startswith("guard"):
                what = f"Closed, {label}, in process, {shown}"
                section.findings.append(
                    at_most(
                        what, MOST_SECONDS_GUARD, sample.median, target, duration(sample.median)
                    )
                )
        title = f"Closed, the guard outside Django, in process, {shown}"
        section.tables.append(Table(title, ["", "median", "middle half of the rounds"], rows))
