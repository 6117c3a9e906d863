"""The verbs: what each writes, records and tells, and what it refuses."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connections, transaction
from django.utils.translation import override
from pytest_django import DjangoCaptureOnCommitCallbacks, DjangoDbBlocker

from backsoon import services, store
from backsoon.core.vocabulary import Mode, State
from backsoon.definitions import BY_KEY, DEFINITIONS
from backsoon.exceptions import (
    AppendOnlyError,
    ConflictError,
    InvalidSettingError,
    StoreUnavailableError,
)
from backsoon.gate import gate
from backsoon.models import Change, Maintenance, SystemSetting
from backsoon.services import (
    Origin,
    adopt_outside_change,
    close_site,
    current_state,
    init_defaults,
    maintenance,
    next_generation,
    open_site,
    save_settings,
)
from backsoon.signals import state_changed
from backsoon.snapshots import Entry, Mark, Snapshot
from tests.integration.databases import backsoon_in

SWITCH, TITLE, MESSAGE, END = (
    "maintenance_mode",
    "maintenance_title",
    "maintenance_message",
    "maintenance_ends_at",
)
ANN = Origin(name="ann", channel=Change.Channel.COMMAND)
BOB = Origin(name="bob", channel=Change.Channel.WEB)
HOUR = dt.timedelta(hours=1)
T = TypeVar("T")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _forget_what_the_gate_knows() -> Iterator[None]:
    yield
    gate.forget()


@pytest.fixture
def unblocked(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Access to databases of the test's own making."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[dt.datetime], None]:
    """Set the clock of the services."""

    def set_clock(moment: dt.datetime) -> None:
        monkeypatch.setattr(store, "utc_now", lambda: moment)

    return set_clock


def now() -> dt.datetime:
    return store.utc_now()


def entry(key: str) -> Entry:
    return store.load().entries[key]


def value(key: str) -> str:
    return entry(key).value


def mode() -> Mode:
    return store.load().policy.switch.mode


def generation() -> int:
    return store.load().policy.generation


def changes() -> list[Change]:
    """The history, oldest first."""
    return list(Change.objects.order_by("pk"))


def digests(*keys: str) -> dict[str, str]:
    """What an operator who looks at the form now gets to see."""
    entries = store.load().entries
    return {key: entries[key].digest() for key in keys or BY_KEY}


def set_by_hand(key: str, text: str) -> None:
    assert SystemSetting.objects.filter(key=key).update(value=text) == 1


@contextmanager
def heard() -> Iterator[list[dict[str, Any]]]:
    """What a receiver of ``state_changed`` gets."""
    received: list[dict[str, Any]] = []

    def listen(**kwargs: Any) -> None:
        received.append(kwargs)

    state_changed.connect(listen)
    try:
        yield received
    finally:
        state_changed.disconnect(listen)


# -- Closing and opening ----------------------------------------------------------------------


def test_nothing_needs_to_be_prepared_before_closing() -> None:
    outcome = close_site(origin=ANN, reason="new servers")
    assert outcome.changed
    assert outcome.mark == store.read_mark() == Mark(1, 1)
    assert (outcome.state.mode, outcome.state.by, outcome.state.reason) == (
        Mode.CLOSED,
        "ann",
        "new servers",
    )
    assert current_state().mode is Mode.CLOSED
    assert SystemSetting.objects.get(key=SWITCH).value == "true"


def test_opening_ends_what_closing_began() -> None:
    close_site()
    outcome = open_site(origin=BOB)
    assert outcome.changed
    assert outcome.state.is_open
    assert outcome.mark == Mark(2, 2)
    assert SystemSetting.objects.get(key=SWITCH).value == "false"


def test_closing_a_closed_site_is_no_new_closure() -> None:
    first = close_site(origin=ANN)
    again = close_site(origin=BOB)
    assert not again.changed
    assert again.changes == ()
    assert again.mark == first.mark
    assert (again.state.by, again.state.since) == ("ann", first.state.since)
    assert again.state.generation == first.state.generation
    assert len(changes()) == 1


def test_opening_an_open_site_changes_nothing() -> None:
    assert not open_site().changed
    assert changes() == []
    assert store.read_mark() == Mark()


def test_closing_a_closed_site_again_changes_only_what_is_given() -> None:
    first = close_site(origin=ANN)
    until = now() + HOUR
    again = close_site(origin=BOB, message="Longer", until=until, reason="disks")
    assert again.changed
    assert value(MESSAGE) == "Longer"
    assert (again.state.until, again.state.reason) == (until, "disks")
    assert (again.state.by, again.state.since) == ("ann", first.state.since)
    assert again.state.generation == first.state.generation
    assert [change.action for change in changes()] == ["closed", "settings"]


def test_a_closure_may_stop_writing_only() -> None:
    outcome = close_site(mode=Mode.READ_ONLY)
    assert outcome.state.mode is Mode.READ_ONLY
    assert outcome.state.generation == 0, "readers stay logged in"
    assert close_site().state.mode is Mode.CLOSED
    assert generation() > 0


def test_opening_is_no_mode_of_closing() -> None:
    with pytest.raises(ValueError, match="open_site"):
        close_site(mode=Mode.OPEN)


def test_the_message_of_a_closure_replaces_that_of_every_language() -> None:
    save_settings({MESSAGE: Entry("Later", {"fr": "Plus tard"})})
    close_site(message="  Now\r\n")
    assert entry(MESSAGE) == Entry("Now")


def test_without_a_message_the_stored_one_stays() -> None:
    save_settings({MESSAGE: Entry("Later", {"fr": "Plus tard"})})
    close_site()
    assert entry(MESSAGE) == Entry("Later", {"fr": "Plus tard"})


def test_an_empty_message_brings_the_default_back() -> None:
    save_settings({MESSAGE: Entry("Later")})
    close_site(message="")
    assert entry(MESSAGE) == Entry()


def test_opening_forgets_the_expected_end() -> None:
    close_site(until=now() + HOUR)
    assert value(END)
    open_site()
    assert value(END) == ""
    assert store.load().policy.ends_at is None


def test_closing_forgets_an_expected_end_that_has_passed(
    at: Callable[[dt.datetime], None],
) -> None:
    save_settings({END: Entry((now() + HOUR).isoformat())})
    at(now() + 2 * HOUR)
    outcome = close_site()
    assert (outcome.state.until, outcome.state.late) == (None, False)


def test_closing_keeps_an_expected_end_that_lies_ahead() -> None:
    until = now() + HOUR
    save_settings({END: Entry(until.isoformat())})
    assert close_site().state.until == until


@pytest.mark.parametrize("distance", [dt.timedelta(0), -HOUR, -dt.timedelta(days=5000)])
def test_a_closure_cannot_end_before_it_begins(distance: dt.timedelta) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        close_site(until=now() + distance)
    assert list(caught.value.errors) == [END]
    assert mode() is Mode.OPEN


def test_an_end_without_zone_is_refused() -> None:
    with pytest.raises(InvalidSettingError, match="time zone"):
        close_site(until=dt.datetime(2090, 1, 1))  # noqa: DTZ001
    assert mode() is Mode.OPEN


def test_a_message_that_is_too_long_closes_nothing() -> None:
    with pytest.raises(InvalidSettingError) as caught:
        close_site(message="a" * 5_001)
    assert caught.value.errors == {MESSAGE: ["Use at most 5000 characters; there are 5001."]}
    assert changes() == []
    assert mode() is Mode.OPEN


def test_with_open_at_end_the_end_is_a_timer(at: Callable[[dt.datetime], None]) -> None:
    until = now() + HOUR
    close_site(until=until, open_at_end=True)
    assert current_state().mode is Mode.CLOSED
    at(until)
    assert current_state().is_open


def test_a_timer_needs_an_end() -> None:
    with pytest.raises(InvalidSettingError) as caught:
        close_site(open_at_end=True)
    assert list(caught.value.errors) == [END]


def test_a_closure_can_be_given_a_timer_later_and_lose_it_again() -> None:
    first = close_site()
    until = now() + HOUR
    close_site(until=until, open_at_end=True)
    assert store.load().policy.switch.open_at_end
    close_site(until=until)
    assert not store.load().policy.switch.open_at_end
    assert generation() == first.state.generation


def test_after_a_timer_has_opened_closing_is_a_new_closure(
    at: Callable[[dt.datetime], None],
) -> None:
    until = now() + HOUR
    first = close_site(until=until, open_at_end=True)
    at(until + HOUR)
    second = close_site()
    assert second.state.mode is Mode.CLOSED
    assert second.state.generation > first.state.generation


# -- Logins -----------------------------------------------------------------------------------


def test_each_closure_ends_the_logins_from_before() -> None:
    seen = [generation()]
    for _ in range(3):
        seen.append(close_site().state.generation)
        open_site()
    assert seen == sorted(set(seen))


def test_a_closure_may_keep_the_logins() -> None:
    before = close_site().state.generation
    open_site()
    assert close_site(keep_logins=True).state.generation == before
    assert "logins" not in changes()[-1].after


def test_the_generation_grows_also_when_the_clock_goes_back(
    at: Callable[[dt.datetime], None],
) -> None:
    today = now()
    at(today)
    first = close_site().state.generation
    open_site()
    at(today - dt.timedelta(days=400))
    assert close_site().state.generation == first + 1


def test_the_generation_is_never_lower_than_the_milliseconds_of_the_clock() -> None:
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    milliseconds = int(moment.timestamp()) * 1000
    assert next_generation(0, moment) == milliseconds
    assert next_generation(milliseconds - 1, moment) == milliseconds
    assert next_generation(milliseconds, moment) == milliseconds + 1


# -- Two at once ------------------------------------------------------------------------------


def test_whoever_expects_another_state_is_told_who_switched() -> None:
    seen = store.read_mark()
    close_site(origin=ANN)
    with pytest.raises(ConflictError) as caught:
        open_site(origin=BOB, expected=seen)
    assert (caught.value.by, caught.value.theirs) == ("ann", {})
    assert mode() is Mode.CLOSED


def test_whoever_expects_what_is_true_gets_what_is_asked() -> None:
    close_site()
    assert open_site(expected=store.read_mark()).changed


def test_a_change_of_texts_is_no_change_of_the_switch() -> None:
    seen = store.read_mark()
    save_settings({TITLE: Entry("Moving")})
    assert close_site(expected=seen).changed


def meet_after_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two threads wait for each other between their first reading and their writing."""
    load, barrier = store.load, threading.Barrier(2, timeout=10)
    waiting = threading.local()

    def load_and_meet() -> Snapshot:
        snapshot = load()
        a_helper = threading.current_thread() is not threading.main_thread()
        if a_helper and not getattr(waiting, "is_over", False):
            waiting.is_over = True
            barrier.wait()
        return snapshot

    monkeypatch.setattr(store, "load", load_and_meet)


