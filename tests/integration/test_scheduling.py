"""Planned closures: what the verbs write, refuse and record, and what every process makes of it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils.translation import override

from backsoon import lastknown, services, store
from backsoon.core.vocabulary import Brake, Mode, Why, Window, Words
from backsoon.exceptions import ConflictError, InvalidSettingError, NoSuchWindowError
from backsoon.models import Change, Maintenance
from backsoon.models import Window as Row
from backsoon.services import Origin, cancel, current_state, open_site, reschedule, schedule
from tests.integration.commands import NOON, stop_the_clock

HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)
ANN = Origin(name="ann", channel=Change.Channel.COMMAND)

pytestmark = pytest.mark.django_db


class Clock:
    """The clock of the shells."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.at(NOON)

    def at(self, moment: dt.datetime) -> None:
        stop_the_clock(self._monkeypatch, moment)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """It is noon, until the test says otherwise."""
    return Clock(monkeypatch)


def planned(*arguments: Any, **options: Any) -> Window:
    """Plan a closure, and return it."""
    (window,) = schedule(*arguments, **options).windows
    return window


def last_change() -> Change:
    change = Change.objects.first()
    assert change is not None
    return change


# -- Planning ----------------------------------------------------------------------------------


def test_a_planned_closure_closes_and_opens_at_its_second(clock: Clock) -> None:
    window = planned(NOON + HOUR, NOON + 3 * HOUR, reason="new machines", origin=ANN)
    assert current_state().is_open
    assert current_state().next_change == NOON + HOUR
    clock.at(NOON + HOUR)
    state = current_state()
    assert (state.mode, state.why, state.window) == (Mode.CLOSED, Why.WINDOW, window)
    assert (state.since, state.until) == (NOON + HOUR, NOON + 3 * HOUR)
    assert state.reason == "new machines"
    clock.at(NOON + 3 * HOUR)
    assert current_state().is_open


def test_it_ends_the_logins_of_before_and_they_stay_ended_however_long_ago_it_was(
    clock: Clock,
) -> None:
    before = current_state().generation
    planned(NOON + HOUR, NOON + 2 * HOUR)
    planned(NOON + 3 * HOUR, NOON + 4 * HOUR, keep_logins=True)
    assert current_state().generation == before
    for later in (HOUR, 2 * HOUR, 3.5 * HOUR, 400 * 24 * HOUR):
        clock.at(NOON + later)
        assert current_state().generation == int((NOON + HOUR).timestamp() * 1000)


def test_every_change_of_a_plan_has_a_number_and_a_row_of_history() -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR, reason="why", origin=ANN)
    first = store.read_mark()
    change = last_change()
    assert (change.action, change.actor_name, change.reason) == ("planned", "ann", "why")
    assert change.after["window"] == f"#{window.number}"
    assert change.after["starts_at"] == (NOON + HOUR).isoformat()
    reschedule(window.uid, ends_at=NOON + 3 * HOUR, origin=ANN)
    change = last_change()
    assert change.action == "replanned"
    assert change.before == {"ends_at": (NOON + 2 * HOUR).isoformat()}
    assert change.after["ends_at"] == (NOON + 3 * HOUR).isoformat()
    cancel(window.uid, origin=ANN)
    assert last_change().action == "cancelled"
    assert last_change().after == {"window": f"#{window.number}"}
    assert store.read_mark().epoch == first.epoch + 2
    assert Maintenance.objects.get().mode == "open"


@pytest.mark.parametrize(
    ("start", "end", "field", "sentence"),
    [
        (-HOUR, HOUR, "starts_at", "in the past"),
        (2 * HOUR, HOUR, "ends_at", "after the start"),
        (HOUR, HOUR, "ends_at", "after the start"),
        (366 * 24 * HOUR, 367 * 24 * HOUR, "starts_at", "365 days away"),
        (HOUR, 400 * 24 * HOUR, "ends_at", "365 days at most"),
    ],
)
def test_times_that_make_no_sense_are_refused_at_their_field(
    start: dt.timedelta, end: dt.timedelta, field: str, sentence: str
) -> None:
    with override("en"), pytest.raises(InvalidSettingError) as refused:
        schedule(NOON + start, NOON + end)
    assert list(refused.value.errors) == [field]
    assert sentence in refused.value.errors[field][0]
    assert not Row.objects.exists()


def test_all_that_is_wrong_is_said_at_once_with_the_language_of_each_text() -> None:
    words = {"": Words(title="x" * 201), "fr": Words(message="\x00")}
    with pytest.raises(InvalidSettingError) as refused:
        schedule(NOON - HOUR, NOON - 2 * HOUR, words=words)
    assert sorted(refused.value.errors) == ["ends_at", "message:fr", "starts_at", "title"]


