"""What a process weighs more with Backsoon in it."""

from __future__ import annotations

from typing import Any

from benchmarks import alternatives as known
from benchmarks.crew import Place, log
from benchmarks.findings import Section, Table, at_most, number
from benchmarks.samples import Sample, difference

MOST_MB = 3.0
KINDS = {"Rss": "resident", "Pss": "its share"}
ICON = "fas fa-server"
"""One that has to be looked up; the default icon is built in."""

CASES = {
    "an empty Django": (known.NOTHING, {}),
    "open": (known.BACKSOON, {}),
    "closed": (known.IN_PLACE, {"maintenance_mode": "true"}),
    "closed, with an icon of the operator's choice": (
        known.IN_PLACE,
        {"maintenance_mode": "true", "maintenance_icon": ICON},
    ),
}


def measure(place: Place, processes: int) -> Section:
    """Fresh processes after two requests and a query, one kind after the other."""
    section = Section("memory")
    log(f"  memory of {processes} processes of each kind")
    weights: dict[str, list[dict[str, Any]]] = {name: [] for name in CASES}
    for _ in range(processes):
        for name in CASES:
            weights[name].append(_weigh(place, name))
    section.data["processes"] = weights
    empty = [weight["rss"] for weight in weights["an empty Django"]]
    rows = []
    for name, weighed in weights.items():
        resident = [weight["rss"] for weight in weighed]
        share = Sample.of(weight["pss"] for weight in weighed)
        above = difference(resident, empty)
        opened = max(weight["opened"] for weight in weighed)
        first = name == "an empty Django"
        rows.append(
            [
                name,
                f"{number(Sample.of(resident).median)} MB",
                f"{number(share.median)} MB",
                "" if first else f"{number(above.median)} MB",
                "" if first else str(opened),
            ]
        )
        if not first:
            section.findings.append(
                at_most(
                    f"Memory of a process above an empty Django, {name}",
                    MOST_MB,
                    above.median,
                    f"≤ {MOST_MB:g} MB",
                    f"{number(above.median)} MB ({number(above.low)} to {number(above.high)})",
                )
            )
    needless = max(weight["opened"] for name in ("open", "closed") for weight in weights[name])
    section.findings.append(
        at_most(
            "Icon data in workers that do not need it",
            0,
            needless,
            "not loaded",
            "not loaded" if not needless else f"opened {needless} times",
        )
    )
    section.tables.append(
        Table(
            "Memory of a process after its first requests",
            ["", "resident", "its share", "resident, above", "icon data opened"],
            rows,
        )
    )
    return section


def _weigh(place: Place, name: str) -> dict[str, Any]:
    alternative, stored = CASES[name]
    site = place.site(alternative)
    if stored:
        with place.worker(alternative, site) as operator:
            operator.ask("store", **stored)
    with place.worker(alternative, site) as worker:
        worker.ask("watch_icons")
        for _ in range(2):
            worker.ask("whole", style="wsgi", cookie="", count=1)
        worker.ask("touch")
        return {**worker.ask("memory"), **worker.ask("icons")}
