"""Workers that stop, die, are born and take their time while somebody waits until all is quiet."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.database_servers import PostgreSQL
from tests.demo_server import is_running, manage, until
from tests.faults.writers.crew import PATIENCE, Crew, Operator, pids, stopped

pytestmark = pytest.mark.servers("postgresql")

LONG = 10.0
"""Seconds that a wait may take whose end is certain."""


@pytest.fixture
def site(threaded: Crew) -> Crew:
    """An open site all of whose workers have registered."""
    threaded.settle()
    return threaded


@pytest.fixture
def other(threaded: Crew) -> Iterator[Operator]:
    """One more operator."""
    operator = Operator(threaded.server.env, threaded.server.directory / "other.log")
    operator.ask("look")  # it has started
    yield operator
    operator.end()


# -- Stopped -----------------------------------------------------------------------------------


def test_an_idle_worker_that_stands_still_is_not_taken_for_quiet_before_it_says_so(
    site: Crew,
) -> None:
    victim = min(site.pids())
    with stopped(victim):
        told = site.operator.ask("close", wait=LONG)
        assert told["verdict"] == "silent"
        assert told["mode"] == "closed"
        assert pids(told, "silent") == {victim}
        assert pids(told, "quiet") == site.pids() - {victim}
    assert site.operator.ask("close", wait=LONG)["verdict"] == "quiet"
    site.must_stay_quiet()


def test_the_sessions_of_a_worker_that_stands_still_can_be_ended_and_with_them_what_it_had_begun(
    site: Crew,
) -> None:
    request = site.begin("/transact/", ms=500, note="undone", timeout=60)
    with stopped(request.pid):
        done = manage(site.server.env, "maintenance", "on", "--wait", "--fence")
        assert str(request.pid) in done.stdout + done.stderr
    assert request.status.result(PATIENCE) == 500  # the command took its time, too
    # It lives, so it begins anew as soon as it finds its row ended, and has to be heard again.
    until(
        lambda: request.pid in {worker["pid"] for worker in site.registered()} or None,
        PATIENCE,
        "the worker that was stopped registers again",
    )
    told = site.operator.ask("close", wait=LONG)
    assert told["verdict"] == "quiet"
    assert request.pid in pids(told, "quiet")
    assert "undone" not in site.notes()
    site.must_stay_quiet()


# -- Ended and born ----------------------------------------------------------------------------


def test_a_killed_worker_is_not_waited_for_and_who_takes_its_place_is_born_closed(
    site: Crew,
) -> None:
    request = site.begin("/write/", ms=5000, note="of the dead")
    os.kill(request.pid, signal.SIGKILL)
    told = site.operator.ask("close", wait=LONG)
    assert told["verdict"] == "quiet"
    assert told["seconds"] < 3
    rows = [worker for worker in told["workers"] if worker["pid"] == request.pid]
    assert {worker["condition"] for worker in rows} == {"ended"}
    assert "gone" in {worker["ended"] for worker in rows}
    until(lambda: len(site.pids()) == 2 or None, PATIENCE, "a worker in its place")
    site.must_stay_quiet()
    assert "of the dead" not in site.notes()


def test_what_the_database_still_does_for_a_killed_worker_is_waited_for(site: Crew) -> None:
    """A server carries out the statement that it has begun, whether or not the client lives."""
    request = site.begin("/in-the-database/", ms=700, note="after death")
    os.kill(request.pid, signal.SIGKILL)
    told = site.operator.ask("close", wait=LONG)
    assert told["verdict"] == "quiet"
    assert "after death" in site.notes()
    site.must_stay_quiet()


def test_workers_that_are_added_during_the_wait_are_born_closed(site: Crew) -> None:
    request = site.begin("/write/", ms=1200)
    before = site.pids()
    site.operator.begin("close", wait=LONG)
    site.server.signal(signal.SIGTTIN)
    until(lambda: site.pids() > before or None, PATIENCE, "one more worker")
    told = site.operator.result("close")
    assert told["verdict"] == "quiet"
    assert request.status.result(PATIENCE) == 200
    site.must_stay_quiet()
    site.server.signal(signal.SIGTTOU)
    until(lambda: len(site.pids()) == len(before) or None, PATIENCE, "one worker less")


def test_a_reload_during_the_wait_ends_only_when_the_old_workers_requests_have(
    site: Crew,
) -> None:
    request = site.begin("/stream/", ms=1200, note="before the reload")
    old = site.pids()
    site.operator.begin("close", wait=LONG)
    site.server.signal(signal.SIGHUP)
    told = site.operator.result("close")
    assert told["verdict"] == "quiet"
    assert "before the reload" in site.notes()
    assert request.status.result(PATIENCE) == 200
    until(lambda: not any(map(is_running, old)) or None, PATIENCE, f"the end of {old}")
    until(lambda: len(site.pids()) == 2 or None, PATIENCE, "new workers")
    site.must_stay_quiet()


# -- Slow and failing --------------------------------------------------------------------------


def test_who_is_still_busy_when_the_time_is_over_is_named_without_the_query(site: Crew) -> None:
    request = site.begin("/write/", ms=1500, note="secret")
    told = site.operator.ask("close", wait=0.6)
    assert (told["verdict"], told["mode"]) == ("busy", "closed")
    (busy,) = (worker for worker in told["workers"] if worker["condition"] == "busy")
    assert (busy["pid"], busy["in_flight"]) == (request.pid, 1)
    ((method, path, age),) = busy["units"]
    assert (method, path) == ("GET", "/write/")
    assert 0.5 < age < 5
    assert "secret" not in site.notes()
    again = site.operator.ask("close", wait=LONG)
    assert (again["verdict"], again["epoch"]) == ("quiet", told["epoch"])
    assert "secret" in site.notes()


def test_a_stream_is_waited_for_to_its_last_piece(site: Crew) -> None:
    request = site.begin("/stream/", ms=1000, note="last piece")
    told = site.operator.ask("close", wait=LONG)
    assert told["verdict"] == "quiet"
    assert site.notes()[-1] == "last piece"
    assert request.status.result(PATIENCE) == 200


@pytest.mark.parametrize("path", ["/fail/", "/leave/"])
def test_a_view_that_fails_or_ends_its_process_is_waited_for_and_no_longer(
    site: Crew, path: str
) -> None:
    site.begin(path, ms=600, note=f"end of {path}")
    told = site.operator.ask("close", wait=LONG)
    assert told["verdict"] == "quiet"
    assert site.notes()[-1] == f"end of {path}"
    site.must_stay_quiet()


def closing(site: Crew, other: Operator, seconds: float) -> int:
    """Let *other* begin to wait for a closure of so many seconds; the closure's number."""
    other.begin("close", wait=seconds)

    def number() -> int | None:
        told = site.operator.ask("look")
        return told["epoch"] if told["mode"] == "closed" else None

    return until(number, PATIENCE, "the closure")


def test_an_operator_who_is_killed_while_waiting_leaves_a_site_that_can_be_waited_for_again(
    site: Crew, other: Operator
) -> None:
    site.begin("/write/", ms=1000, note="outlives the operator")
    number = closing(site, other, LONG)
    other.kill()
    assert "outlives the operator" not in site.notes()
    told = site.operator.ask("close", wait=LONG)
    assert (told["verdict"], told["mode"], told["epoch"]) == ("quiet", "closed", number)
    assert "outlives the operator" in site.notes()


def test_a_database_that_hangs_keeps_nobody_waiting_much_longer_than_was_asked_for(
    site: Crew, other: Operator, postgresql: PostgreSQL
) -> None:
    site.begin("/write/", ms=3000)
    closing(site, other, 1.5)
    with postgresql.paused():
        began = time.monotonic()
        told = other.result("close")
        # The time that is left, and what it takes to give a connection up.
        assert time.monotonic() - began < 1.5 + 4
    assert "StoreUnavailableError" in told["error"]
    assert site.operator.ask("close", wait=LONG)["verdict"] == "quiet"
