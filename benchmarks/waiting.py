"""From the beginning of a closure until it is proven that all is quiet."""

from __future__ import annotations

import http.client
import random
import time

from benchmarks.crew import Crewman, Place, log
from benchmarks.findings import Finding, Section, Table, at_most, duration
from benchmarks.samples import Sample, percentile
from benchmarks.servers import Server
from benchmarks.switching import LONGEST_WAIT, POLL, SHORT_WAIT, WAKE_UPS, lacking, site_of_four
from tests.demo_server import HOST

MOST_SECONDS_WOKEN, MOST_SECONDS_BEYOND_POLL = 0.3, 0.3


def measure(place: Place, closures: int) -> Section:
    """`close_site(wait=...)` with two gunicorn and two uvicorn workers that have nothing to do."""
    section = Section("waiting")
    rows = []
    for name, settings in WAKE_UPS.items():
        polls = name == "polling alone"
        limit = POLL + MOST_SECONDS_BEYOND_POLL if polls else MOST_SECONDS_WOKEN
        target = f"p99 ≤ {duration(limit)}"
        what = f"From a closure to proven quiet, 4 idle workers, {name}"
        reason = lacking(place, settings)
        if reason:
            section.left_out.append(f"{what} ({reason})")
            section.findings.append(Finding(what, target, reason, None))
            continue
        log(f"  {what}: {closures} closures")
        with site_of_four(place, settings) as (operator, servers):
            for server in servers:
                _wake_up(server)
            seconds = _waits(operator, closures, LONGEST_WAIT.get(name, SHORT_WAIT))
        section.data[name] = seconds
        sample, last = Sample.of(seconds), percentile(seconds, 0.99)
        measured = f"p50 {duration(sample.median)}, p99 {duration(last)}"
        section.findings.append(at_most(what, limit, last, target, measured))
        longest = duration(max(seconds))
        rows.append([name, str(closures), duration(sample.median), duration(last), longest])
    section.tables.append(
        Table(
            "From the beginning of a closure until every worker has acknowledged it",
            ["woken by", "closures", "p50", "p99", "longest"],
            rows,
        )
    )
    return section


def _wake_up(server: Server) -> None:
    """Send the first request, with which a process begins to watch."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=10)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()


def _waits(operator: Crewman, closures: int, longest_pause: float) -> list[float]:
    chance = random.Random(20)  # noqa: S311  (phases that are the same in each run)
    seconds = []
    for _ in range(closures):
        time.sleep(chance.random() * longest_pause)
        seconds.append(float(operator.ask("wait", close=True)["seconds"]))
        operator.ask("wait", close=False)
    return seconds
