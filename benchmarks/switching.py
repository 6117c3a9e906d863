"""From a change to the moment when the last of four workers refuses."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from benchmarks import alternatives as known
from benchmarks.crew import Crewman, Place, environment, log
from benchmarks.findings import Finding, Section, Table, at_most, duration
from benchmarks.samples import Sample, percentile
from benchmarks.servers import STYLE, Server, python_server
from tests.demo_server import HOST

POLL = 1.0
MOST_SECONDS_WOKEN, MOST_SECONDS_BEYOND_POLL = 0.05, 0.2
PAUSE = 0.005
"""Between two requests of a visitor: often enough to see, not so often that nothing else runs."""

Delay = tuple[float, float]
"""Seconds until the change was written, and until the last visitor was refused."""

LONGEST_WAIT = {"polling alone": POLL}
"""The longest wait before a change, so that changes meet every phase of the polling."""

SHORT_WAIT = 0.1
"""Where something wakes the workers, the phase does not matter."""

PATIENCE = 30.0

WAKE_UPS: dict[str, dict[str, Any]] = {
    "PostgreSQL LISTEN": {"LISTEN": True},
    "Redis pub/sub": {"LISTEN": False, "REDIS_URL": ""},
    "polling alone": {"LISTEN": False},
}


class Visitor(threading.Thread):
    """Asks one worker again and again on one connection, and notes when the answer changed."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.refused: bool | None = None
        self.since = 0.0
        self.ended = False

    def run(self) -> None:
        """Ask until ended."""
        connection = http.client.HTTPConnection(HOST, self.server.port, timeout=10)
        while not self.ended:
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            refused = answer.status != 200
            if refused is not self.refused:
                self.since, self.refused = time.monotonic(), refused
            time.sleep(PAUSE)
        connection.close()


def measure(place: Place, switches: int) -> Section:
    """Two gunicorn and two uvicorn workers on PostgreSQL, with each way of waking them."""
    section = Section("switching")
    rows = []
    for name, settings in WAKE_UPS.items():
        limit = MOST_SECONDS_WOKEN if name != "polling alone" else POLL + MOST_SECONDS_BEYOND_POLL
        target = f"p99 ≤ {duration(limit)}"
        what = f"A change until the last of 4 workers refuses, {name}"
        reason = lacking(place, settings)
        if reason:
            section.left_out.append(f"{what} ({reason})")
            section.findings.append(Finding(what, target, reason, None))
            continue
        log(f"  {what}: {switches} switches")
        delays = _delays(place, settings, switches, LONGEST_WAIT.get(name, SHORT_WAIT))
        refused = [until_refused for _until_written, until_refused in delays]
        written = Sample.of(until_written for until_written, _until_refused in delays)
        section.data[name] = delays
        sample, last = Sample.of(refused), percentile(refused, 0.99)
        measured = f"p50 {duration(sample.median)}, p99 {duration(last)}"
        section.findings.append(at_most(what, limit, last, target, measured))
        rows.append(
            [
                name,
                str(switches),
                duration(sample.median),
                duration(last),
                duration(max(refused)),
                duration(written.median),
            ]
        )
    section.tables.append(
        Table(
            "From the beginning of the change until the last of four workers refuses",
            ["woken by", "switches", "p50", "p99", "longest", "until written, p50"],
            rows,
        )
    )
    return section


def lacking(place: Place, settings: Mapping[str, Any]) -> str:
    """Why this cannot be measured here; empty when it can."""
    needed = ["postgresql", *(["redis"] if "REDIS_URL" in settings else [])]
    absent = [service for service in needed if service not in place.services]
    return f"no {' and no '.join(absent)} to be had" if absent else ""


def _delays(
    place: Place, settings: Mapping[str, Any], switches: int, longest_wait: float
) -> list[Delay]:
    """How long each of *switches* took, from before the change was written."""
    with site_of_four(place, settings) as (operator, servers):
        visitors = [Visitor(server) for server in servers]
        for visitor in visitors:
            visitor.start()
        try:
            chance = random.Random(20)  # noqa: S311  (phases that are the same in each run)
            _until_all(visitors, refused=False)
            return [
                _one(operator, visitors, chance.random() * longest_wait) for _ in range(switches)
            ]
        finally:
            for visitor in visitors:
                visitor.ended = True
            for visitor in visitors:
                visitor.join(PATIENCE)


@contextmanager
def site_of_four(
    place: Place, settings: Mapping[str, Any]
) -> Iterator[tuple[Crewman, list[Server]]]:
    """An operator's process, and four servers with one worker each on one PostgreSQL."""
    own = {"POLL": POLL, **settings}
    if "REDIS_URL" in own:
        own["REDIS_URL"] = place.services["redis"]
    alternative = replace(
        known.BACKSOON, database="postgresql", conn_max_age=600, settings={"BACKSOON": own}
    )
    site = place.site(alternative)
    with ExitStack() as stack:
        operator = stack.enter_context(place.worker(alternative, site))
        operator.ask("open")
        servers = []
        for kind in (*STYLE, *STYLE):
            application = f"benchmarks.site.applications:{STYLE[kind]}"
            starting = python_server(
                kind, application, environment(site), place.directory, pinned=False
            )
            servers.append(stack.enter_context(starting))
        yield operator, servers


def _one(operator: Crewman, visitors: list[Visitor], pause: float) -> Delay:
    time.sleep(pause)
    stamps = operator.ask("switch", close=True)
    begun: float = stamps["begun"]
    _until_all(visitors, refused=True)
    refused = max(visitor.since for visitor in visitors)
    operator.ask("switch", close=False)
    _until_all(visitors, refused=False)
    return stamps["done"] - begun, refused - begun


def _until_all(visitors: list[Visitor], refused: bool) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(visitor.refused is refused for visitor in visitors):
        if time.monotonic() > deadline:
            raise RuntimeError(f"Not all workers did so within {PATIENCE:g} s.")
        time.sleep(PAUSE)
