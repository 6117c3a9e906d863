"""The site is open: what each way costs a request that has nothing to do with maintenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks import alternatives as known
from benchmarks.crew import Crewman, Place, Rounds, Timed, Times, in_turn, log
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
from benchmarks.samples import Sample, difference, ratio

MOST_SECONDS_ABOVE_NO_OP = 1e-6
LEAST_TIMES_FILE, LEAST_TIMES_LOCMEM = 50, 15

MOST_NOISE = 0.1
"""Share of a request; with more of it, nothing is said about what cannot be told apart."""

STYLES = {"wsgi": "WSGI", "asgi": "ASGI"}


def measure(
    place: Place,
    rounds: Rounds,
    alternatives: Sequence[known.Alternative] = known.OPEN,
    bare: bool = True,
) -> Section:
    """Middleware calls alone, whole requests, and what is counted in them.

    With *bare*, whole requests also where no other middleware stands.
    """
    section = Section("open")
    with place.crew(alternatives) as crew:
        section.left_out += left_out(place, alternatives)
        for style, shown in STYLES.items():
            log(f"  open, middleware call alone, {shown}")
            alone = _measured(section, crew, "call", style, rounds).wall
            section.tables.append(_table(f"Middleware call alone, {shown}", alone))
            if style == "wsgi":
                section.findings += _judge_call(alone)
                section.bars.append(_bars("Open: added to each request (middleware alone)", alone))
        for style, shown in STYLES.items():
            log(f"  open, whole request, {shown}")
            whole = _measured(section, crew, "whole", style, rounds)
            counts = _counted(section, crew, style)
            title = f"Whole request, {shown}, the middlewares of `startproject`"
            section.tables.append(_table(title, whole.wall, counts))
            section.findings += _judge_whole(shown, whole, counts)
    if not bare:
        return section
    with place.crew([replace(alternative, bare=True) for alternative in alternatives]) as crew:
        for style, shown in STYLES.items():
            log(f"  open, whole request, {shown}, no other middleware")
            whole = _measured(section, crew, "whole", style, rounds, "bare")
            counts = _counted(section, crew, style, "bare")
            title = f"Whole request, {shown}, no other middleware"
            section.tables.append(_table(title, whole.wall, counts))
            section.findings += _judge_whole(f"{shown}, no other middleware", whole, counts)
    return section


def left_out(place: Place, alternatives: Sequence[known.Alternative]) -> list[str]:
    """Which of these cannot be measured here, and why."""
    reasons = [(each.label, each.missing(place.services)) for each in alternatives]
    return [f"{label} ({reason})" for label, reason in reasons if reason]


def _measured(
    section: Section, crew: list[Crewman], do: str, style: str, rounds: Rounds, stack: str = "usual"
) -> Timed:
    tasks = [(worker.alternative.name, worker, do, style, "") for worker in crew]
    timed = in_turn(tasks, rounds)
    section.data[f"{do} {style} {stack}"] = timed.wall
    section.data[f"processor, {do} {style} {stack}"] = timed.processor
    return timed


def _counted(
    section: Section, crew: list[Crewman], style: str, stack: str = "usual"
) -> dict[str, dict[str, int]]:
    counts = {
        worker.alternative.name: worker.ask("counts", style=style, cookie="") for worker in crew
    }
    section.data[f"counts {style} {stack}"] = counts
    return counts


def _table(title: str, measured: Times, counts: dict[str, dict[str, int]] | None = None) -> Table:
    labels = {alternative.name: alternative.label for alternative in known.OPEN}
    floor = measured[known.NO_OP.name]
    rows = []
    for name, seconds in measured.items():
        sample, above = Sample.of(seconds), difference(seconds, floor)
        row = [labels[name], duration(sample.median), spread(sample)]
        row.append("" if name == known.NO_OP.name else duration(above.median))
        if counts is not None:
            row += [str(counts[name]["queries"]), str(counts[name]["hops"])]
        rows.append(row)
    columns = ["", "median", "middle half of the rounds", "above the no-op"]
    if counts is not None:
        columns += ["queries", "thread hops"]
    return Table(title, columns, rows)


def _bars(title: str, measured: Times) -> Bars:
    floor = measured[known.NO_OP.name]
    hidden = {known.NOTHING.name, known.NO_OP.name, known.CONTROL}
    labels = {alternative.name: alternative.label for alternative in known.OPEN}
    values = {
        labels[name]: difference(seconds, floor).median * 1e6
        for name, seconds in measured.items()
        if name not in hidden
    }
    return Bars(title, values)


def _judge_call(measured: Times) -> list[Finding]:
    ours = measured[known.BACKSOON.name]
    above = difference(ours, measured[known.NO_OP.name])
    what = "Open, middleware call alone"
    found = [
        at_most(
            what,
            MOST_SECONDS_ABOVE_NO_OP,
            above.median,
            "≤ 1 µs above the no-op",
            f"{duration(above.median)} ({spread(above)})",
        )
    ]
    for peer, least in (
        (known.PEER_FILE, LEAST_TIMES_FILE),
        (known.PEER_LOCMEM, LEAST_TIMES_LOCMEM),
    ):
        target = f"≥ {least} × cheaper than {peer.label}"
        if peer.name in measured:
            cheaper = ratio(measured[peer.name], ours)
            found.append(at_least(what, least, cheaper.median, target, times(cheaper)))
        else:
            found.append(Finding(what, target, "it is not installed", None))
    return found


def _judge_whole(shown: str, timed: Timed, counts: dict[str, dict[str, int]]) -> list[Finding]:
    """Within the noise: a round of ours differs from the no-op's by no more than the no-op itself.

    The noise is what a second process with the no-op differs by in the middle half of the rounds.
    By processor time: nobody waits for anything here, and it is the more severe of the two. Where
    there is a lot of noise nothing can be told from anything, which is no finding.
    """
    measured = timed.processor
    floor = measured[known.NO_OP.name]
    ours = ratio(measured[known.BACKSOON.name], floor).median - 1
    control = ratio(measured[known.CONTROL], floor)
    noise = max(abs(control.low - 1), abs(control.high - 1))
    above = difference(measured[known.BACKSOON.name], floor)
    own, base = counts[known.BACKSOON.name], counts[known.NO_OP.name]
    queries, hops = own["queries"], own["hops"] - base["hops"]
    what = f"Open, whole request, {shown}"
    seen = f"{ours:+.1%} ({duration(above.median)}); two no-ops differ by ±{noise:.1%}"
    told = "not to be told from the no-op"
    return [
        Finding(what, told, seen, ours <= noise if noise <= MOST_NOISE else None),
        at_most(
            what,
            0,
            queries + hops,
            "0 queries, 0 added thread hops",
            f"{number(queries) if queries else 0} queries, {hops} hops",
        ),
    ]
