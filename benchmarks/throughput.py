"""The site is closed: how many visitors a second real servers refuse."""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
import subprocess
from contextlib import ExitStack

from benchmarks import alternatives as known
from benchmarks.crew import Place, Rounds, environment, log, own_processor
from benchmarks.findings import Finding, Section, Table, at_least, number
from benchmarks.guarded import guard_is_there
from benchmarks.samples import Sample, ratio
from benchmarks.servers import COMMANDS, STYLE, Server, nginx, python_server
from tests import programs

LEAST_OF_CONSTANT = 0.8
CONNECTIONS = 16
WHAT = "Closed, guard, requests a second, {}"
WARM_UP_SECONDS = 1

HEADERS = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.8",
    "Accept-Encoding": "gzip",
    "Sec-Fetch-Mode": "navigate",
}
_BY_THE_SERVER = {"date", "server", "connection", "transfer-encoding", "keep-alive"}


def measure(place: Place, rounds: Rounds) -> Section:
    """Requests a second with the guard, with the middleware alone, and with constants."""
    section = Section("throughput")
    target = f"≥ {LEAST_OF_CONSTANT} of a constant 503 application"
    if shutil.which("wrk") is None:
        reason = "wrk is not installed"
        section.left_out.append(f"requests a second ({reason})")
        section.findings = [Finding(WHAT.format(kind), target, reason, None) for kind in COMMANDS]
        return section
    with ExitStack() as stack:
        servers = _servers(section, place, stack)
        measured = _load(servers, rounds)
    section.data["requests a second"] = measured
    rows = []
    for name, values in measured.items():
        sample = Sample.of(values)
        row = [name, number(sample.median), f"{number(sample.low)} to {number(sample.high)}"]
        kind = next((kind for kind in COMMANDS if name.startswith(kind)), "")
        constant = measured.get(f"{kind}: constant 503 outside Django")
        row.append(number(ratio(values, constant).median) if constant else "")
        rows.append(row)
    section.tables.append(
        Table(
            "Closed: requests a second, the page in place, the same bytes from each",
            ["", "median", "middle half of the rounds", "of the constant"],
            rows,
        )
    )
    for kind in COMMANDS:
        what = WHAT.format(kind)
        ours = measured.get(f"{kind}: guard")
        if ours is None:
            section.findings.append(Finding(what, target, "there is no guard yet", None))
            continue
        share = ratio(ours, measured[f"{kind}: constant 503 outside Django"])
        shown = f"{number(share.median)} ({number(Sample.of(ours).median)} a second)"
        section.findings.append(at_least(what, LEAST_OF_CONSTANT, share.median, target, shown))
    return section


def _servers(section: Section, place: Place, stack: ExitStack) -> dict[str, Server]:
    """All of them at once, closed; those that get no load cost next to nothing."""
    sites = {}
    for alternative in (known.IN_PLACE, known.CONSTANT):
        sites[alternative.name] = place.site(alternative)
        with place.worker(alternative, sites[alternative.name]) as worker:
            worker.ask("close")
    applications = {"middleware": ("benchmarks.site.applications:{}", known.IN_PLACE)}
    if guard_is_there():
        applications["guard"] = ("benchmarks.site.applications:guarded_{}", known.IN_PLACE)
    applications["middleware with a constant 503"] = (
        "benchmarks.site.applications:{}",
        known.CONSTANT,
    )
    found: dict[str, Server] = {}
    for kind, style in STYLE.items():
        for name, (application, alternative) in applications.items():
            env = environment(sites[alternative.name])
            starting = python_server(kind, application.format(style), env, place.directory)
            found[f"{kind}: {name}"] = stack.enter_context(starting)
    _status, headers, body = found["uvicorn: middleware"].get(HEADERS)
    kept = [(name, value) for name, value in headers if name.lower() not in _BY_THE_SERVER]
    section.data["answer"] = {"headers": kept, "bytes": len(body)}
    constant = json.dumps({"headers": kept, "body": body.hex()})
    for kind, style in STYLE.items():
        env = environment(sites[known.CONSTANT.name], BENCHMARK_CONSTANT=constant)
        application = f"benchmarks.site.constants:{style}"
        starting = python_server(kind, application, env, place.directory)
        found[f"{kind}: constant 503 outside Django"] = stack.enter_context(starting)
    if programs.find("nginx") is not None:
        found["nginx: a file"] = stack.enter_context(nginx(kept, body, place.directory))
    else:
        section.left_out.append("nginx serving a file (it is not installed)")
    return found


def _load(servers: dict[str, Server], rounds: Rounds) -> dict[str, list[float]]:
    chance = random.Random(20)  # noqa: S311  (an order that is the same in each run)
    for name, server in servers.items():
        log(f"  closed, under load: {name}")
        _wrk(server, WARM_UP_SECONDS)
    rates: dict[str, list[float]] = {name: [] for name in servers}
    order = list(servers)
    for _ in range(rounds.number):
        chance.shuffle(order)
        for name in order:
            rates[name].append(_wrk(servers[name], math.ceil(rounds.seconds)))
    return rates


def _wrk(server: Server, seconds: int) -> float:
    """Requests a second. Raises ``RuntimeError`` unless every one of them was refused."""
    headers = [part for item in HEADERS.items() for part in ("-H", ": ".join(item))]
    connections = ["--threads", "1", "--connections", str(CONNECTIONS)]
    done = subprocess.run(
        ["wrk", *connections, *headers, "--duration", f"{seconds}s", server.url],
        capture_output=True, text=True, timeout=seconds + 30, check=True, preexec_fn=_aside,
    )  # fmt: skip
    answered = _found(r"(\d+) requests in", done.stdout)
    refused = _found(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    if not answered or answered != refused or "Socket errors" in done.stdout:
        raise RuntimeError(f"{server.url}: {done.stdout}")
    return _found(r"Requests/sec:\s+([\d.]+)", done.stdout)


def _aside() -> None:
    """Leave the servers' processor to them, where there is another one."""
    servers = own_processor()
    if servers is not None:
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {servers})


def _found(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0