def at_once(*verbs: Callable[[], T]) -> list[T | Exception]:
    """What each verb returns or raises, each in a thread of its own."""
    results: dict[int, T | Exception] = {}

    def run(place: int, verb: Callable[[], T]) -> None:
        try:
            results[place] = verb()
        except Exception as error:  # noqa: BLE001  (it is the result)
            results[place] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=item) for item in enumerate(verbs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [results[place] for place in range(len(verbs))]


@pytest.mark.usefixtures("unblocked")
def test_of_two_who_switch_at_once_expecting_the_same_exactly_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with backsoon_in(tmp_path / "own.db"):
        init_defaults()
        seen = store.read_mark()
        meet_after_reading(monkeypatch)
        results = at_once(
            lambda: close_site(origin=ANN, expected=seen),
            lambda: close_site(origin=BOB, mode=Mode.READ_ONLY, expected=seen),
        )
        (conflict,) = [result for result in results if isinstance(result, ConflictError)]
        (outcome,) = [result for result in results if isinstance(result, services.Outcome)]
        switch = store.load().policy.switch
        assert switch.mode is outcome.state.mode
        assert switch.by == conflict.by == outcome.state.by
        assert store.read_mark().epoch == seen.epoch + 1
        history = Change.objects.using("file").filter(epoch=seen.epoch + 1)
        assert history.count() == 1


@pytest.mark.usefixtures("unblocked")
def test_of_two_who_close_blindly_at_once_the_second_finds_it_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with backsoon_in(tmp_path / "own.db"):
        init_defaults()
        meet_after_reading(monkeypatch)
        results = at_once(lambda: close_site(origin=ANN), lambda: close_site(origin=BOB))
        outcomes = [result for result in results if isinstance(result, services.Outcome)]
        assert sorted(outcome.changed for outcome in outcomes) == [False, True]
        assert all(outcome.state.mode is Mode.CLOSED for outcome in outcomes)
        assert len({outcome.state.generation for outcome in outcomes}) == 1
        assert store.read_mark().epoch == 1


@pytest.mark.usefixtures("unblocked")
def test_of_two_who_switch_apart_blindly_at_once_both_do_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with backsoon_in(tmp_path / "own.db"):
        init_defaults()
        close_site(mode=Mode.READ_ONLY)
        meet_after_reading(monkeypatch)
        results = at_once(lambda: close_site(origin=ANN), lambda: open_site(origin=BOB))
        assert all(isinstance(result, services.Outcome) for result in results), results
        assert store.read_mark().epoch == 3
        last = Change.objects.using("file").get(epoch=3)
        assert store.load().policy.switch.by == last.actor_name


def test_a_blind_change_gives_up_after_being_overtaken_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    swap = store.swap_control
    tries: list[Mark] = []

    def overtaken(seen: Mark, **values: Any) -> bool:
        tries.append(seen)
        assert swap(seen, changed_by="somebody faster")
        return swap(seen, **values)

    monkeypatch.setattr(store, "swap_control", overtaken)
    with pytest.raises(ConflictError):
        close_site()
    assert len(tries) == 3
    assert mode() is Mode.OPEN
    assert changes() == []


# -- Saving settings --------------------------------------------------------------------------


def test_settings_are_stored_cleaned_with_who_did_it() -> None:
    user = get_user_model().objects.create_user("carla")
    outcome = save_settings(
        {
            TITLE: Entry("  Moving ", {"fr": " Déménagement ", "de": "  "}),
            "maintenance_url": Entry("https://example.com/status"),
        },
        origin=Origin(user=user, channel=Change.Channel.WEB),
    )
    assert outcome.changed
    assert entry(TITLE) == Entry("Moving", {"fr": "Déménagement"})
    row = SystemSetting.objects.get(key=TITLE)
    assert (row.value, row.updated_by_id) == ("Moving", user.pk)
    (change,) = changes()
    assert (change.action, change.actor_name, change.channel) == ("settings", "carla", "web")
    assert change.before[TITLE] == "We will be back soon"
    assert (change.after[TITLE], change.after[f"{TITLE}:fr"]) == ("Moving", "Déménagement")
    assert outcome.mark == Mark(0, 1)


def test_saving_what_is_stored_already_writes_nothing() -> None:
    save_settings({TITLE: Entry("Moving", {"fr": "Déménagement"}), MESSAGE: Entry("a\nb")})
    again = save_settings(
        {
            TITLE: Entry("Moving ", {"fr": "Déménagement", "de": ""}),
            MESSAGE: Entry("a\r\nb\r\n"),
            SWITCH: Entry("false"),
            "maintenance_icon": Entry("fas fa-tools"),
        }
    )
    assert not again.changed
    assert len(changes()) == 1


def test_every_mistake_is_named_at_its_field_and_nothing_is_stored() -> None:
    with pytest.raises(InvalidSettingError) as caught:
        save_settings(
            {
                TITLE: Entry("fine", {"fr": "a" * 201}),
                "maintenance_url": Entry("javascript:alert(1)"),
                SWITCH: Entry("maybe"),
                "no_such_setting": Entry("x"),
            }
        )
    assert set(caught.value.errors) == {
        f"{TITLE}:fr",
        "maintenance_url",
        SWITCH,
        "no_such_setting",
    }
    assert value(TITLE) == ""
    assert changes() == []


def test_switching_by_the_settings_is_a_closure_like_any_other() -> None:
    outcome = save_settings({SWITCH: Entry("true"), MESSAGE: Entry("Moving")}, origin=ANN)
    assert outcome.state.mode is Mode.CLOSED
    assert outcome.state.generation > 0
    assert (outcome.state.by, value(MESSAGE)) == ("ann", "Moving")
    assert [change.action for change in changes()] == ["closed"]
    reopened = save_settings({SWITCH: Entry("false")}, origin=BOB)
    assert reopened.state.is_open
    assert [change.action for change in changes()] == ["closed", "opened"]


def test_an_empty_switch_means_off() -> None:
    close_site()
    assert save_settings({SWITCH: Entry()}).state.is_open


def test_opening_by_the_settings_forgets_the_end_also_a_new_one() -> None:
    close_site(until=now() + HOUR)
    later = Entry((now() + 2 * HOUR).isoformat())
    save_settings({SWITCH: Entry("false"), END: later})
    assert value(END) == ""
    close_site()
    save_settings({SWITCH: Entry("false"), END: later})
    assert value(END) == ""


def test_closing_by_the_settings_with_an_end_tells_that_end() -> None:
    until = now() + HOUR
    assert (
        save_settings({SWITCH: Entry("true"), END: Entry(until.isoformat())}).state.until == until
    )


def test_an_end_that_has_passed_may_stay_but_not_be_set(at: Callable[[dt.datetime], None]) -> None:
    until = now() + HOUR
    close_site(until=until)
    at(until + HOUR)
    stored = entry(END)
    assert save_settings({END: stored, TITLE: Entry("Late")}).state.late
    with pytest.raises(InvalidSettingError):
        save_settings({END: Entry((until + dt.timedelta(minutes=1)).isoformat())})


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_broken_switch_row_is_no_reason_to_switch_and_mended_by_the_next_switching(
    is_closed: bool,
) -> None:
    init_defaults()
    if is_closed:
        close_site()
    before = store.load()
    set_by_hand(SWITCH, "maybe")
    assert not save_settings({SWITCH: Entry("true" if is_closed else "false")}).changed
    after = store.load()
    assert (after.mark, after.policy) == (before.mark, before.policy)
    save_settings({SWITCH: Entry("false" if is_closed else "true")})
    assert store.load().broken == ()
    assert mode() is (Mode.OPEN if is_closed else Mode.CLOSED)


def test_saving_a_default_mends_a_broken_value() -> None:
    init_defaults()
    set_by_hand("maintenance_url", "javascript:alert(1)")
    save_settings({"maintenance_url": Entry()})
    assert store.load().broken == ()


def test_the_site_can_be_opened_by_the_settings_after_its_switch_row_was_deleted() -> None:
    close_site()
    SystemSetting.objects.filter(key=SWITCH).delete()
    assert save_settings({SWITCH: Entry("false")}).state.is_open


def test_settings_of_the_projects_own_are_cleaned_by_what_their_row_says() -> None:
    SystemSetting.objects.create(key="banner", setting_type="url", group="shop")
    save_settings({"banner": Entry("https://example.com/")})
    assert value("banner") == "https://example.com/"
    with pytest.raises(InvalidSettingError):
        save_settings({"banner": Entry("javascript:alert(1)")})


# -- Two who edit at once ---------------------------------------------------------------------


def test_what_only_one_of_two_changed_is_merged() -> None:
    seen = digests()
    save_settings({TITLE: Entry("Ann's")}, origin=ANN, base=seen)
    form = {TITLE: Entry(), MESSAGE: Entry("Bob's")}
    save_settings(form, origin=BOB, base=seen)
    assert (value(TITLE), value(MESSAGE)) == ("Ann's", "Bob's")


def test_where_both_changed_the_second_is_told_and_nothing_is_stored() -> None:
    seen = digests()
    save_settings({TITLE: Entry("Ann's")}, origin=ANN, base=seen)
    with pytest.raises(ConflictError) as caught:
        save_settings({TITLE: Entry("Bob's"), MESSAGE: Entry("Bob's")}, origin=BOB, base=seen)
    assert caught.value.theirs == {TITLE: "Ann's"}
    assert caught.value.by == "ann"
    assert (value(TITLE), value(MESSAGE)) == ("Ann's", "")


def test_who_was_told_and_looks_again_may_save() -> None:
    save_settings({TITLE: Entry("Ann's")}, origin=ANN)
    save_settings({TITLE: Entry("Bob's")}, origin=BOB, base=digests())
    assert value(TITLE) == "Bob's"


def test_where_both_changed_alike_there_is_no_conflict() -> None:
    seen = digests()
    save_settings({TITLE: Entry("Moving")}, base=seen)
    assert not save_settings({TITLE: Entry("Moving")}, base=seen).changed


def test_a_text_that_only_went_through_a_form_was_not_changed_by_whoever_sends_it() -> None:
    save_settings({MESSAGE: Entry("one\ntwo", {"fr": "un\ndeux"})})
    seen = digests()
    save_settings({MESSAGE: Entry("three")}, origin=ANN, base=seen)
    form = {MESSAGE: Entry("one\r\ntwo", {"fr": "un\r\ndeux", "de": ""}), TITLE: Entry("Bob's")}
    save_settings(form, origin=BOB, base=seen)
    assert (value(MESSAGE), value(TITLE)) == ("three", "Bob's")


def test_a_form_that_shows_the_old_switch_does_not_switch_back() -> None:
    seen = digests()
    close_site(origin=ANN)
    save_settings({SWITCH: Entry("false"), TITLE: Entry("Bob's")}, origin=BOB, base=seen)
    assert mode() is Mode.CLOSED
    assert value(TITLE) == "Bob's"


def test_a_form_can_switch_off() -> None:
    close_site()
    assert save_settings({SWITCH: Entry("false")}, base=digests()).state.is_open


def test_two_who_save_the_same_setting_in_the_same_moment_both_get_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ann's change comes after Bob's form was merged and before it is written."""
    init_defaults()
    seen = digests()
    bump = store.bump_revision

    def overtaken() -> None:
        bump()
        set_by_hand(TITLE, "Ann's")

    monkeypatch.setattr(store, "bump_revision", overtaken)
    with pytest.raises(ConflictError) as caught:
        save_settings({TITLE: Entry("Bob's")}, origin=BOB, base=seen)
    assert caught.value.theirs == {TITLE: "Ann's"}


# -- Defaults ---------------------------------------------------------------------------------


def test_defaults_are_made_once() -> None:
    assert init_defaults(origin=ANN) == list(BY_KEY)
    mark = store.read_mark()
    assert init_defaults() == []
    assert store.read_mark() == mark
    (change,) = changes()
    assert (change.action, change.actor_name) == ("initialized", "ann")
    assert change.after == {"made": list(BY_KEY)}
    rows = {row.key: row for row in SystemSetting.objects.all()}
    for definition in DEFINITIONS:
        row = rows[definition.key]
        assert (row.value, row.group, row.label) == (
            definition.default,
            definition.group,
            str(definition.label),
        )


def test_making_defaults_overwrites_nothing() -> None:
    save_settings({TITLE: Entry("Moving", {"fr": "Déménagement"})})
    set_before = SystemSetting.objects.get(key=TITLE)
    made = init_defaults()
    assert TITLE not in made
    assert len(made) == len(DEFINITIONS) - 1
    row = SystemSetting.objects.get(key=TITLE)
    assert (row.value, row.translations) == ("Moving", {"fr": "Déménagement"})
    assert row.updated_at == set_before.updated_at


def test_rows_that_somebody_else_makes_in_the_same_moment_stay_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def overtaken() -> None:
        for key in BY_KEY:
            SystemSetting.objects.create(key=key, value="true" if key == SWITCH else "")

    monkeypatch.setattr(store, "bump_revision", overtaken)
    assert init_defaults() == []
    assert changes() == []
    assert mode() is Mode.CLOSED


@pytest.mark.parametrize("closed_as", [Mode.CLOSED, Mode.READ_ONLY])
def test_making_defaults_during_a_closure_opens_nothing(closed_as: Mode) -> None:
    close_site(mode=closed_as)
    SystemSetting.objects.all().delete()
    assert SWITCH in init_defaults()
    snapshot = store.load()
    assert snapshot.policy.switch.mode is closed_as
    assert not snapshot.changed_outside


def test_defaults_made_in_any_language_are_read_by_everybody_in_their_own() -> None:
    with override("fr"):
        init_defaults()
    assert entry(TITLE) == entry(MESSAGE) == Entry()


# -- Changes by other hands -------------------------------------------------------------------


def test_a_closure_by_hand_becomes_a_whole_one() -> None:
    init_defaults()
    set_by_hand(SWITCH, "true")
    outcome = adopt_outside_change()
    assert outcome is not None
    assert outcome.state.mode is Mode.CLOSED
    assert outcome.state.generation > 0
    assert outcome.mark.epoch == 1
    snapshot = store.load()
    assert not snapshot.changed_outside
    assert snapshot.policy.switch.since is not None
    last = changes()[-1]
    assert (last.action, last.channel, last.actor_name) == ("noticed", "database", "")
    assert (last.before["mode"], last.after["mode"]) == ("closed", "closed")


def test_an_opening_by_hand_becomes_a_whole_one() -> None:
    close_site(until=now() + HOUR)
    set_by_hand(SWITCH, "false")
    outcome = adopt_outside_change()
    assert outcome is not None
    assert outcome.state.is_open
    assert value(END) == ""
    assert Maintenance.objects.get().mode == "open"
    assert changes()[-1].action == "noticed"


def test_there_is_nothing_to_adopt_twice() -> None:
    assert adopt_outside_change() is None
    init_defaults()
    set_by_hand(SWITCH, "true")
    assert adopt_outside_change() is not None
    assert adopt_outside_change() is None


def test_a_process_that_adopts_too_late_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    init_defaults()
    set_by_hand(SWITCH, "true")
    swap = store.swap_control

    def overtaken(seen: Mark, **values: Any) -> bool:
        return swap(Mark(seen.epoch + 1, seen.revision + 1), **values)

    monkeypatch.setattr(store, "swap_control", overtaken)
    assert adopt_outside_change() is None
    assert [change.action for change in changes()] == ["initialized"]


@pytest.mark.parametrize(
    ("by_hand", "verb", "expected"),
    [("true", close_site, Mode.CLOSED), ("false", open_site, Mode.OPEN)],
)
def test_a_verb_that_confirms_what_was_done_by_hand_makes_it_whole(
    by_hand: str, verb: Callable[[], services.Outcome], expected: Mode
) -> None:
    init_defaults()
    if by_hand == "false":
        close_site()
    set_by_hand(SWITCH, by_hand)
    assert verb().changed
    snapshot = store.load()
    assert snapshot.policy.switch.mode is expected
    assert not snapshot.changed_outside


# -- The context manager ----------------------------------------------------------------------


def test_a_block_closes_and_opens_again() -> None:
    with maintenance(message="Moving", reason="disks", origin=ANN) as outcome:
        assert outcome.state.mode is Mode.CLOSED
        assert (mode(), value(MESSAGE)) == (Mode.CLOSED, "Moving")
    assert (mode(), value(MESSAGE)) == (Mode.OPEN, "")
    assert {change.actor_name for change in changes()} == {"ann"}


def test_a_block_that_fails_opens_again_and_lets_the_error_through() -> None:
    with pytest.raises(ZeroDivisionError), maintenance():
        _ = 1 / 0
    assert mode() is Mode.OPEN


def test_a_block_that_cannot_close_does_not_run() -> None:
    ran = False
    with pytest.raises(InvalidSettingError), maintenance(message="a" * 5_001):
        ran = True
    assert not ran
    assert mode() is Mode.OPEN


def test_a_block_brings_texts_back_in_every_language() -> None:
    save_settings({MESSAGE: Entry("Later", {"fr": "Plus tard"})})
    with maintenance(message="Now"):
        assert entry(MESSAGE) == Entry("Now")
    assert entry(MESSAGE) == Entry("Later", {"fr": "Plus tard"})


def given_nothing() -> dict[str, Any]:
    return {}


def given_everything() -> dict[str, Any]:
    return {"message": "Now", "reason": "disks", "until": now() + HOUR}


@pytest.mark.parametrize("given", [given_nothing, given_everything])
def test_a_block_on_a_closed_site_leaves_it_closed(given: Callable[[], dict[str, Any]]) -> None:
    save_settings({MESSAGE: Entry("Ann's")})
    closed = close_site(origin=ANN, reason="servers")
    with maintenance(**given(), origin=BOB):
        assert mode() is Mode.CLOSED
    state = current_state()
    assert (state.mode, state.by, state.since) == (Mode.CLOSED, "ann", closed.state.since)
    assert (state.reason, state.until) == ("servers", None)
    assert state.generation == closed.state.generation
    assert value(MESSAGE) == "Ann's"


def test_a_block_on_a_closed_site_with_a_timer_brings_the_timer_back() -> None:
    until = now() + HOUR
    close_site(until=until, open_at_end=True)
    with maintenance(until=until + HOUR):
        assert not store.load().policy.switch.open_at_end
    policy = store.load().policy
    assert (policy.switch.mode, policy.switch.open_at_end, policy.ends_at) == (
        Mode.CLOSED,
        True,
        until,
    )


def test_a_block_on_a_read_only_site_leaves_it_read_only() -> None:
    close_site(mode=Mode.READ_ONLY, reason="copying")
    with maintenance() as outcome:
        assert outcome.state.mode is Mode.CLOSED
    assert (mode(), store.load().policy.switch.reason) == (Mode.READ_ONLY, "copying")


def test_a_block_on_a_site_that_was_closed_by_hand_leaves_it_closed() -> None:
    init_defaults()
    set_by_hand(SWITCH, "true")
    with maintenance():
        pass
    assert mode() is Mode.CLOSED


def test_a_block_does_not_open_what_somebody_else_closed_meanwhile() -> None:
    with maintenance():
        open_site(origin=ANN)
        close_site(origin=ANN, reason="fire")
    state = current_state()
    assert (state.mode, state.reason) == (Mode.CLOSED, "fire")


def test_a_block_does_not_mind_that_somebody_else_has_opened() -> None:
    with maintenance(message="Moving"):
        open_site(origin=ANN)
    assert (mode(), value(MESSAGE)) == (Mode.OPEN, "")


def test_a_block_keeps_what_somebody_else_wrote_meanwhile() -> None:
    with maintenance(message="Moving"):
        save_settings({MESSAGE: Entry("Ann's"), TITLE: Entry("Ann's")}, origin=ANN)
    assert (mode(), value(MESSAGE), value(TITLE)) == (Mode.OPEN, "Ann's", "Ann's")


def test_a_block_does_not_open_when_somebody_switches_in_the_very_moment_of_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    swap = store.swap_control

    def overtaken(seen: Mark, **values: Any) -> bool:
        return swap(Mark(seen.epoch + 1, seen.revision + 1), **values)

    with maintenance():
        monkeypatch.setattr(store, "swap_control", overtaken)
    assert mode() is Mode.CLOSED


def test_a_block_does_not_take_for_its_own_what_somebody_closed_while_it_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = store.load

    def somebody_closes_after_the_first_reading() -> Snapshot:
        snapshot = load()
        monkeypatch.setattr(store, "load", load)
        close_site(origin=ANN, reason="fire")
        return snapshot

    monkeypatch.setattr(store, "load", somebody_closes_after_the_first_reading)
    with maintenance(message="Moving", origin=BOB):
        assert value(MESSAGE) == "Moving"
    state = current_state()
    assert (state.mode, state.by, state.reason) == (Mode.CLOSED, "ann", "fire")
    assert value(MESSAGE) == ""


def test_a_block_does_not_run_when_it_is_overtaken_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    swap = store.swap_control

    def overtaken(seen: Mark, **values: Any) -> bool:
        return swap(Mark(seen.epoch + 1, seen.revision + 1), **values)

    monkeypatch.setattr(store, "swap_control", overtaken)
    with pytest.raises(ConflictError), maintenance():
        pytest.fail("The site was not closed.")
    assert mode() is Mode.OPEN


def test_a_block_brings_no_end_back_that_passes_while_it_lasts(
    at: Callable[[dt.datetime], None],
) -> None:
    promised = now() + HOUR
    close_site(until=promised)
    with maintenance(until=promised + 5 * HOUR):
        at(promised + 2 * HOUR)
    assert store.load().policy.ends_at == promised + 5 * HOUR


def test_a_block_brings_back_an_end_that_still_lies_ahead() -> None:
    promised = now() + HOUR
    close_site(until=promised)
    with maintenance(until=promised + HOUR):
        assert store.load().policy.ends_at == promised + HOUR
    assert store.load().policy.ends_at == promised


def test_a_block_keeps_logins_when_asked() -> None:
    with maintenance(keep_logins=True):
        assert generation() == 0
    assert generation() == 0


# -- Telling others ---------------------------------------------------------------------------


def test_listeners_hear_of_a_change_after_the_commit(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with heard() as received, django_capture_on_commit_callbacks(execute=True):
        outcome = close_site(origin=ANN)
        assert received == []
    (message,) = received
    before, after = message["before"], message["after"]
    assert isinstance(before, State)
    assert isinstance(after, State)
    assert (before.mode, after.mode) == (Mode.OPEN, Mode.CLOSED)
    assert message["change"] == outcome.changes[0] == changes()[0]
    assert message["sender"] is Change


def test_listeners_hear_nothing_of_what_changes_nothing(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with heard() as received, django_capture_on_commit_callbacks(execute=True):
        open_site()
    assert received == []


def test_a_listener_that_fails_is_logged_and_stops_nothing(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError("The chat is down.")

    state_changed.connect(fail)
    try:
        with (
            heard() as received,
            caplog.at_level(logging.ERROR, logger="backsoon"),
            django_capture_on_commit_callbacks(execute=True),
        ):
            close_site()
    finally:
        state_changed.disconnect(fail)
    assert mode() is Mode.CLOSED
    assert len(received) == 1
    (record,) = [r for r in caplog.records if r.name == "backsoon"]
    assert "fail" in record.getMessage()
    assert record.exc_info is not None
    assert "The chat is down." in str(record.exc_info[1])


def test_nothing_is_told_of_what_was_rolled_back(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    def close_and_fail() -> None:
        with transaction.atomic():
            close_site()
            raise LookupError

    with (
        heard() as received,
        django_capture_on_commit_callbacks(execute=True) as callbacks,
        pytest.raises(LookupError),
    ):
        close_and_fail()
    assert (received, callbacks) == ([], [])
    assert mode() is Mode.OPEN
    assert changes() == []


def test_a_change_that_cannot_be_recorded_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise IntegrityError("The disk is full.")

    monkeypatch.setattr(Change, "save", full)
    with pytest.raises(StoreUnavailableError, match="The disk is full"):
        close_site(message="Moving")
    assert (mode(), value(MESSAGE)) == (Mode.OPEN, "")
    assert store.read_mark() == Mark()


@pytest.mark.usefixtures("unblocked")
def test_a_true_commit_is_told_at_once(tmp_path: Path) -> None:
    with backsoon_in(tmp_path / "own.db"), heard() as received:
        close_site()
        open_site()
        assert [message["after"].mode for message in received] == [Mode.CLOSED, Mode.OPEN]


# -- History ----------------------------------------------------------------------------------


def test_history_tells_who_what_when_why_and_from_where() -> None:
    before = now()
    close_site(origin=ANN, reason="disks", message="Moving")
    (change,) = changes()
    assert (change.actor_name, change.channel, change.action) == ("ann", "command", "closed")
    assert (change.reason, change.epoch) == ("disks", 1)
    assert before <= change.at <= now()
    assert (change.before["mode"], change.after["mode"]) == ("open", "closed")
    assert change.after[MESSAGE] == "Moving"
    assert change.after["logins"] == "ended"


def test_history_keeps_the_name_of_a_user_who_is_deleted() -> None:
    user = get_user_model().objects.create_user("carla")
    close_site(origin=Origin(user=user, channel=Change.Channel.WEB))
    pk = user.pk
    user.delete()
    (change,) = changes()
    assert (change.actor_name, change.actor_id) == ("carla", pk)
    assert store.load().policy.switch.by == "carla"
    assert save_settings({TITLE: Entry("Still works")}).changed


def test_a_name_that_is_too_long_is_cut() -> None:
    close_site(origin=Origin(name="a" * 300))
    assert changes()[0].actor_name == "a" * 200


def test_history_can_be_neither_changed_nor_deleted() -> None:
    close_site(origin=ANN)
    (change,) = changes()
    change.actor_name = "nobody"
    rows = Change.objects.all()
    attempts: list[Callable[[], object]] = [
        change.save,
        change.delete,
        lambda: rows.update(actor_name="nobody"),
        rows.delete,
        lambda: rows.filter(pk=change.pk).delete(),
        lambda: Change.objects.bulk_update([change], ["actor_name"]),
        lambda: Change.objects.bulk_create(
            [change],
            update_conflicts=True,
            update_fields=["actor_name"],
            unique_fields=["pk"],
        ),
        lambda: Change.objects.update_or_create(pk=change.pk, defaults={"actor_name": "nobody"}),
    ]
    for attempt in attempts:
        with pytest.raises(AppendOnlyError, match="append-only"):
            attempt()
    assert Change.objects.get().actor_name == "ann"


def test_a_new_row_does_not_take_the_place_of_an_old_one() -> None:
    close_site(origin=ANN)
    (old,) = changes()
    forged = Change(pk=old.pk, at=old.at, channel="web", action="opened", actor_name="nobody")
    with pytest.raises(IntegrityError), transaction.atomic():
        forged.save()
    assert Change.objects.get().actor_name == "ann"


def test_new_rows_can_be_added_at_once() -> None:
    moment = now()
    new = [Change(at=moment, channel="api", action="settings") for _ in range(2)]
    Change.objects.bulk_create(new)
    assert len(changes()) == 2


# -- What the database itself refuses ---------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        lambda: Maintenance.objects.update(mode="ajar"),
        lambda: Maintenance.objects.update(mode=""),
        lambda: Maintenance.objects.create(pk=2),
        lambda: Maintenance.objects.update(epoch=99),
        lambda: Maintenance.objects.update(generation=-1),
        lambda: SystemSetting.objects.create(key="", value="x"),
        lambda: SystemSetting.objects.create(key=SWITCH, value="true"),
        lambda: SystemSetting.objects.filter(key=TITLE).update(key=""),
    ],
    ids=[
        "a mode that does not exist",
        "an empty mode",
        "a second control row",
        "an epoch ahead of the revision",
        "a negative generation",
        "a setting without key",
        "a key twice",
        "taking a key away",
    ],
)
def test_the_database_refuses(write: Callable[[], object]) -> None:
    init_defaults()
    close_site()
    with pytest.raises(IntegrityError), transaction.atomic():
        write()
    assert mode() is Mode.CLOSED


def test_a_new_end_does_not_close_a_site_that_has_opened_itself(
    at: Callable[[dt.datetime], None],
) -> None:
    until = now() + HOUR
    close_site(until=until, open_at_end=True)
    at(until + HOUR)
    later = Entry((until + 3 * HOUR).isoformat())
    outcome = save_settings({END: later, TITLE: Entry("Next time")})
    assert outcome.state.is_open
    assert store.load().policy.switch.mode is Mode.OPEN
    assert value(END) == later.value
    assert value(SWITCH) == ""


def test_the_switch_on_the_settings_closes_a_site_that_has_opened_itself(
    at: Callable[[dt.datetime], None],
) -> None:
    until = now() + HOUR
    first = close_site(until=until, open_at_end=True)
    at(until + HOUR)
    outcome = save_settings({SWITCH: Entry("true")})
    assert outcome.state.mode is Mode.CLOSED
    assert outcome.state.generation > first.state.generation


def test_a_reason_and_a_name_that_cannot_be_stored_do_not_stop_a_closure() -> None:
    outcome = close_site(reason="a\x00b\ud800", origin=Origin(name="ops\x00@\udcff"))
    assert outcome.state.mode is Mode.CLOSED
    assert outcome.state.reason == "ab?"
    assert outcome.changes[0].actor_name == "ops@?"
