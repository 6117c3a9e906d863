"""What a process knows, how it learns, and what it does when it cannot."""

from __future__ import annotations

import datetime as dt
import errno
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import override_settings

from backsoon import brakes, environment, keeper, lastknown, services, store
from backsoon import gate as gate_module
from backsoon.clock import since_boot
from backsoon.core.vocabulary import Mode, Policy, Switch, Why, Window
from backsoon.exceptions import NotMigratedError, StoreUnavailableError
from backsoon.gate import Gate, gate
from backsoon.keeper import FULL_READING_SECONDS
from backsoon.models import Change, Maintenance, SystemSetting
from backsoon.snapshots import Mark, Snapshot
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
    monkeypatch.setattr(environment, "in_test_environment", lambda: False)
    one = Gate()
    monkeypatch.setattr(one.watcher, "start", one.keeper.look)  # the first tick, in this thread
    monkeypatch.setattr(one.keeper.registrar, "enroll", lambda: None)  # it has no database
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
    monkeypatch.setattr(store, "read_pulse", _unavailable)
    state = fresh.view().state
    assert (state.mode, state.why) == (Mode.CLOSED, Why.UNKNOWN)
    assert not fresh.store_is_reachable


def test_before_the_tables_exist_the_site_is_open_and_the_log_says_what_to_do(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "read_pulse", _not_migrated)
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


def test_a_process_that_finds_no_tables_believes_what_its_host_knew(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "read_pulse", _not_migrated)  # somebody dropped them
    monkeypatch.setattr(lastknown, "load", closed)
    assert fresh.view().state.mode is Mode.CLOSED


