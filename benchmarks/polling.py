"""What the watcher costs PostgreSQL: one tiny read for each process and second."""

from __future__ import annotations

import re
from dataclasses import replace

from benchmarks import alternatives as known
from benchmarks.crew import Crewman, Place, log
from benchmarks.findings import Section, Table, duration, number
from benchmarks.samples import Sample
from benchmarks.services import Services

PROCESSES = 1_000
FULL_READINGS_PER_SECOND = 0.1
"""Everything is read again every ten seconds."""

LOGGED = 10
"""Readings whose statements are counted."""

_LOGGED = re.compile(r" LOG:  (?:statement: |execute )")


def measure(place: Place, services: Services, readings: int, rounds: int) -> Section:
    """Statements and processor time of a reading, and what a thousand processes make of it."""
    section = Section("polling")
    if services.postgresql is None:
        section.left_out.append("the watcher's cost (no postgresql to be had)")
        return section
    log(f"  what the watcher costs: {rounds} × {readings} readings")
    alternative = replace(known.BACKSOON, database="postgresql", conn_max_age=600)
    server: dict[bool, list[float]] = {False: [], True: []}
    client: dict[bool, list[float]] = {False: [], True: []}
    with place.worker(alternative) as worker:
        for _ in range(rounds):
            for full in (False, True):
                told = worker.ask("poll", count=max(1, readings // (10 if full else 1)), full=full)
                server[full].append(told["server"])
                client[full].append(told["client"])
        statements = {full: _statements(services, worker, full) for full in (False, True)}
    section.data.update(
        server={"numbers": server[False], "everything": server[True]},
        client={"numbers": client[False], "everything": client[True]},
        statements={"numbers": statements[False], "everything": statements[True]},
    )
    tiny, all_ = Sample.of(server[False]).median, Sample.of(server[True]).median
    per_second = tiny + all_ * FULL_READINGS_PER_SECOND
    asked = statements[False] + statements[True] * FULL_READINGS_PER_SECOND
    rows = [
        [
            name,
            number(statements[full]),
            duration(Sample.of(server[full]).median),
            duration(Sample.of(client[full]).median),
        ]
        for name, full in (("the numbers, each second", False), ("everything, each 10 s", True))
    ]
    note = (
        f"{PROCESSES:,} processes with `POLL` 1 s: {asked * PROCESSES:,.0f} statements a second "
        f"(transactions and time limits included), {per_second * PROCESSES:.2f} of one processor "
        f"of the database's machine, {PROCESSES:,} connections."
    )
    columns = ["one reading of", "statements", "processor, database", "processor, worker"]
    section.tables.append(Table("What the watcher costs PostgreSQL", columns, rows, note))
    return section


def _statements(services: Services, worker: Crewman, full: bool) -> float:
    """How many statements one reading sends, by the server's own log."""
    assert services.postgresql is not None
    database = services.databases[-1]
    services.postgresql.execute(f"ALTER DATABASE {database} SET log_statement = 'all'")
    logged = []
    for count in (LOGGED, 2 * LOGGED):  # the difference: what connecting costs falls out
        before = len(services.postgresql.words())
        worker.ask("poll", count=count, full=full)
        logged.append(len(_LOGGED.findall(services.postgresql.words()[before:])))
    services.postgresql.execute(f"ALTER DATABASE {database} RESET log_statement")
    return (logged[1] - logged[0]) / LOGGED
