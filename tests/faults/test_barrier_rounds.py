"""Nothing is written after the wait has returned, round after round, whatever server and database.

``BACKSOON_ROUNDS=2000`` does so many rounds in all instead of the few of every run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.demo_server import WORKERS, manage
from tests.faults.conftest import THREADED, CrewMaker
from tests.faults.writers.crew import KINDS, PATIENCE, Crew, pids, stopped

pytestmark = pytest.mark.servers("postgresql")

WHERE = [
    ("gunicorn-sync", "sqlite"),
    THREADED,
    ("gunicorn-preload-guarded", "sqlite"),
    ("uvicorn", "sqlite"),
    ("uvicorn-guarded", "postgresql"),
]

ROUNDS = -(-int(os.environ.get("BACKSOON_ROUNDS", "200")) // len(WHERE))

WITHOUT_WAITING = 6


def late(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rounds in which something was written after all was said to be quiet."""
    return [done for done in rounds if done["later"] != done["quiet"]]


def rounds_of(crew: Crew, count: int, **options: Any) -> list[dict[str, Any]]:
    """What came of so many rounds with a crowd at the door."""
    with crew.crowd():
        found: list[dict[str, Any]] = crew.operator.ask("rounds", count=count, **options)["rounds"]
    return found


def test_every_kind_of_server_and_both_databases_are_tried() -> None:
    assert {kind for kind, _store in WHERE} == set(KINDS)
    assert ROUNDS * len(WHERE) >= 200


@pytest.fixture(scope="module", params=WHERE, ids=["-on-".join(where) for where in WHERE])
def crew(request: pytest.FixtureRequest, new_crew: CrewMaker, threaded: Crew) -> Iterator[Crew]:
    """The site on each kind of server, open, with workers that have registered."""
    if request.param == THREADED:
        threaded.settle()
        yield threaded
        return
    with new_crew(*request.param) as made:
        made.settle()
        yield made


@pytest.mark.timeout(120 + 3 * ROUNDS)
def test_no_row_is_newer_than_the_end_of_the_wait(crew: Crew) -> None:
    done = rounds_of(crew, ROUNDS, wait=60, seed=ROUNDS)
    assert len(done) == ROUNDS
    assert late(done) == []
    # Mostly somebody was on the way as the switch was moved, or the wait had nothing to do.
    surprised = [found for found in done if found["quiet"] != found["before"]]
    assert len(surprised) > ROUNDS / 2
    took = sorted(found["seconds"] for found in done)
    print(  # noqa: T201  (for whoever asks with -s)
        f"{crew.server.kind}: {ROUNDS} rounds, {len(surprised)} with somebody on the way, wait "
        f"{took[ROUNDS // 2]:.3f} s (median), {took[-1]:.3f} s (longest)"
    )


def test_each_worker_has_a_row_of_its_own_and_says_what_it_serves(crew: Crew) -> None:
    workers = crew.registered()
    assert {worker["pid"] for worker in workers} == crew.pids()
    assert len({worker["id"] for worker in workers}) == len(workers) == WORKERS
    assert {worker["kind"] for worker in workers} == {"asgi" if crew.is_async else "wsgi"}


def test_a_view_is_waited_for_though_its_client_has_gone(crew: Crew) -> None:
    crew.operator.ask("open", wait=PATIENCE)
    request = crew.begin("/write/", ms=600, note="nobody reads this", timeout=0.3)
    assert request.status.result(PATIENCE) == 0
    assert crew.operator.ask("close", wait=PATIENCE)["verdict"] == "quiet"
    assert "nobody reads this" in crew.notes()


def test_a_worker_that_stands_still_with_a_request_in_hand_never_counts_as_quiet(
    crew: Crew,
) -> None:
    crew.operator.ask("open", wait=PATIENCE)
    request = crew.begin("/write/", ms=300, note="held")
    with stopped(request.pid):
        told = crew.operator.ask("close", wait=PATIENCE)
        assert (told["verdict"], pids(told, "silent")) == ("silent", {request.pid})
        # However often somebody asks.
        again = crew.operator.ask("close", wait=0.5)
        assert (again["verdict"], again["epoch"]) == ("silent", told["epoch"])
        assert "held" not in crew.notes()
    assert crew.operator.ask("close", wait=PATIENCE)["verdict"] == "quiet"
    assert "held" in crew.notes()
    crew.must_stay_quiet()
    assert request.status.result(PATIENCE) == 200


# -- What makes the rest worth something -----------------------------------------------------------


@pytest.mark.parametrize("crew", [THREADED], indirect=True, ids=["-on-".join(THREADED)])
def test_without_the_wait_rows_do_come_later(crew: Crew) -> None:
    assert late(rounds_of(crew, WITHOUT_WAITING, wait=None, seed=1))


@pytest.mark.parametrize("crew", [THREADED], indirect=True, ids=["-on-".join(THREADED)])
def test_the_commands_that_people_type_do_the_same(crew: Crew) -> None:
    env = crew.server.env
    manage(env, "maintenance", "off", "--wait")
    with crew.crowd():
        manage(env, "maintenance", "on", "--wait", "--timeout", "30")
        quiet = crew.operator.ask("written")["written"]
        refused = [crew.request("/write/", "POST") for _ in range(30)]
        later = crew.operator.ask("written")["written"]
    assert set(refused) == {503}
    assert later == quiet
