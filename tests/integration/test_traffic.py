"""Counting requests: which, when they are stored, and that none is lost or counted twice."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from backsoon import services, store, traffic
from backsoon.core.traffic import Observation
from backsoon.exceptions import StoreUnavailableError
from backsoon.gate import gate
from backsoon.models import Traffic
from backsoon.testing import give_pass, override_maintenance
from backsoon.traffic import KEPT_HOURS, Tally, add, hour_of, observations
from tests.integration.databases import ALIAS, backsoon_in
from tests.visitors import Visitor

NOON = dt.datetime(2030, 1, 7, 12, tzinfo=dt.UTC)
HOUR = hour_of(NOON)
SECOND, MINUTE = dt.timedelta(seconds=1), dt.timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _count_from_here() -> None:
    traffic.take()


def stored() -> dict[int, tuple[int, int]]:
    """Requests and observed minutes by hour."""
    return {
        row.hour: (row.requests, int(row.minutes).bit_count())
        for row in Traffic.objects.using(store.alias())
    }


@contextmanager
def away() -> Iterator[None]:
    """A database that cannot be reached."""
    with mock.patch("backsoon.traffic.add", side_effect=StoreUnavailableError("away")):
        yield


# -- Which requests ----------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/async/", "/stream/", "/nope/", "/admin/", "/loginn/"])
def test_what_a_closure_would_turn_away_is_counted(visitor: Visitor, path: str) -> None:
    visitor.get(path)
    assert traffic.take() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/healthy/", "/healthy/async/", "/maintenance/status.json", "/login/", "/maintenance/"]
)
def test_what_stays_reachable_while_the_site_is_closed_is_not(visitor: Visitor, path: str) -> None:
    visitor.get(path)
    assert traffic.take() == 0


@pytest.mark.django_db
@override_settings(BACKSOON={"EXEMPT": ["POST /async/", "/api"]})
def test_exempt_paths_are_not_counted_and_their_neighbours_are(visitor: Visitor) -> None:
    for path in ("/api/", "/api/nope/"):
        visitor.get(path)
        assert traffic.take() == 0
    visitor.post("/async/")
    assert traffic.take() == 0
    visitor.get("/async/")
    visitor.get("/apiary/")
    assert traffic.take() == 2


@pytest.mark.django_db
@override_settings(BACKSOON={"EXEMPT_NETWORKS": ["127.0.0.0/8"]})
def test_exempt_networks_are_not_counted(visitor: Visitor) -> None:
    visitor.get("/")
    assert traffic.take() == 0


def test_administrators_are_not_counted_and_other_users_are(
    visitor: Visitor, root: User, bob: User
) -> None:
    visitor.client.force_login(bob)
    visitor.get("/account/")
    assert traffic.take() == 1
    visitor.client.force_login(root)
    give_pass(visitor.client, root)
    visitor.get("/account/")
    assert traffic.take() == 0


@pytest.mark.django_db
@pytest.mark.parametrize("mode", ["closed", "read_only"])
def test_while_the_site_is_not_open_nothing_is_counted(visitor: Visitor, mode: str) -> None:
    with override_maintenance(mode):
        visitor.get("/")
    assert traffic.take() == 0


@pytest.mark.django_db
def test_counting_can_be_turned_off_and_on_again(visitor: Visitor) -> None:
    with override_settings(BACKSOON={"COUNT_TRAFFIC": False}):
        visitor.get("/")
        assert traffic.take() == 0
    visitor.get("/")
    assert traffic.take() == 1


@pytest.mark.django_db
def test_a_request_costs_no_query_and_a_broken_look_at_the_routes_breaks_no_request(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    with CaptureQueriesContext(connection) as queries:
        visitor.get("/")
    assert not queries.captured_queries
    with (
        override_settings(BACKSOON={}),
        mock.patch("backsoon.http.counting.site_routes", side_effect=ImportError("no")),
    ):
        assert visitor.get("/").status_code == 200
        assert visitor.get("/").status_code == 200
    assert caplog.text.count("none are counted") == 1


def test_threads_that_count_at_the_same_time_lose_nothing() -> None:
    def many() -> None:
        for _ in range(20_000):
            traffic.arrive()

    threads = [threading.Thread(target=many) for _ in range(8)]
    taken = 0
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken += traffic.take()
    assert taken + traffic.take() == 160_000


def test_a_child_leaves_to_its_parent_what_the_parent_counted() -> None:
    traffic.arrive()
    gate.after_fork()
    assert traffic.take() == 0


# -- What was observed -------------------------------------------------------------------------


def observed(*looks: tuple[dt.datetime, bool]) -> dict[int, int]:
    """The bits of each hour after these looks: when, and whether the site was open."""
    tally, seen = Tally(), {}

    def keep(hour: int, requests: int, minutes: int) -> None:
        seen[hour] = minutes

    with mock.patch("backsoon.traffic.add", keep):
        for now, is_open in looks:
            tally.look(now, is_open=is_open)
        tally.flush()
    return seen


def test_each_minute_in_which_the_site_was_open_is_observed() -> None:
    looks = [(NOON + n * SECOND, True) for n in range(0, 185, 5)]
    assert observed(*looks) == {HOUR: 0b1111}


def test_minutes_in_which_the_site_was_closed_are_not() -> None:
    looks = [(NOON + n * 30 * SECOND, not 4 <= n < 10) for n in range(14)]
    assert observed(*looks) == {HOUR: 0b1100011}


def test_slow_looks_observe_the_minutes_between_them_over_the_end_of_the_hour() -> None:
    start = NOON - 90 * SECOND
    assert observed((start, True), (start + 2 * MINUTE, True)) == {HOUR - 1: 0b11 << 58, HOUR: 1}


def test_a_process_that_stood_still_observed_nothing_meanwhile() -> None:
    assert observed((NOON, True), (NOON + 10 * MINUTE, True)) == {HOUR: 0b10000000001}


def test_a_clock_that_is_set_back_observes_no_time_twice() -> None:
    assert observed((NOON + MINUTE, True), (NOON, True)) == {HOUR: 0b11}


# -- Storing -----------------------------------------------------------------------------------


def tally_of(requests: int, now: dt.datetime = NOON, tally: Tally | None = None) -> Tally:
    tally = tally or Tally()
    for _ in range(requests):
        traffic.arrive()
    tally.look(now, is_open=True)
    return tally


@pytest.mark.django_db
def test_counts_of_all_processes_are_added_and_their_minutes_joined() -> None:
    one, other = tally_of(3), tally_of(4)
    one.flush()
    other.flush()
    tally_of(5, NOON + MINUTE, one).flush()
    assert stored() == {HOUR: (12, 2)}
    one.flush()
    assert stored() == {HOUR: (12, 2)}


@pytest.mark.django_db
def test_what_cannot_be_stored_is_kept_for_its_hour() -> None:
    tally = tally_of(3)
    with away():
        tally.flush()
        tally_of(2, NOON + 60 * MINUTE, tally).flush()
    assert tally.waiting == 5
    tally.flush()
    assert stored() == {HOUR: (3, 1), HOUR + 1: (2, 1)}
    assert tally.waiting == 0


@pytest.mark.django_db
def test_what_waits_for_a_database_that_stays_away_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traffic, "KEPT_HOURS", 30)
    tally = Tally()
    with away():
        for hours in range(80):
            tally_of(1, NOON + hours * 60 * MINUTE, tally)
        tally.flush()
    assert tally.waiting == 30
    # It is stored bit by bit, so that the watcher does not miss what is urgent.
    tally.flush()
    assert tally.waiting == 20
    tally.flush()
    tally.flush()
    assert sorted(stored()) == [HOUR + hours for hours in range(50, 80)]


@pytest.mark.django_db
def test_a_tally_stores_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(traffic, "since_boot", lambda: now)
    tally = tally_of(1)
    for _second in range(61):
        tally.flush_when_due()
        now += 1
    assert stored() == {HOUR: (1, 1)}
    tally_of(1, tally=tally)
    now -= 1
    assert tally.waiting == 1
    for _second in range(61):
        tally.flush_when_due()
        now += 1
    assert tally.waiting == 0


@pytest.mark.django_db
def test_old_hours_are_forgotten_and_those_that_a_wrong_clock_wrote_as_well() -> None:
    for hour in (HOUR - KEPT_HOURS - 1, HOUR - KEPT_HOURS, HOUR - KEPT_HOURS + 1, HOUR + 9_999):
        Traffic.objects.create(hour=hour)
    add(HOUR, 1, 1)
    assert set(stored()) == {HOUR - KEPT_HOURS + 1, HOUR}


@pytest.mark.django_db
def test_only_the_last_weeks_are_read() -> None:
    for hour in (HOUR - KEPT_HOURS, HOUR - KEPT_HOURS + 1, HOUR, HOUR + 1):
        Traffic.objects.create(hour=hour, requests=7, minutes=0b111)
    last = NOON - (KEPT_HOURS - 1) * 60 * MINUTE
    assert observations(NOON) == [Observation(last, 7, 3), Observation(NOON, 7, 3)]


def test_many_processes_that_store_at_once_lose_nothing(
    tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    failures: list[Any] = []

    def one(number: int) -> None:
        tally = Tally()
        try:
            for turn in range(10):
                with lock:
                    tally_of(3, NOON + (turn * 7 + number) * MINUTE, tally)
                tally.flush()
            for _attempt in range(50):
                tally.flush()
            failures.extend([tally.waiting] if tally.waiting else [])
        finally:
            connections[ALIAS].close()

    lock = threading.Lock()
    with django_db_blocker.unblock(), backsoon_in(tmp_path / "db.sqlite3", timeout=0.25):
        threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert sum(requests for requests, _minutes in stored().values()) == 180


def test_a_missing_table_is_no_reason_to_fail(
    tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    with (
        django_db_blocker.unblock(),
        backsoon_in(tmp_path / "db.sqlite3", tables=False),
    ):
        tally = tally_of(3)
        tally.flush()
        assert tally.waiting == 3


# -- In the watcher ----------------------------------------------------------------------------


@pytest.mark.django_db
def test_what_was_counted_is_stored_when_a_process_ends_in_order() -> None:
    gate.refresh()
    traffic.arrive()
    gate.keeper.retire()
    assert [requests for requests, _minutes in stored().values()] == [1]


@pytest.mark.django_db
def test_a_site_that_is_closed_is_not_observed() -> None:
    services.close_site()
    gate.keeper.look()
    gate.keeper._chores.store_now()
    assert stored() == {}
    services.open_site()
    gate.keeper.look()
    gate.keeper._chores.store_now()
    assert [minutes for _requests, minutes in stored().values()] == [1]
