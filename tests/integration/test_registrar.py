"""The row of a process: there before anything is read, true while it lives, gone when it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

from backsoon import (
    environment,
    inflight,
    keeper,
    processes,
    quiesce,
    registrar,
    services,
    store,
    workers,
)
from backsoon.clock import since_boot
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import StoreUnavailableError
from backsoon.gate import Gate
from backsoon.models import Worker
from backsoon.quiesce import Verdict
from backsoon.store import Pulse
from tests.integration.databases import backsoon_in

UNIT = inflight.Unit("POST", "/orders/new/")


@pytest.fixture(autouse=True)
def _in_a_file(
    tmp_path: Path, django_db_blocker: DjangoDbBlocker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A process that serves, with true commits."""
    monkeypatch.setattr(environment, "in_test_environment", lambda: False)
    with django_db_blocker.unblock(), backsoon_in(tmp_path / "db.sqlite3"):
        yield
    inflight.clear()


@pytest.fixture
def gate() -> Gate:
    """The gate of a process; each look is one tick of its watcher."""
    return Gate()


def look(gate: Gate) -> Worker:
    """Let the watcher tick; what its row says then."""
    gate.keeper.look()
    return row(gate)


def row(gate: Gate) -> Worker:
    return Worker.objects.using(store.alias()).get(pk=gate.keeper.registrar.identity)


def rows() -> set[str]:
    return set(Worker.objects.using(store.alias()).values_list("pk", flat=True))


def epoch() -> int:
    return store.read_mark().epoch


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let so many seconds pass for the registrar."""
    now = since_boot() + seconds
    monkeypatch.setattr(registrar, "since_boot", lambda: now)


def refuse_to_write(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the database answer, and refuse this."""

    def refuse(*args: object, **kwargs: object) -> None:
        connections[store.alias()].ensure_connection()
        raise StoreUnavailableError("database is locked")

    monkeypatch.setattr(workers, name, refuse)


# -- Before the first reading ----------------------------------------------------------------------


