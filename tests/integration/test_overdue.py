"""The dead-man time: one alarm for a closure that everybody has forgotten, and more time for it."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import override_settings
from pytest_django import DjangoCaptureOnCommitCallbacks

from backsoon import overdue, services, store
from backsoon.core.state import opens_from, overdue_from
from backsoon.core.vocabulary import Brake, Mode, State
from backsoon.exceptions import ConflictError, InvalidSettingError, StoreUnavailableError
from backsoon.gate import Gate
from backsoon.models import Change, Maintenance, SystemSetting
from backsoon.services import Origin, close_site, current_state, extend_closure, open_site
from backsoon.signals import closure_overdue, state_changed
from backsoon.snapshots import Entry, Snapshot

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
ANN = Origin(name="ann", channel=Change.Channel.COMMAND)

pytestmark = pytest.mark.django_db


class Clock:
    """The time of day, for services and gates."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """It is noon, and stays so until the test says otherwise."""
    clock = Clock()
    monkeypatch.setattr(store, "utc_now", clock)
    monkeypatch.setattr("backsoon.keeper.time.time", lambda: clock.now.timestamp())
    monkeypatch.setattr("backsoon.keeper.since_boot", lambda: clock.now.timestamp())
    monkeypatch.setattr("backsoon.gate.since_boot", lambda: clock.now.timestamp())
    return clock


def control() -> Maintenance:
    return Maintenance.objects.get()


def alarms() -> list[Change]:
    return list(Change.objects.filter(action=Change.Action.OVERDUE))


def history() -> list[tuple[str, str]]:
    """What was done and from where, oldest first."""
    return list(Change.objects.order_by("pk").values_list("action", "channel"))


@contextmanager
def heard(signal: Any) -> Iterator[list[dict[str, Any]]]:
    received: list[dict[str, Any]] = []

    def listen(**kwargs: Any) -> None:
        received.append(kwargs)

    signal.connect(listen)
    try:
        yield received
    finally:
        signal.disconnect(listen)


# -- How long a closure may last ---------------------------------------------------------------


def test_a_closure_may_last_a_day_unless_the_project_says_otherwise() -> None:
    close_site()
    assert (control().overdue_at, control().opens_when_overdue) == (NOON + DAY, False)
    assert current_state().overdue_at == NOON + DAY


@override_settings(BACKSOON={"MAX_CLOSURE": dt.timedelta(hours=2), "OPEN_WHEN_OVERDUE": True})
def test_what_is_configured_is_stored_with_the_closure() -> None:
    close_site(mode=Mode.READ_ONLY)
    with override_settings(BACKSOON={"MAX_CLOSURE": 60}):
        assert (control().overdue_at, control().opens_when_overdue) == (NOON + 2 * HOUR, True)


@override_settings(BACKSOON={"MAX_CLOSURE": 0})
def test_without_a_limit_nobody_is_ever_alarmed(clock: Clock) -> None:
    close_site()
    clock.now += 10_000 * DAY
    assert control().overdue_at is None
    assert not current_state().overdue


def close_by_settings() -> None:
    services.save_settings({"maintenance_mode": Entry("true")}, origin=ANN)


def close_by_brake() -> None:
    services.merge_brake(Brake(Mode.CLOSED, at=NOON, by="ann", host="web1"), applies=True)


def close_by_sql() -> None:
    services.init_defaults()
    SystemSetting.objects.filter(key="maintenance_mode").update(value="true")
    assert services.adopt_outside_change() is not None


@pytest.mark.parametrize("close", [close_by_settings, close_by_brake, close_by_sql])
def test_every_way_to_close_by_hand_has_a_longest_time(close: Callable[[], None]) -> None:
    close()
    assert control().mode == Mode.CLOSED
    assert control().overdue_at == NOON + DAY


def test_opening_forgets_the_longest_time() -> None:
    close_site(longest=HOUR)
    Maintenance.objects.update(alarmed=True)
    open_site()
    row = control()
    assert (row.overdue_at, row.opens_when_overdue, row.alarmed) == (None, False, False)


def test_a_closure_can_be_given_a_longest_time_of_its_own() -> None:
    close_site(longest=2 * HOUR)
    assert control().overdue_at == NOON + 2 * HOUR
    first = store.read_mark()
    outcome = close_site(longest=dt.timedelta())
    assert control().overdue_at is None
    assert outcome.mark.epoch == first.epoch + 1


@pytest.mark.parametrize("length", [-HOUR, dt.timedelta(days=366)])
def test_a_longest_time_out_of_reach_is_refused(length: dt.timedelta) -> None:
    with pytest.raises(InvalidSettingError, match="365 days"):
        close_site(longest=length)
    assert current_state().is_open


# -- More time ---------------------------------------------------------------------------------


def test_more_time_is_added_to_what_is_left() -> None:
    close_site(longest=2 * HOUR)
    outcome = extend_closure(DAY, origin=ANN, reason="the index is large")
    assert outcome.state.overdue_at == NOON + DAY + 2 * HOUR
    change = outcome.changes[0]
    assert (change.action, change.reason, change.actor_name) == (
        Change.Action.SETTINGS, "the index is large", "ann",
    )  # fmt: skip
    assert (change.before["overdue_at"], change.after["overdue_at"]) == (
        (NOON + 2 * HOUR).isoformat(), (NOON + 2 * HOUR + DAY).isoformat(),
    )  # fmt: skip


def test_after_the_time_is_over_more_time_begins_now(clock: Clock) -> None:
    close_site(longest=HOUR)
    clock.now += 5 * HOUR
    assert current_state().overdue
    outcome = extend_closure(DAY)
    assert (outcome.state.overdue, outcome.state.overdue_at) == (False, clock.now + DAY)


@override_settings(BACKSOON={"MAX_CLOSURE": 0})
def test_a_closure_without_a_limit_can_be_given_one() -> None:
    close_site()
    assert extend_closure(HOUR).state.overdue_at == NOON + HOUR


def test_more_time_makes_a_new_number_because_workers_acknowledge_numbers() -> None:
    closed = close_site()
    assert extend_closure(DAY).mark.epoch == closed.mark.epoch + 1


def test_more_time_ends_no_logins() -> None:
    close_site()
    generation = control().generation
    extend_closure(DAY)
    assert control().generation == generation


def test_an_open_site_cannot_be_given_more_time() -> None:
    with pytest.raises(InvalidSettingError, match="not closed by hand"):
        extend_closure(DAY)


@override_settings(BACKSOON={"OPEN_WHEN_OVERDUE": True})
def test_a_site_that_has_opened_itself_is_not_closed_again_by_more_time(clock: Clock) -> None:
    close_site()
    clock.now += DAY
    with pytest.raises(InvalidSettingError, match="not closed by hand"):
        extend_closure(DAY)
    assert current_state().is_open


def test_more_time_ends_somewhere() -> None:
    close_site()
    for length in (dt.timedelta(), -HOUR, 365 * DAY):
        with pytest.raises(InvalidSettingError, match="365 days"):
            extend_closure(length)
    assert control().overdue_at == NOON + DAY


def test_who_saw_another_closure_gives_it_no_more_time() -> None:
    seen = close_site().mark
    open_site()
    close_site()
    with pytest.raises(ConflictError):
        extend_closure(DAY, expected=seen)


# -- A moment that is moved --------------------------------------------------------------------


def move_end_by_closing_again(until: dt.datetime, *, timer: bool) -> None:
    close_site(until=until, open_at_end=timer)


def move_end_in_the_settings(until: dt.datetime, *, timer: bool) -> None:
    services.save_settings({"maintenance_ends_at": Entry(until.isoformat())})


@pytest.mark.parametrize("move", [move_end_by_closing_again, move_end_in_the_settings])
def test_moving_the_end_of_a_timer_makes_a_new_number(move: Callable[..., None]) -> None:
    close_site(until=NOON + HOUR, open_at_end=True)
    before = store.read_mark().epoch
    move(NOON + 2 * HOUR, timer=True)
    assert store.read_mark().epoch == before + 1
    assert opens_from(store.load().policy) == NOON + 2 * HOUR
    assert history()[-1][0] == Change.Action.SETTINGS


@pytest.mark.parametrize("move", [move_end_by_closing_again, move_end_in_the_settings])
def test_moving_an_end_that_opens_nothing_makes_none(move: Callable[..., None]) -> None:
    close_site(until=NOON + HOUR)
    before = store.read_mark().epoch
    move(NOON + 2 * HOUR, timer=False)
    assert store.read_mark().epoch == before
    assert current_state().until == NOON + 2 * HOUR


@override_settings(BACKSOON={"OPEN_WHEN_OVERDUE": True})
@pytest.mark.parametrize("move", [move_end_by_closing_again, move_end_in_the_settings])
def test_an_end_that_puts_off_the_opening_makes_a_new_number(move: Callable[..., None]) -> None:
    close_site(longest=2 * HOUR)
    before = store.read_mark().epoch
    move(NOON + HOUR, timer=False)
    assert store.read_mark().epoch == before  # an hour after it is no later than two from now
    move(NOON + 3 * HOUR, timer=False)
    assert store.read_mark().epoch == before + 1
    assert opens_from(store.load().policy) == NOON + 4 * HOUR


def test_a_new_end_after_the_alarm_makes_room_for_another(clock: Clock) -> None:
    close_site(longest=HOUR)
    clock.now += 2 * HOUR
    assert services.raise_alarm(store.load())
    assert control().alarmed
    close_site(until=clock.now + HOUR)
    assert not control().alarmed
    clock.now += 2 * HOUR
    assert services.raise_alarm(store.load())
    assert len(alarms()) == 2


# -- The alarm ---------------------------------------------------------------------------------


def test_the_alarm_is_logged_recorded_and_signalled(
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    close_site(origin=ANN, reason="migration")
    clock.now += DAY
    with (
        heard(closure_overdue) as received,
        caplog.at_level(logging.ERROR, logger="backsoon"),
        django_capture_on_commit_callbacks(execute=True),
    ):
        assert services.raise_alarm(store.load())
    (change,) = alarms()
    assert (change.at, change.channel, change.actor_name) == (NOON + DAY, "schedule", "")
    assert change.after == {
        "overdue_at": (NOON + DAY).isoformat(), "opens_when_overdue": False,
    }  # fmt: skip
    (told,) = received
    assert told["change"] == change
    assert told["opens"] is False
    state: State = told["state"]
    assert (state.mode, state.overdue, state.reason) == (Mode.CLOSED, True, "migration")
    assert "has not been open since 2030-01-01 12:00 UTC" in caplog.text
    assert "maintenance off" in caplog.text
    assert current_state().mode is Mode.CLOSED


def test_a_receiver_that_fails_stops_neither_the_alarm_nor_others(
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError("no mail server")

    close_site()
    clock.now += DAY
    closure_overdue.connect(fail)
    try:
        with heard(closure_overdue) as received, django_capture_on_commit_callbacks(execute=True):
            assert services.raise_alarm(store.load())
    finally:
        closure_overdue.disconnect(fail)
    assert len(received) == len(alarms()) == 1
    assert "fail" in caplog.text


def test_two_watchers_that_notice_at_once_raise_one_alarm(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    close_site()
    clock.now += DAY
    one = store.load()
    # Both have read the row before either writes.
    monkeypatch.setattr(store, "load", lambda: one)
    assert [services.raise_alarm(one), services.raise_alarm(one)] == [True, False]
    assert len(alarms()) == 1


def test_no_alarm_is_raised_about_a_closure_that_has_been_given_more_time(clock: Clock) -> None:
    close_site()
    clock.now += DAY
    seen = store.load()
    extend_closure(DAY)
    assert not services.raise_alarm(seen)
    assert alarms() == []


def test_nor_about_one_that_was_given_a_later_end_of_which_the_watcher_does_not_know(
    clock: Clock,
) -> None:
    close_site()
    seen = store.load()
    close_site(until=NOON + 2 * DAY)
    assert not services.raise_alarm(seen)
    assert overdue_from(store.load().policy) == NOON + 2 * DAY + HOUR


# -- Opening -----------------------------------------------------------------------------------


@override_settings(BACKSOON={"OPEN_WHEN_OVERDUE": True})
def test_the_site_opens_by_the_clock_and_the_opening_is_written_once(
    clock: Clock, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    close_site(until=NOON + HOUR)
    clock.now += DAY - MINUTE
    assert current_state().mode is Mode.CLOSED
    clock.now += MINUTE + MINUTE
    assert current_state().is_open  # nobody has written anything yet
    seen = store.load()
    with (
        heard(closure_overdue) as alarmed,
        heard(state_changed) as changed,
        django_capture_on_commit_callbacks(execute=True),
    ):
        assert [services.raise_alarm(seen), services.raise_alarm(seen)] == [True, False]
    assert history()[1:] == [("overdue", "schedule"), ("opened", "schedule")]
    assert [told["opens"] for told in alarmed] == [True]
    assert [(told["before"].mode, told["after"].mode) for told in changed] == [
        (Mode.CLOSED, Mode.OPEN)
    ]
    row = control()
    assert (row.mode, row.since) == (Mode.OPEN, NOON + DAY)
    assert store.load().policy.ends_at is None


@override_settings(BACKSOON={"OPEN_WHEN_OVERDUE": True})
def test_an_opening_that_fails_takes_the_alarm_with_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise StoreUnavailableError("gone")

    close_site()
    clock.now += DAY
    with monkeypatch.context() as patched:
        patched.setattr(overdue, "carry_out", refuse)
        with pytest.raises(StoreUnavailableError):
            services.raise_alarm(store.load())
    assert alarms() == []
    assert services.raise_alarm(store.load())
    assert len(alarms()) == 1


# -- What watchers do --------------------------------------------------------------------------


@pytest.fixture
def gates() -> Iterator[list[Gate]]:
    """Two processes, so far as one can have them here."""
    gates = [Gate(), Gate()]
    yield gates
    for gate in gates:
        gate.forget()


def test_watchers_raise_one_alarm_and_then_leave_it(
    gates: list[Gate], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Snapshot] = []

    def raise_alarm(known: Snapshot) -> bool:
        asked.append(known)
        return overdue.raise_alarm(known)

    monkeypatch.setattr(services, "raise_alarm", raise_alarm)
    close_site()
    for _tick in range(3):
        for gate in gates:
            gate.keeper.look()
    assert alarms() == []
    clock.now += DAY
    for _tick in range(3):
        for gate in gates:
            gate.keeper.look()
    assert len(alarms()) == 1
    assert len(asked) == len(gates)  # not once more with every tick
    assert all(gate.view().state.overdue for gate in gates)


@override_settings(BACKSOON={"OPEN_WHEN_OVERDUE": True})
def test_watchers_write_the_opening_and_all_stay_open(gates: list[Gate], clock: Clock) -> None:
    close_site()
    for gate in gates:
        gate.keeper.look()
    assert not any(gate.view().is_open for gate in gates)
    clock.now += DAY
    assert all(gate.view().is_open for gate in gates)
    for _tick in range(2):
        for gate in gates:
            gate.keeper.look()
    assert all(gate.view().is_open for gate in gates)
    assert history()[1:] == [("overdue", "schedule"), ("opened", "schedule")]


def test_an_alarm_that_cannot_be_written_is_tried_again_and_told_once(
    gates: list[Gate],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(known: object) -> bool:
        raise StoreUnavailableError("the disk is full")

    keeper = gates[0].keeper
    close_site()
    clock.now += DAY
    with monkeypatch.context() as patched:
        patched.setattr(services, "raise_alarm", refuse)
        keeper.look()
        keeper.look()
    told = [r for r in caplog.records if "overdue closure cannot be recorded" in r.message]
    assert len(told) == 1
    keeper.look()
    assert len(alarms()) == 1
