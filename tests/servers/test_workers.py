"""Several processes, one truth: a change reaches every worker, and none is lost with a worker."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.demo_server import HEADER, KINDS, WORKERS, Answer, DemoServer, serving, until

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.servers

POLL = 1.0
"""How often each worker looks, in seconds: the default, which the demo keeps."""

WITHIN = POLL + 1.0
SAME_CLOCK = 0.02
"""How far apart two readings of this machine's clock may seem, in seconds."""

QUICKLY = 5.0
"""How long a server may take to stop when no request is running, in seconds."""


def from_every_worker(client: httpx.Client, path: str) -> dict[int, httpx.Response]:
    """The answers of all workers to *path*, each asked on a connection of its own."""
    found: dict[int, httpx.Response] = {}

    def ask() -> dict[int, httpx.Response] | None:
        response = client.get(path, headers={"Connection": "close", "Accept": "text/html"})
        found.setdefault(int(response.headers[HEADER]), response)
        return found if len(found) >= WORKERS else None

    return until(ask, 20, lambda: f"{path} from {WORKERS} workers; only {set(found)}")


def outcomes(client: httpx.Client, path: str) -> set[tuple[int, str]]:
    """Status and target of the workers' answers."""
    responses = from_every_worker(client, path).values()
    return {(response.status_code, response.headers.get("Location", "")) for response in responses}


# -- Propagation ----------------------------------------------------------------------------------


def test_a_change_made_by_a_command_reaches_every_worker_within_a_poll_and_a_second(
    site: DemoServer,
) -> None:
    site.workers()
    site.manage("maintenance", "on")
    site.settle(mode="closed", seconds=WITHIN)
    site.manage("maintenance", "off")
    site.settle(mode="open", seconds=WITHIN)


def test_a_planned_closure_turns_every_worker_at_its_second_without_anybody_telling_it(
    site: DemoServer,
) -> None:
    site.workers()
    told = site.manage("maintenance", "schedule", "+4s", "+6s", "--json").stdout
    (window,) = json.loads(told)["windows"]
    start, end = (
        dt.datetime.fromisoformat(window[at]).timestamp() for at in ("starts_at", "ends_at")
    )
    seen: set[tuple[int, str]] = set()
    while (sent := time.time()) < end + 0.5:
        answers, received = site.ask(), time.time()
        # An answer on the way while the moment passes may be either; the clocks of workers are
        # those of this machine, read a few thousandths of a second apart.
        for mode, begin, over in (("open", 0.0, start), ("closed", start, end), ("open", end, 9e9)):
            if begin + SAME_CLOCK < sent and received < over - SAME_CLOCK:
                assert {answer.mode for answer in answers} == {mode}
                seen |= {(answer.worker, mode) for answer in answers}
    assert len(seen) == 2 * WORKERS  # each of them was heard open and closed


def test_a_worker_that_makes_a_change_knows_at_once_and_the_others_soon(site: DemoServer) -> None:
    with contextlib.closing(site.logged_in("admin")) as admin:
        token = admin.cookies["csrftoken"]
        for enabled, mode in ((True, "closed"), (False, "open")):
            answer = admin.post(
                "/admin/settings/toggle-maintenance/",
                json={"enabled": enabled},
                headers={"X-CSRFToken": token},
            )
            assert answer.json()["maintenance_mode"] is enabled
            worker = int(answer.headers[HEADER])
            assert first_answer_of(site, worker).mode == mode
            site.settle(mode=mode, seconds=WITHIN)


def first_answer_of(site: DemoServer, worker: int) -> Answer:
    """What *worker* says when it is next asked."""

    def ask() -> Answer | None:
        return next((answer for answer in site.ask() if answer.worker == worker), None)

    return until(ask, 10, f"an answer of worker {worker}")


def test_a_closure_ends_ordinary_logins_in_every_worker_and_no_administrators(
    site: DemoServer,
) -> None:
    with (
        contextlib.closing(site.logged_in("client")) as client,
        contextlib.closing(site.logged_in("admin")) as admin,
        contextlib.closing(site.logged_in("support")) as support,
    ):
        assert outcomes(client, "/orders/") == {(200, "")}
        site.close()
        assert outcomes(client, "/orders/") == {(302, "/maintenance/?next=/orders/")}
        assert outcomes(admin, "/orders/") == {(200, "")}
        assert outcomes(support, "/orders/") == {(200, "")}
        site.open()
        assert outcomes(client, "/orders/") == {(302, "/login/?next=/orders/")}
        assert outcomes(admin, "/orders/") == {(200, "")}
        assert outcomes(support, "/orders/") == {(200, "")}


def test_with_keep_logins_a_closure_ends_no_login(site: DemoServer) -> None:
    with contextlib.closing(site.logged_in("client")) as client:
        site.close(keep_logins=True)
        assert outcomes(client, "/orders/") == {(302, "/maintenance/?next=/orders/")}
        site.open()
        assert outcomes(client, "/orders/") == {(200, "")}


# -- Birth and death of workers -------------------------------------------------------------------


def test_workers_that_are_replaced_while_closed_begin_closed(site: DemoServer) -> None:
    site.close()
    old = site.workers()
    site.signal(signal.SIGHUP)
    fresh: set[int] = set()

    def all_are_new() -> bool | None:
        for answer in answers_while_changing(site):
            assert answer.mode == "closed", f"worker {answer.worker} let visitors in"
            if answer.worker not in old:
                fresh.add(answer.worker)
        return True if len(fresh) >= WORKERS else None

    until(all_are_new, 40, lambda: f"new workers; only {fresh} besides {old}")


def test_a_worker_that_replaces_a_killed_one_begins_closed(site: DemoServer) -> None:
    site.close()
    old = site.workers()
    os.kill(min(old), signal.SIGKILL)

    def a_new_one() -> Answer | None:
        for answer in answers_while_changing(site):
            assert answer.mode == "closed", f"worker {answer.worker} let visitors in"
            if answer.worker not in old:
                return answer
        return None

    until(a_new_one, 40, f"a worker besides {old}")


def answers_while_changing(site: DemoServer) -> Iterator[Answer]:
    """Answers, where connections may break because a worker goes away."""
    with contextlib.suppress(OSError):
        yield from site.ask()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_stops_within_seconds_and_leaves_no_process(
    kind: str, new_directory: Callable[[str], Path]
) -> None:
    with serving(kind, new_directory(f"stop-{kind}")) as server:
        server.workers()  # each has served, so its watcher runs
        assert server.stop() < QUICKLY
        assert server.process.returncode in (0, -signal.SIGTERM)
        until(lambda: _is_gone(server.process.pid), QUICKLY, "the end of all workers")
        assert "Traceback" not in server.words()


def _is_gone(group: int) -> bool | None:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return None
