"""Several hosts and one database: who is cut off from it is named, and never taken for quiet."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.demo_server import environment, until
from tests.faults.hosts import PORT, Host, ReachablePostgreSQL, bridge, obstacle
from tests.faults.writers.crew import KINDS, PATIENCE, SETTINGS, Operator, prepared
from tests.leaving_out import leave_out

pytestmark = pytest.mark.servers("postgresql", "iproute2")

LONG = 20.0


@dataclass
class Fleet:
    """The hosts, and the operator, who sits at the database."""

    hosts: list[Host]
    operator: Operator

    def settle(self) -> None:
        """Open the site on all hosts."""
        self.operator.ask("open")
        for host in self.hosts:

            def is_open(host: Host = host) -> bool | None:
                return status_of(host) == 200 or None

            until(is_open, PATIENCE, lambda: self.hosts[-1].log.read_text(encoding="utf-8"))


def standing(told: dict[str, Any], condition: str) -> set[str]:
    """The hosts on which workers stand so."""
    return {worker["host"] for worker in told["workers"] if worker["condition"] == condition}


def status_of(host: Host, query: str = "") -> int:
    """The status of the host's answer to somebody who wants to write; 0 for none."""
    connection = http.client.HTTPConnection(host.address, PORT, timeout=PATIENCE)
    try:
        connection.request("POST", f"/write/?{query}", headers={"Connection": "close"})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    reason = obstacle()
    if reason is not None:
        leave_out(reason)
    directory = tmp_path_factory.mktemp("hosts")
    with bridge(directory, 2) as hosts, ReachablePostgreSQL(directory) as database:
        url = database.create_database("fleet")
        site = prepared(directory / "site", DATABASE_URL=url)
        for host in hosts:
            own = directory / host.name
            own.mkdir()
            env = environment(own, SETTINGS, DATABASE_URL=database.url_seen_from_bridge("fleet"))
            host.serve([*KINDS["gunicorn-gthread"], "--workers", "1"], env)
        operator = Operator(environment(site, SETTINGS, DATABASE_URL=url), directory / "op.log")
        try:
            yield Fleet(hosts, operator)
        finally:
            operator.end()


def test_a_host_that_is_cut_off_during_the_wait_is_named_and_acknowledges_when_it_is_back(
    fleet: Fleet,
) -> None:
    fleet.settle()
    here, there = fleet.hosts
    with ThreadPoolExecutor(1) as visitors:
        visit = visitors.submit(status_of, there, "ms=1500&note=cut-off&begun=begun")
        until(
            lambda: any(n.startswith("begun") for n in fleet.operator.ask("written")["notes"])
            or None,
            PATIENCE, "somebody busy over there",
        )  # fmt: skip
        fleet.operator.begin("close", wait=LONG)
        until(lambda: status_of(here) == 503 or None, PATIENCE, "the closure here")
        there.cut()
        told = fleet.operator.result("close")
        assert (told["verdict"], told["mode"]) == ("silent", "closed")
        assert standing(told, "silent") == {there.name}
        assert standing(told, "quiet") == {here.name}
        there.join()
        again = fleet.operator.ask("close", wait=LONG)
        assert (again["verdict"], again["epoch"]) == ("quiet", told["epoch"])
        # Its row, if it came, came before the end of the wait.
        before = fleet.operator.ask("written")
        visit.result(PATIENCE)
    assert {status_of(host) for host in fleet.hosts} == {503}
    assert fleet.operator.ask("written") == before


def test_what_has_ended_on_another_host_is_not_proven_without_somebodys_word(fleet: Fleet) -> None:
    """Whether it has ended or the network has, nobody can tell who is not there."""
    fleet.settle()
    there = fleet.hosts[1]
    there.stop()
    told = fleet.operator.ask("close", wait=LONG)
    assert told["verdict"] == "silent"
    assert standing(told, "silent") == {there.name}
    for worker in told["workers"]:
        if worker["condition"] == "silent":
            fleet.operator.ask("assume_dead", worker=worker["id"])
    assert fleet.operator.ask("close", wait=LONG)["verdict"] == "quiet"