def test_the_row_is_written_before_anything_is_read(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = store.read_pulse
    seen: list[set[str]] = []

    def spy() -> Pulse:
        seen.append(rows())
        return read()

    monkeypatch.setattr(store, "read_pulse", spy)
    gate.keeper.look()
    assert seen[0] == {gate.keeper.registrar.identity}


def test_where_the_row_cannot_be_written_nothing_is_read_and_nobody_let_by(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_write(monkeypatch, "add")
    monkeypatch.setattr(store, "load", lambda: pytest.fail("it was read"))
    gate.keeper.look()
    assert gate.snapshot is None
    assert not gate.view().is_open


def test_a_newborn_that_cannot_register_does_not_open_by_its_hosts_copy(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database answers, so others may close the site there, and nobody would wait for it."""
    assert look(gate).seen_epoch == epoch()
    gate.keeper.retire()
    newborn = Gate()
    with monkeypatch.context() as locked:
        refuse_to_write(locked, "add")
        newborn.keeper.look()
        assert not newborn.view().is_open
        newborn.keeper.look()
        assert not newborn.view().is_open
    look(newborn)
    assert newborn.view().is_open


def test_a_newborn_that_opened_by_the_copy_closes_when_the_database_answers_and_refuses_its_row(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(gate)
    gate.keeper.retire()
    newborn = Gate()
    refuse_to_write(monkeypatch, "add")
    with monkeypatch.context() as away:
        away.setattr(keeper, "_answers", lambda: False)
        newborn.keeper.look()
        assert newborn.view().is_open  # by what its host knew last
    newborn.keeper.look()
    assert not newborn.view().is_open


def test_a_row_tells_which_process_it_is_and_what_it_serves(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registrar, "_kind", "wsgi")
    found = look(gate)
    process = workers.process_of(found)
    assert process == processes.this_process()
    assert found.kind == "wsgi"
    assert found.seen_epoch == epoch()
    assert found.acked_epoch is None


def test_a_child_that_was_forked_has_an_identity_and_a_row_of_its_own(gate: Gate) -> None:
    parent = look(gate).pk
    inflight.UNITS[UNIT] = 0.0
    gate.after_fork()
    assert not inflight.UNITS
    child = look(gate).pk
    assert child != parent
    assert rows() == {parent, child}


# -- Acknowledging ---------------------------------------------------------------------------------


def test_a_closure_is_acknowledged_by_the_number_it_has(gate: Gate) -> None:
    look(gate)
    services.close_site()
    found = look(gate)
    assert found.acked_epoch == found.seen_epoch == epoch()
    services.open_site()
    found = look(gate)
    assert (found.seen_epoch, found.acked_epoch) == (epoch(), None)


def test_nothing_is_acknowledged_while_something_runs_that_was_let_by_before(gate: Gate) -> None:
    look(gate)
    assert gate.enter(UNIT).is_open
    services.close_site()
    found = look(gate)
    assert (found.seen_epoch, found.acked_epoch, found.in_flight) == (epoch(), None, 1)
    assert found.units[0][:2] == ["POST", "/orders/new/"]
    inflight.leave(UNIT)
    found = look(gate)
    assert (found.acked_epoch, found.in_flight) == (epoch(), 0)


def test_who_was_refused_is_not_waited_for(gate: Gate) -> None:
    look(gate)
    services.close_site()
    gate.keeper.look()
    assert not gate.enter(UNIT).is_open
    assert look(gate).acked_epoch == epoch()


def test_who_was_let_by_between_two_closures_is_waited_for_in_the_second(gate: Gate) -> None:
    look(gate)
    services.close_site()
    look(gate)
    services.open_site()
    look(gate)
    gate.enter(UNIT)
    services.close_site()
    assert look(gate).acked_epoch is None


def test_a_reader_keeps_a_closure_waiting_but_not_a_read_only_site(gate: Gate) -> None:
    look(gate)
    services.close_site(mode=Mode.READ_ONLY)
    look(gate)
    gate.enter(UNIT)
    inflight.set_reading(UNIT)
    assert look(gate).acked_epoch == epoch()
    services.close_site()
    assert look(gate).acked_epoch is None
    inflight.leave(UNIT)
    assert look(gate).acked_epoch == epoch()


def test_who_is_set_apart_is_counted_but_not_waited_for(gate: Gate) -> None:
    look(gate)
    gate.enter(UNIT)
    inflight.set_apart(UNIT)
    services.close_site()
    found = look(gate)
    assert (found.acked_epoch, found.apart) == (epoch(), 1)


def test_a_wait_ends_with_the_last_request_of_the_time_before(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(gate)
    gate.enter(UNIT)
    services.close_site()
    looks = 0

    def pause(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 5:
            inflight.leave(UNIT)
        gate.keeper.look()

    told = list(quiesce.watch(60.0, pause=pause))
    assert told[-1].verdict is Verdict.QUIET
    assert looks >= 5


# -- Telling ---------------------------------------------------------------------------------------


def test_a_worker_is_heard_of_every_few_seconds_and_no_more_often(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look(gate).seen_at
    assert look(gate).seen_at == first
    later(monkeypatch, workers.BEAT_SECONDS)
    assert look(gate).seen_at > first


def test_a_worker_that_is_waited_for_is_heard_of_twice_a_second(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(gate)
    gate.enter(UNIT)
    services.close_site()
    first = look(gate).seen_at
    later(monkeypatch, registrar.HASTE_SECONDS)
    assert look(gate).seen_at > first


def test_what_could_not_be_told_is_told_later(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    look(gate)
    services.close_site()
    with monkeypatch.context() as broken:
        refuse_to_write(broken, "beat")
        assert look(gate).acked_epoch is None
        assert not gate.view().is_open
    assert look(gate).acked_epoch == epoch()


# -- A row that counts no more ---------------------------------------------------------------------


def deleted(gate: Gate) -> None:
    Worker.objects.using(store.alias()).all().delete()


def assumed_dead(gate: Gate) -> None:
    services.assume_dead(gate.keeper.registrar.identity, origin=services.CODE)


@pytest.mark.parametrize("taken", [deleted, assumed_dead], ids=lambda taken: taken.__name__)
def test_who_is_waited_for_no_more_begins_anew_before_letting_anybody_by(
    gate: Gate, taken: Callable[[Gate], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = look(gate).pk
    gate.enter(UNIT)
    taken(gate)
    later(monkeypatch, workers.BEAT_SECONDS)
    read = store.read_pulse
    seen: list[bool] = []

    def spy() -> Pulse:
        if gate.keeper.registrar.identity != old:
            seen.append(gate.view().is_open or gate.keeper.registrar.identity not in rows())
        return read()

    monkeypatch.setattr(store, "read_pulse", spy)
    found = look(gate)
    assert found.pk != old
    assert seen[0] is False  # closed, and registered, as it looked again
    assert gate.view().is_open
    # What it had let by before is its own still.
    services.close_site()
    assert look(gate).acked_epoch is None


def test_who_cannot_register_again_lets_nobody_by(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(gate)
    deleted(gate)
    later(monkeypatch, workers.BEAT_SECONDS)
    with monkeypatch.context() as broken:
        refuse_to_write(broken, "add")
        gate.keeper.look()
        assert not gate.view().is_open
        gate.keeper.look()
        assert not gate.view().is_open
    look(gate)
    assert gate.view().is_open


# -- The end ---------------------------------------------------------------------------------------


def test_a_clean_end_takes_the_row_away_and_lets_nobody_by(gate: Gate) -> None:
    look(gate)
    gate.keeper.retire()
    assert not rows()
    assert not gate.view().is_open


@pytest.mark.parametrize("ledger", [inflight.UNITS, inflight.READERS], ids=["unit", "reader"])
def test_the_row_stays_while_something_still_runs_at_the_end(
    gate: Gate, ledger: dict[object, float]
) -> None:
    look(gate)
    ledger[UNIT] = 0.0
    gate.keeper.retire()
    assert rows() == {gate.keeper.registrar.identity}


# -- Who waits -------------------------------------------------------------------------------------


def test_a_tick_that_hangs_and_goes_on_when_the_process_has_begun_anew_touches_nothing_of_the_new(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backsoon.watcher.STOP_SECONDS", 0.05)
    read, hangs, may_go_on = store.read_pulse, threading.Event(), threading.Event()
    gate.start()
    old, thread = gate.keeper.registrar.identity, gate.watcher._thread
    assert thread is not None

    def hang() -> Pulse:
        if threading.current_thread() is thread:
            hangs.set()
            may_go_on.wait(10)
        return read()

    monkeypatch.setattr(store, "read_pulse", hang)
    gate.watcher.wake()
    assert hangs.wait(10)
    gate.retire()
    try:
        assert gate.view().is_open, "the next request begins anew"
        new = gate.keeper.registrar.identity
        assert {old, new} <= rows()
        may_go_on.set()
        thread.join(10)
        assert not thread.is_alive()
        assert gate.view().is_open
        assert rows() == {new}
    finally:
        gate.retire()


def test_rows_are_read_by_a_connection_of_the_waits_own_that_is_not_patient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = connections[store.alias()]
    seen: list[object] = []
    reports = workers.reports

    def spy() -> list[quiesce.Report]:
        seen.append(connections[store.alias()])
        return reports()

    monkeypatch.setattr(workers, "reports", spy)
    services.close_site(wait=5.0)
    assert seen
    assert usual not in seen
    assert connections[store.alias()] is usual