def test_a_reading_that_fails_for_a_reason_of_the_projects_is_told_once_and_opens_nothing(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> store.Pulse:
        raise ZeroDivisionError("a signal handler of the project")

    monkeypatch.setattr(store, "read_pulse", fail)
    monkeypatch.setattr(lastknown, "load", closed)
    with caplog.at_level(logging.WARNING, logger="backsoon"):
        assert fresh.view().state.mode is Mode.CLOSED
        fresh.keeper.look()
    assert caplog.text.count("Traceback") == 1


@pytest.mark.django_db
def test_a_process_that_knows_better_replaces_an_older_copy_while_the_database_is_away(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.close_site()
    known = fresh.view().snapshot
    kept: list[Snapshot] = []
    monkeypatch.setattr(lastknown, "save", kept.append)
    monkeypatch.setattr(store, "read_pulse", _unavailable)
    fresh.keeper.look()
    assert kept == [known]


# -- The watcher's look ------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_look_that_finds_nothing_new_costs_one_tiny_query(
    fresh: Gate, django_assert_num_queries: Any
) -> None:
    fresh.view()
    with django_assert_num_queries(1) as captured:
        fresh.keeper.look()
    assert captured.captured_queries[0]["sql"].count("JOIN") == 0


@pytest.mark.django_db
def test_a_look_sees_what_another_process_changed(fresh: Gate) -> None:
    fresh.view()
    services.close_site(message="Elsewhere")
    fresh.keeper.look()
    assert fresh.view().state.mode is Mode.CLOSED
    assert fresh.view().snapshot.policy.notice("en").message == "Elsewhere"
    services.open_site()
    fresh.keeper.look()
    assert fresh.view().state.mode is Mode.OPEN


@pytest.mark.django_db
def test_rows_changed_behind_our_back_are_noticed_and_made_a_whole_closure(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.init_defaults()
    fresh.view()
    SystemSetting.objects.filter(key="maintenance_mode").update(value="true")
    fresh.keeper.look()
    assert fresh.view().state.mode is Mode.OPEN  # nothing told, and the next full reading is ahead
    later = since_boot() + FULL_READING_SECONDS
    monkeypatch.setattr(keeper, "since_boot", lambda: later)
    fresh.keeper.look()
    fresh.keeper.look()
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
        patch.setattr(store, "read_pulse", _unavailable)
        patch.setattr(store, "load", _unavailable)
        fresh.keeper.look()
        fresh.keeper.look()
        assert fresh.view().state.mode is Mode.CLOSED
    assert caplog.text.count("cannot be read") == 1
    services.open_site()
    fresh.keeper.look()
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


# -- The lease ---------------------------------------------------------------------------------


@pytest.fixture
def boot_clock(monkeypatch: pytest.MonkeyPatch, fresh: Gate) -> Callable[[float], None]:
    """Moves the clock that leases are measured with, by seconds from now."""
    begin = since_boot()
    now = [begin]

    def read() -> float:
        return now[0]

    monkeypatch.setattr(keeper, "since_boot", read)
    monkeypatch.setattr(gate_module, "since_boot", read)

    def set_to(seconds: float) -> None:
        now[0] = begin + seconds

    return set_to


@pytest.mark.django_db
def test_without_the_database_an_open_site_stays_open_by_default(
    fresh: Gate, boot_clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.view()
    monkeypatch.setattr(store, "read_pulse", _unavailable)
    boot_clock(86_400)
    fresh.keeper.look()
    assert fresh.view().state.is_open


@pytest.mark.django_db
@override_settings(BACKSOON={"ON_STORE_LOSS": "close", "LEASE": 5})
def test_with_on_store_loss_close_the_site_closes_when_the_lease_runs_out_and_opens_again(
    fresh: Gate, boot_clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fresh.view().state.is_open
    with monkeypatch.context() as patch:
        patch.setattr(store, "read_pulse", _unavailable)
        boot_clock(4.9)
        fresh.keeper.look()
        assert fresh.view().state.is_open
        boot_clock(5)
        state = fresh.view().state
        assert (state.mode, state.why) == (Mode.CLOSED, Why.UNKNOWN)
    fresh.keeper.look()
    assert fresh.view().state.is_open


@pytest.mark.django_db
@override_settings(BACKSOON={"ON_STORE_LOSS": "close", "LEASE": 5})
def test_a_lease_counts_from_the_sending_of_the_question_not_from_the_answer(
    fresh: Gate, boot_clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_pulse = store.read_pulse

    def read_slowly() -> Any:
        boot_clock(3)
        return read_pulse()

    monkeypatch.setattr(store, "read_pulse", read_slowly)
    assert fresh.view().state.is_open
    boot_clock(5)
    assert not fresh.view().state.is_open


@pytest.mark.django_db
@override_settings(BACKSOON={"ON_STORE_LOSS": "close", "LEASE": 5})
def test_a_closed_site_whose_lease_runs_out_keeps_its_texts_and_its_ended_logins(
    fresh: Gate, boot_clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    services.close_site(message="Moving house")
    generation = fresh.view().state.generation
    boot_clock(6)
    view = fresh.view()
    assert view.state.why is Why.UNKNOWN
    assert view.state.generation == generation > 0
    assert view.snapshot.policy.notice("en").message == "Moving house"


@pytest.mark.django_db
def test_while_nothing_changes_every_view_has_the_same_snapshot_and_state(
    fresh: Gate, boot_clock: Callable[[float], None]
) -> None:
    services.close_site(until=store.utc_now() + dt.timedelta(hours=1))
    first = fresh.view()
    for seconds in (1, 2, FULL_READING_SECONDS + 2):
        boot_clock(seconds)
        fresh.keeper.look()
        view = fresh.view()
        assert view.snapshot is first.snapshot
        assert view.state is first.state


@pytest.mark.django_db
def test_a_database_that_does_not_answer_in_time_counts_as_away(
    fresh: Gate, boot_clock: Callable[[float], None]
) -> None:
    fresh.view()
    assert fresh.store_is_reachable
    boot_clock(2.5)  # the interval is one second
    assert not fresh.store_is_reachable


@pytest.mark.django_db
def test_the_time_of_day_is_the_databases_so_that_a_wrong_clock_here_opens_nothing(
    fresh: Gate, boot_clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = store.utc_now()
    services.close_site(until=there + dt.timedelta(minutes=30), open_at_end=True)
    mark = store.read_mark()
    monkeypatch.setattr(store, "read_pulse", lambda: store.Pulse(mark, "closed", there))
    monkeypatch.setattr(time, "time", lambda: there.timestamp() + 3_600)
    assert fresh.view().state.mode is Mode.CLOSED
    fresh.keeper.look()
    assert fresh.view().state.mode is Mode.CLOSED


# -- A database that went back -----------------------------------------------------------------


@pytest.mark.django_db
def test_a_restored_backup_that_says_open_does_not_open_a_closed_site(
    fresh: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    services.init_defaults()
    backup = Maintenance.objects.values().get()
    services.close_site(message="Migrating", reason="new schema")
    known = fresh.view()
    Maintenance.objects.update(**backup)
    SystemSetting.objects.filter(key="maintenance_mode").update(value="false")
    with caplog.at_level(logging.ERROR, logger="backsoon"):
        fresh.keeper.look()
    assert fresh.view().state.mode is Mode.CLOSED
    assert "restored from a backup" in caplog.text
    stored = store.load()
    assert stored.policy.switch.mode is Mode.CLOSED
    assert stored.mark.epoch > known.snapshot.mark.epoch
    assert stored.policy.generation == known.state.generation
    assert stored.policy.switch.reason == "new schema"
    assert not stored.changed_outside
    fresh.keeper.look()
    assert fresh.view().snapshot.mark == stored.mark
    services.open_site()
    fresh.keeper.look()
    assert fresh.view().state.is_open


@pytest.mark.django_db
def test_a_control_row_that_somebody_deleted_is_written_again(fresh: Gate) -> None:
    services.close_site()
    fresh.view()
    Maintenance.objects.all().delete()
    fresh.keeper.look()
    assert fresh.view().state.mode is Mode.CLOSED
    assert store.load().policy.switch.mode is Mode.CLOSED


@pytest.mark.django_db
def test_two_processes_that_know_the_same_write_it_again_once(fresh: Gate) -> None:
    services.close_site()
    known = store.load()
    Maintenance.objects.update(epoch=0, revision=0, mode="open")
    assert services.reassert(known) is not None
    assert services.reassert(known) is None
    assert Change.objects.filter(action=Change.Action.NOTICED).count() == 1


@pytest.mark.django_db
def test_a_database_that_went_back_and_cannot_be_written_opens_nothing(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    services.close_site()
    fresh.view()
    Maintenance.objects.update(epoch=0, revision=0, mode="open")
    SystemSetting.objects.filter(key="maintenance_mode").update(value="false")
    monkeypatch.setattr(services, "reassert", _unavailable)
    for _tick in range(3):
        fresh.keeper.look()
        assert fresh.view().state.mode is Mode.CLOSED
    assert caplog.text.count("could not write again") == 1


@pytest.mark.django_db
def test_a_backup_restored_while_no_process_ran_does_not_open_the_site_either(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.close_site()
    known = store.load()
    Maintenance.objects.update(epoch=0, revision=0, mode="open", generation=0)
    SystemSetting.objects.filter(key="maintenance_mode").update(value="false")
    monkeypatch.setattr(lastknown, "load", lambda: known)
    view = fresh.view()
    assert view.state.mode is Mode.CLOSED
    assert view.state.generation == known.policy.generation
    stored = store.load()
    assert stored.policy.switch.mode is Mode.CLOSED
    assert stored.policy.generation == known.policy.generation
    fresh.keeper.look()
    assert fresh.view().snapshot.mark == stored.mark


@pytest.mark.django_db
def test_of_two_decisions_with_the_same_number_the_later_one_holds(fresh: Gate) -> None:
    services.close_site()
    fresh.view()
    an_hour_before = store.utc_now() - dt.timedelta(hours=1)
    # What a process would write again that had missed the closure.
    Maintenance.objects.update(mode="open", since=an_hour_before)
    SystemSetting.objects.filter(key="maintenance_mode").update(value="false")
    fresh.keeper.look()
    assert fresh.view().state.mode is Mode.CLOSED
    stored = store.load()
    assert stored.policy.switch.mode is Mode.CLOSED
    assert stored.mark.epoch == 2


@pytest.mark.django_db
def test_a_backup_from_before_an_extension_does_not_bring_the_earlier_end_back(
    fresh: Gate,
) -> None:
    soon, later = (store.utc_now() + dt.timedelta(hours=hours) for hours in (1, 4))
    services.close_site(until=soon, open_at_end=True)
    backup = Maintenance.objects.values().get()
    end = SystemSetting.objects.get(key="maintenance_ends_at").value
    services.close_site(until=later, open_at_end=True)
    fresh.view()
    Maintenance.objects.update(**backup)
    SystemSetting.objects.filter(key="maintenance_ends_at").update(value=end)
    fresh.keeper.look()
    assert fresh.view().state.until == later
    assert store.load().policy.ends_at == later


def test_without_the_database_an_order_that_cannot_be_read_keeps_a_newborn_process_closed(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "read_pulse", _unavailable)
    monkeypatch.setattr(lastknown, "load", lambda: Snapshot(mark=Mark(3, 3)))
    monkeypatch.setattr(brakes, "is_damaged", lambda: True)
    state = fresh.view().state
    assert (state.mode, state.why) == (Mode.CLOSED, Why.UNKNOWN)


def test_an_order_that_cannot_be_read_keeps_a_newborn_process_closed_without_tables_too(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "read_pulse", _not_migrated)
    monkeypatch.setattr(lastknown, "load", lambda: Snapshot(mark=Mark(3, 3)))
    monkeypatch.setattr(brakes, "is_damaged", lambda: True)
    state = fresh.view().state
    assert (state.mode, state.why) == (Mode.CLOSED, Why.UNKNOWN)


def test_when_no_watcher_can_be_started_visitors_get_the_page_and_the_next_request_tries_again(
    fresh: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, logger="backsoon"):
        patch.setattr(fresh.watcher, "start", fail)
        assert fresh.view().state.mode is Mode.CLOSED
        assert not fresh.knows
    assert "Too many open files" in caplog.text
    monkeypatch.setattr(store, "read_pulse", _not_migrated)
    assert fresh.view().state.is_open
