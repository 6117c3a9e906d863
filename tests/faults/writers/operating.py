"""The operator's process: does what it reads, one line of JSON each, and says what came of it.

It closes and opens as `manage.py maintenance on --wait` and `off --wait` do, without an
interpreter's start for each of hundreds of rounds.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import django

from tests.faults.writers.hurry import hurry

Verb = Callable[..., dict[str, Any]]


def prepare() -> dict[str, Any]:
    """Make all tables."""
    from django.core.management import call_command

    from tests.faults.writers import stamps

    call_command("migrate", verbosity=0)
    stamps.make_table()
    return {}


def close(wait: float | None = None, **options: Any) -> dict[str, Any]:
    """Close the site, and wait until it is quiet; what then is written, and who stands where."""
    from backsoon import services
    from backsoon.exceptions import NotQuietError
    from tests.faults.writers import stamps

    began = time.monotonic()
    try:
        services.close_site(wait=wait, **options)
        verdict = "quiet" if wait is not None else "closed"
    except NotQuietError as error:
        verdict = error.progress.verdict.value
    took = time.monotonic() - began
    return {"verdict": verdict, "seconds": took, "written": stamps.written(), **look()}


def open_again(wait: float | None = None) -> dict[str, Any]:
    """Open the site, and wait until every worker knows."""
    from backsoon import services

    services.open_site(wait=wait)
    return {}


def look() -> dict[str, Any]:
    """What is known of the workers, without waiting."""
    from backsoon import quiesce

    progress = quiesce.look()
    return {
        "mode": progress.state.mode.value,
        "epoch": progress.mark.epoch,
        "workers": [
            {
                "id": worker.report.id,
                "pid": worker.report.pid,
                "host": worker.report.host,
                "kind": worker.report.kind,
                "condition": worker.condition.value,
                "ended": worker.report.ended_how,
                "in_flight": worker.report.in_flight,
                "units": [(unit.method, unit.path, unit.age) for unit in worker.report.units],
            }
            for worker in progress.workers
        ],
    }


def written() -> dict[str, Any]:
    """What the visitors have written."""
    from tests.faults.writers import stamps

    return {"written": stamps.written(), "notes": stamps.notes()}


def assume_dead(worker: str) -> dict[str, Any]:
    """Wait no more for a worker."""
    from backsoon import services

    services.assume_dead(worker, origin=services.CODE)
    return {}


def rounds(count: int, wait: float | None, seed: int) -> dict[str, Any]:
    """Open, let visitors in for a moment, close and wait; over and over.

    Says for each round what was written when the wait was over, and a while later just before the
    site is opened again; and what had been written when the switch was about to move.
    """
    from django.db import connections

    from backsoon import services
    from tests.faults.writers import stamps

    chance = random.Random(seed)
    done = []
    for _round in range(count):
        services.open_site(wait=10)
        time.sleep(chance.uniform(0, 0.03))  # how long it is open does not matter
        before = stamps.written()
        began = time.monotonic()
        services.close_site(wait=wait, keep_logins=True)
        took = time.monotonic() - began
        quiet = stamps.written()
        time.sleep(chance.uniform(0.005, 0.03))  # the time in which nothing may be written
        later = stamps.written()
        done.append({"before": before, "quiet": quiet, "later": later, "seconds": took})
        connections.close_all()  # as a command's end would
    return {"rounds": done}


VERBS: dict[str, Verb] = {
    "assume_dead": assume_dead,
    "close": close,
    "look": look,
    "open": open_again,
    "prepare": prepare,
    "rounds": rounds,
    "written": written,
}


def answer(line: str) -> dict[str, Any]:
    """Carry out one line."""
    from django.db import connections

    from backsoon.exceptions import BacksoonError

    request = json.loads(line)
    try:
        return VERBS[request["verb"]](**request["options"])
    except BacksoonError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        connections.close_all()


def main() -> None:
    """Answer every line until the input ends."""
    django.setup()
    hurry()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