def test_moments_without_a_zone_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="aware"):
        schedule(dt.datetime(2030, 1, 2), dt.datetime(2030, 1, 3))  # noqa: DTZ001


def test_a_start_that_was_just_missed_is_now() -> None:
    window = planned(NOON - MINUTE / 2, NOON + HOUR)
    assert window.starts_at == NOON
    assert not current_state().is_open


def test_the_database_refuses_what_no_verb_would_write() -> None:
    row = {"planned_start": NOON, "created_at": NOON, "starts_at": NOON}
    for wrong in ({"ends_at": NOON}, {"mode": "open"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Row.objects.create(**row, **wrong)


def test_what_visitors_read_is_stored_tidied_and_comes_back_by_language() -> None:
    words = {"": Words(" Move ", "a\r\nb"), "fr": Words("Travaux", ""), "de": Words()}
    window = planned(NOON + HOUR, NOON + 2 * HOUR, words=words)
    assert window.told("en") == Words("Move", "a\nb")
    assert window.told("fr-ca") == Words("Travaux", "a\nb")
    assert set(window.words) == {"", "fr"}


# -- Changing ----------------------------------------------------------------------------------


def test_an_early_start_keeps_the_end_and_remembers_what_was_planned(clock: Clock) -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR)
    clock.at(NOON + MINUTE)
    reschedule(window.uid, starts_at=NOON)
    state = current_state()
    assert (state.mode, state.since, state.until) == (Mode.CLOSED, NOON + MINUTE, NOON + 2 * HOUR)
    row = Row.objects.get()
    assert (row.planned_start, row.planned_end) == (NOON + HOUR, NOON + 2 * HOUR)


def test_an_extension_while_it_goes_on_moves_the_end_that_visitors_are_told(clock: Clock) -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR)
    clock.at(NOON + 1.5 * HOUR)
    reschedule(window.uid, ends_at=NOON + 5 * HOUR)
    assert current_state().until == NOON + 5 * HOUR
    assert Row.objects.get().planned_end == NOON + 2 * HOUR
    with pytest.raises(InvalidSettingError, match="begun already"):
        reschedule(window.uid, starts_at=NOON + 3 * HOUR)
    with pytest.raises(InvalidSettingError, match="in the future"):
        reschedule(window.uid, ends_at=NOON + 1.2 * HOUR)
    reschedule(window.uid, until_opened=True)
    assert current_state().until is None


def test_moving_a_plan_moves_what_was_planned() -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR)
    reschedule(window.uid, starts_at=NOON + 5 * HOUR, ends_at=NOON + 6 * HOUR)
    row = Row.objects.get()
    assert (row.planned_start, row.planned_end) == (row.starts_at, row.ends_at)
    assert row.starts_at == NOON + 5 * HOUR


def test_what_changes_nothing_writes_nothing() -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR)
    mark = store.read_mark()
    assert not reschedule(window.uid, ends_at=NOON + 2 * HOUR).changed
    assert store.read_mark() == mark


def test_a_cancelled_plan_closes_nothing_and_one_that_has_begun_ends(clock: Clock) -> None:
    first = planned(NOON + HOUR, NOON + 2 * HOUR)
    cancel(first.uid)
    clock.at(NOON + 1.5 * HOUR)
    assert current_state().is_open
    second = planned(NOON + 1.5 * HOUR, NOON + 3 * HOUR)
    assert not current_state().is_open
    cancel(second.uid)
    assert current_state().is_open
    for over in (first, second):
        with pytest.raises(NoSuchWindowError):
            cancel(over.uid)
        with pytest.raises(NoSuchWindowError):
            reschedule(over.uid, ends_at=NOON + 9 * HOUR)


def test_of_two_who_change_the_same_plan_the_second_is_told() -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR)
    seen = store.read_mark()
    reschedule(window.uid, ends_at=NOON + 3 * HOUR, origin=ANN)
    with pytest.raises(ConflictError) as refused:
        cancel(window.uid, expected=seen)
    assert refused.value.by == "ann"


# -- With the switch ---------------------------------------------------------------------------


def test_opening_by_hand_ends_all_that_goes_on_and_nothing_to_come(clock: Clock) -> None:
    planned(NOON + HOUR, NOON + 3 * HOUR)
    planned(NOON + 2 * HOUR)
    planned(NOON + 9 * HOUR, NOON + 10 * HOUR)
    clock.at(NOON + 2 * HOUR)
    outcome = open_site(origin=ANN)
    assert outcome.state.is_open
    assert last_change().action == "opened"
    clock.at(NOON + 9 * HOUR)
    assert not current_state().is_open


