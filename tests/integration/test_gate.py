"""What a process knows, how it learns, and what it does when it cannot."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection

from backsoon import gate as gate_module
from backsoon import services, store
from backsoon.core.vocabulary import Mode, Policy, Switch, Why, Window
from backsoon.exceptions import NotMigratedError, StoreUnavailableError
from backsoon.gate import FULL_READING_SECONDS, Gate, gate
from backsoon.models import Change, SystemSetting
from backsoon.store import Mark, Snapshot
from backsoon.watcher import Watcher

UTC = dt.UTC
NOON = dt.datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[dt.datetime], None]:
    """Sets the wall clock that the gate sees."""

    def set_to(moment: dt.datetime) -> None:
        monkeypatch.setattr(time, "time", moment.timestamp)

    set_to(NOON)
    return set_to


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """A gate of a process that serves, not of a test."""
    monkeypatch.setattr(gate_module, "in_test_environment", lambda: False)
    one = Gate()
    monkeypatch.setattr(one.watcher, "start", one._look)  # the first tick, in this thread
    monkeypatch.setattr(gate_module, "FIRST_READING_SECONDS", 0.0)
    return one


def closed(**kwargs: Any) -> Snapshot:
    return Snapshot(policy=Policy(switch=Switch(mode=Mode.CLOSED), **kwargs), mark=Mark(1, 1))


# -- The clock ---------------------------------------------------------------------------------


def test_a_window_begins_and_ends_at_the_second_without_anybody_telling(
    clock: Callable[[dt.datetime], None],
) -> None:
    hour = dt.timedelta(hours=1)
    gate.install(Snapshot(windows=(Window(NOON + hour, NOON + 2 * hour),)))
    assert gate.view().state.mode is Mode.OPEN
    clock(NOON + hour - dt.timedelta(microseconds=1))
    assert gate.view().state.mode is Mode.OPEN
    clock(NOON + hour)
    assert gate.view().state.mode is Mode.CLOSED
    clock(NOON + 2 * hour)
    assert gate.view().state.mode is Mode.OPEN


def test_the_page_turns_late_when_the_expected_end_passes(
    clock: Callable[[dt.datetime], None],
) -> None:
    gate.install(closed(ends_at=NOON + dt.timedelta(minutes=5)))
    assert not gate.view().state.late
    clock(NOON + dt.timedelta(minutes=5))
    assert gate.view().state.late
    assert gate.view().state.mode is Mode.CLOSED


def test_between_two_changes_the_state_is_not_resolved_again(
    clock: Callable[[dt.datetime], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.install(closed())
    monkeypatch.setattr(gate_module, "resolve_state", None)  # calling it would fail
    assert gate.view() is gate.view()


def test_a_turn_of_the_clock_never_brings_back_an_older_reading(
    clock: Callable[[dt.datetime], None],
) -> None:
    hour = dt.timedelta(hours=1)
    old = gate.install(Snapshot(windows=(Window(NOON + hour),)))
    new = gate.install(closed())
    clock(NOON + hour)
    assert gate._turn(old) is new


# -- A process is born -------------------------------------------------------------------------


def test_in_a_test_the_site_is_open_and_no_watcher_runs() -> None:
    assert gate.view().state.mode is Mode.OPEN
    assert not gate.watcher.running


@pytest.mark.django_db
def test_a_process_reads_before_its_first_answer(fresh: Gate) -> None:
    services.close_site()
    assert not fresh.knows
    assert fresh.view().state.mode is Mode.CLOSED
    assert fresh.view().state.why is Why.SWITCH


def test_a_process_that_never_read_anything_is_closed(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "load", _unavailable)
    state = fresh.view().state
    assert (state.mode, state.why) == (Mode.CLOSED, Why.UNKNOWN)
    assert not fresh.store_is_reachable


def test_before_the_tables_exist_the_site_is_open_and_the_log_says_what_to_do(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "load", _not_migrated)
    with caplog.at_level(logging.WARNING, logger="backsoon"):
        assert fresh.view().state.mode is Mode.OPEN
    assert "manage.py migrate" in caplog.text


def test_after_a_fork_the_child_knows_nothing_and_watches_for_itself() -> None:
    parent = gate.watcher
    gate.install(closed())
    gate.after_fork()
    assert not gate.knows
    assert gate.watcher is not parent
    assert not gate.watcher.running


# -- The watcher's look ------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_look_that_finds_nothing_new_costs_one_tiny_query(
    fresh: Gate, django_assert_num_queries: Any
) -> None:
    fresh.view()
    with django_assert_num_queries(1) as captured:
        fresh._look()
    assert captured.captured_queries[0]["sql"].count("JOIN") == 0


@pytest.mark.django_db
def test_a_look_sees_what_another_process_changed(fresh: Gate) -> None:
    fresh.view()
    services.close_site(message="Elsewhere")
    fresh._look()
    assert fresh.view().state.mode is Mode.CLOSED
    assert fresh.view().snapshot.policy.notice("en").message == "Elsewhere"
    services.open_site()
    fresh._look()
    assert fresh.view().state.mode is Mode.OPEN


@pytest.mark.django_db
def test_rows_changed_behind_our_back_are_noticed_and_made_a_whole_closure(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.init_defaults()
    fresh.view()
    SystemSetting.objects.filter(key="maintenance_mode").update(value="true")
    fresh._look()
    assert fresh.view().state.mode is Mode.OPEN  # nothing told, and the next full reading is ahead
    later = time.monotonic() + FULL_READING_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    fresh._look()
    fresh._look()
    state = fresh.view().state
    assert state.mode is Mode.CLOSED
    assert state.generation > 0  # logins have ended, as with any closure
    change = Change.objects.first()
    assert change is not None
    assert change.action == Change.Action.NOTICED
    assert change.channel == Change.Channel.DATABASE


@pytest.mark.django_db
def test_when_the_database_goes_the_last_known_state_stays_and_the_log_says_so_once(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    services.close_site()
    fresh.view()
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, logger="backsoon"):
        patch.setattr(store, "read_mark", _unavailable)
        patch.setattr(store, "load", _unavailable)
        fresh._look()
        fresh._look()
        assert fresh.view().state.mode is Mode.CLOSED
    assert caplog.text.count("cannot be read") == 1
    services.open_site()
    fresh._look()
    assert fresh.view().state.mode is Mode.OPEN


@pytest.mark.django_db
def test_broken_values_are_reported_once_and_never_fail(
    fresh: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    services.init_defaults()
    SystemSetting.objects.filter(key="maintenance_url").update(value="javascript:alert(1)")
    with caplog.at_level(logging.WARNING, logger="backsoon"):
        fresh.view()
        fresh.refresh()
    assert caplog.text.count("javascript:alert(1)") == 1
    assert fresh.view().snapshot.policy.notice("en").button_url == ""


# -- Changes of our own ------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_process_that_made_a_change_knows_it_at_once() -> None:
    gate.install(store.load())
    services.close_site()
    assert gate.view().state.mode is Mode.CLOSED
    services.open_site()
    assert gate.view().state.mode is Mode.OPEN


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_is_never_known() -> None:
    from django.db import transaction

    gate.install(store.load())
    with transaction.atomic():
        services.close_site()
        transaction.set_rollback(True)
    assert gate.view().state.mode is Mode.OPEN


@pytest.mark.django_db(transaction=True)
def test_a_committed_change_is_known_also_before_the_first_request_of_a_test() -> None:
    services.close_site()
    assert gate.view().state.mode is Mode.CLOSED


# -- The watcher itself ------------------------------------------------------------------------


def test_the_watcher_ticks_at_once_when_woken_and_stops_when_told() -> None:
    ticked = threading.Semaphore(0)
    watcher = Watcher(lambda: ticked.release(), lambda: 3600.0)
    watcher.start()
    watcher.start()
    try:
        assert ticked.acquire(timeout=5)
        watcher.wake()
        assert ticked.acquire(timeout=5)
    finally:
        watcher.stop()
    assert not watcher.running


def test_the_watcher_outlives_a_tick_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    ticked = threading.Semaphore(0)

    def fail() -> None:
        ticked.release()
        raise RuntimeError("surprise")

    watcher = Watcher(fail, lambda: 0.001)
    with caplog.at_level(logging.CRITICAL, logger="backsoon"):
        watcher.start()
        try:
            assert ticked.acquire(timeout=5)
            assert ticked.acquire(timeout=5)
        finally:
            watcher.stop()


def test_the_watchers_own_connection_does_not_wait_long() -> None:
    seen: dict[str, Any] = {}

    def look() -> None:
        store.use_short_timeouts()
        from django.db import connections

        own = connections["default"]
        seen["own"] = own
        seen["timeout"] = own.settings_dict["OPTIONS"]["timeout"]

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen["timeout"] == 0.25
    assert seen["own"] is not connection
    assert "timeout" not in connection.settings_dict["OPTIONS"]


def _unavailable(*args: Any) -> Any:
    raise StoreUnavailableError("the database is away") from OperationalError()


def _not_migrated(*args: Any) -> Any:
    raise NotMigratedError("no tables")
