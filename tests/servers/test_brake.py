"""A database that goes away under a site, and somebody who closes and opens all the same."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.database_servers import PostgreSQL
from tests.demo_server import DemoServer, environment, manage, serving, until

pytestmark = pytest.mark.servers("postgresql")

POLL = 1.0
"""How often each worker looks, in seconds: the default, which the demo keeps."""

WITHIN = POLL + 1.0
BACK_WITHIN = 10.0
"""How long the first reading and the merging may take when the database is back, in seconds."""


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    with PostgreSQL(tmp_path_factory.mktemp("postgresql")) as running:
        yield running


@pytest.fixture(scope="module")
def site(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    directory = tmp_path_factory.mktemp("brake") / "demo"
    url = postgresql.create_database("brake")
    # Tables are all that it takes: nobody logs in, and the page needs no file.
    manage(environment(directory, DATABASE_URL=url), "migrate", "--verbosity", "0")
    with serving("gunicorn", directory, DATABASE_URL=url) as server:
        server.workers()
        yield server
        postgresql.start()


def orders(site: DemoServer) -> list[dict[str, object]]:
    """What the history has of orders on one host, the latest first."""
    lines = site.manage("maintenance", "history", "--json").stdout.splitlines()
    return [change for change in map(json.loads, lines) if "local" in change["after"]]


def merged(site: DemoServer, count: int) -> None:
    """Wait until the history tells of *count* orders and none waits any more."""

    def all_are() -> bool | None:
        status = json.loads(site.manage("maintenance", "status", "--json").stdout)
        return True if status["brake"] is None and len(orders(site)) >= count else None

    until(all_are, BACK_WITHIN, lambda: f"{count} orders in the history: {orders(site)}")


def replace_workers(site: DemoServer) -> None:
    """Let workers start anew and wait for them."""
    old = site.workers()
    site.signal(signal.SIGHUP)

    def all_are_new() -> bool | None:
        with suppress(OSError, http.client.HTTPException):  # nobody may answer in between
            return True if not site.workers() & old else None
        return None

    until(all_are_new, 60, f"new workers instead of {old}")


def test_an_order_is_obeyed_without_the_database_outlives_the_workers_and_is_merged_once(
    site: DemoServer, postgresql: PostgreSQL
) -> None:
    postgresql.stop()
    done = site.manage("maintenance", "on", "--local", "--reason", "fire")
    assert "could not be reached" in done.stdout
    assert "Nobody may see it" not in done.stdout
    site.settle(mode="closed", seconds=WITHIN)
    status = site.manage("maintenance", "status", check=False)
    assert status.returncode == 5
    assert status.stdout.startswith("On this host, by an order on it: Maintenance is on since ")
    replace_workers(site)
    assert {answer.mode for answer in site.ask()} == {"closed"}
    postgresql.start()
    merged(site, 1)
    site.settle(mode="closed")
    (order,) = orders(site)
    assert (order["action"], order["reason"]) == ("closed", "fire")
    site.manage("maintenance", "off")
    site.settle(mode="open", seconds=WITHIN)
    assert len(orders(site)) == 1


def test_workers_that_start_without_the_database_believe_the_copy_and_obey_off_local(
    site: DemoServer, postgresql: PostgreSQL
) -> None:
    site.manage("maintenance", "on")
    site.settle(mode="closed", seconds=WITHIN)
    postgresql.stop()
    replace_workers(site)
    assert {answer.mode for answer in site.ask()} == {"closed"}
    assert min(answer.revision for answer in site.ask()) > 0  # by the copy, not by ignorance
    site.manage("maintenance", "off", "--local")
    site.settle(mode="open", seconds=WITHIN)
    postgresql.start()
    merged(site, 2)
    site.settle(mode="open")
    assert [order["action"] for order in orders(site)] == ["opened", "closed"]