def test_one_that_is_ended_at_its_very_first_moment_has_not_been() -> None:
    planned(NOON, NOON + HOUR)
    assert open_site().state.is_open
    row = Row.objects.get()
    assert (row.ends_at, row.cancelled_at) == (NOON + HOUR, NOON)


def test_closed_by_hand_stays_closed_when_the_plan_ends(clock: Clock) -> None:
    planned(NOON + HOUR, NOON + 2 * HOUR)
    clock.at(NOON + 1.5 * HOUR)
    services.close_site(origin=ANN)
    clock.at(NOON + 2 * HOUR)
    state = current_state()
    assert (state.mode, state.why, state.by) == (Mode.CLOSED, Why.SWITCH, "ann")


def test_an_order_to_open_one_host_ends_the_plan_for_all_once_it_is_stored(clock: Clock) -> None:
    planned(NOON + HOUR, NOON + 3 * HOUR)
    clock.at(NOON + 2 * HOUR)
    mark = store.read_mark()
    order = Brake(Mode.OPEN, NOON + 1.5 * HOUR, by="ann@web1", host="web1", epoch=mark.epoch)
    services.merge_brake(order)
    assert current_state().is_open


# -- What is read ------------------------------------------------------------------------------


def test_plans_of_long_ago_are_not_read_but_for_the_last_that_ended_logins(clock: Clock) -> None:
    for day in range(30):
        clock.at(NOON + day * 24 * HOUR)
        planned(store.utc_now(), store.utc_now() + HOUR, keep_logins=day > 10)
    clock.at(NOON + 100 * 24 * HOUR)
    (window,) = store.load().windows
    assert window.starts_at == NOON + 10 * 24 * HOUR
    assert Row.objects.count() == 30


def test_the_copy_on_the_host_tells_them_whole() -> None:
    words = {"": Words("Move", "Soon"), "fr": Words("Travaux", "")}
    planned(NOON + HOUR, NOON + 2 * HOUR, words=words, mode=Mode.READ_ONLY)
    planned(NOON + 3 * HOUR, keep_logins=True, reason="why")
    copy = lastknown._decoded(lastknown._encoded(store.load()))
    assert copy.windows == store.load().windows


def test_a_database_that_went_back_gets_them_again_and_keeps_what_it_has_besides() -> None:
    running = planned(NOON, NOON + 3 * HOUR, words={"": Words("Move", "")})
    to_come = planned(NOON + 5 * HOUR, NOON + 6 * HOUR)
    known = store.load()
    Row.objects.filter(uid=running.uid).delete()
    Row.objects.filter(uid=to_come.uid).update(ends_at=NOON + 7 * HOUR)
    other = Row.objects.create(
        starts_at=NOON + 8 * HOUR, planned_start=NOON + 8 * HOUR, created_at=NOON
    )
    Maintenance.objects.update(epoch=0, revision=0)
    assert current_state().is_open
    services.reassert(known)
    again = {window.uid: window for window in store.load().windows}
    assert not current_state().is_open
    assert again[running.uid].told("") == Words("Move", "")
    assert again[to_come.uid].ends_at == NOON + 6 * HOUR
    assert Row.objects.get(uid=to_come.uid).created_at == NOON  # what the row knew, it still knows
    assert other.uid in again


# -- What a plan does ---------------------------------------------------------------------------


def test_what_a_plan_does_and_how_early_it_is_told_can_be_changed_until_it_begins(
    clock: Clock,
) -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR, notice=HOUR)
    (window,) = reschedule(
        window.uid, mode=Mode.READ_ONLY, keep_logins=True, usual_notice=True
    ).windows
    assert (window.mode, window.keep_logins, window.notice) == (Mode.READ_ONLY, True, None)
    assert window.sequence == 1
    assert not reschedule(window.uid, mode=Mode.READ_ONLY, usual_notice=True).changed
    (window,) = reschedule(window.uid, notice=dt.timedelta(0), keep_logins=False).windows
    assert (window.notice, window.keep_logins) == (dt.timedelta(0), False)
    clock.at(NOON + HOUR)
    with pytest.raises(InvalidSettingError) as caught:
        reschedule(window.uid, mode=Mode.CLOSED, keep_logins=True)
    assert set(caught.value.errors) == {"mode", "keep_logins"}
    assert reschedule(window.uid, mode=Mode.READ_ONLY, usual_notice=True).changed
