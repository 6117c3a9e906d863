"""``manage.py maintenance on`` and ``off``."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import socket
from collections.abc import Callable

import pytest
from django.test import override_settings
from django.utils import translation

from backsoon import services, store
from backsoon.core.vocabulary import Mode
from backsoon.models import Change, Maintenance
from backsoon.snapshots import Snapshot
from tests.integration.commands import failing_database, run, stop_the_clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> dt.datetime:
    return stop_the_clock(monkeypatch)


OTHER = services.Origin(name="alice@laptop", channel=Change.Channel.COMMAND)


@pytest.fixture(autouse=True)
def deploy_at_web1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "deploy")
    monkeypatch.setattr(socket, "gethostname", lambda: "web1")


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Lets somebody else act after the command has looked and before it writes."""

    def let(act: Callable[[], object]) -> None:
        load = store.load

        def load_and_be_overtaken() -> Snapshot:
            monkeypatch.setattr(store, "load", load)
            snapshot = load()
            act()
            return snapshot

        monkeypatch.setattr(store, "load", load_and_be_overtaken)

    return let


# -- on -------------------------------------------------------------------------------------------


def test_on_closes_the_site_and_says_so_in_one_line(noon: dt.datetime) -> None:
    result = run("on")
    assert result.code == 0
    assert result.lines == ["Maintenance is on since 12:00 UTC (epoch 1). Visitors see the page."]
    assert services.current_state().mode is Mode.CLOSED


def test_the_history_keeps_who_typed_where_and_why(noon: dt.datetime) -> None:
    run("on", "--reason", "moving house")
    change = Change.objects.get()
    assert (change.actor_name, change.channel) == ("deploy@web1", "command")
    assert (change.action, change.reason) == ("closed", "moving house")


def test_a_user_without_a_name_is_kept_by_number(
    noon: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    run("on")
    assert Change.objects.get().actor_name == f"uid {os.getuid()}@web1"


def test_the_message_is_what_visitors_read(noon: dt.datetime) -> None:
    run("on", "--message", "Moving house")
    assert store.load().policy.notice("fr").message == "Moving house"


def test_a_length_of_time_is_an_end(noon: dt.datetime) -> None:
    result = run("on", "--until", "+1d12h")
    assert result.lines[0].endswith("the expected end is 2030-01-03 00:00 UTC.")
    assert services.current_state().until == noon + dt.timedelta(days=1, hours=12)


@override_settings(TIME_ZONE="Europe/Paris")
def test_a_moment_without_offset_is_one_of_the_settings_time_zone(noon: dt.datetime) -> None:
    run("on", "--until", "2030-01-01T14:00")
    assert services.current_state().until == noon + dt.timedelta(hours=1)


def test_a_program_may_give_the_end_as_a_datetime(noon: dt.datetime) -> None:
    run("on", until=noon + dt.timedelta(hours=1))
    assert services.current_state().until == noon + dt.timedelta(hours=1)


def test_a_datetime_without_a_zone_is_a_usage_error(noon: dt.datetime) -> None:
    result = run("on", until=noon.replace(tzinfo=None))
    assert result.code == 2
    assert "has no time zone" in result.err


def test_the_end_may_be_a_timer(noon: dt.datetime) -> None:
    result = run("on", "--until", "+2h", "--open-at-end")
    assert result.lines[0].endswith("until 14:00 UTC, when the site opens by itself.")
    assert store.load().policy.switch.open_at_end is True


def test_logins_end_unless_they_are_to_be_kept(noon: dt.datetime) -> None:
    run("on", "--keep-logins")
    assert Maintenance.objects.get().generation == 0
    run("off")
    run("on")
    assert Maintenance.objects.get().generation > 0


def test_read_only_is_a_mode_of_its_own(noon: dt.datetime) -> None:
    assert "read-only" in run("on", "--read-only").lines[0]
    assert services.current_state().mode is Mode.READ_ONLY


def test_on_answers_in_json(noon: dt.datetime) -> None:
    answer = run("on", "--until", "+1h", "--reason", "moving", "--json").json
    assert answer == {
        "mode": "closed",
        "maintenance_mode": True,
        "why": "switch",
        "since": "2030-01-01T12:00:00+00:00",
        "by": "deploy@web1",
        "reason": "moving",
        "until": "2030-01-01T13:00:00+00:00",
        "late": False,
        "overdue_at": "2030-01-02T12:00:00+00:00",
        "overdue": False,
        "next_change": "2030-01-01T13:00:00+00:00",
        "generation": Maintenance.objects.get().generation,
        "epoch": 1,
        "revision": 1,
        "open_at_end": False,
        "changed": True,
        "already_on": False,
        "amended": [],
        "superseded": None,
    }


def test_commands_speak_english_whatever_the_language_of_the_site(noon: dt.datetime) -> None:
    with translation.override("fr"):
        assert "longer" not in run("on").out
        result = run("on", "--message", "x" * 5_001)
    assert result.err.endswith("Use at most 5000 characters; there are 5001.")


# -- on, where it is on already -------------------------------------------------------------------


def test_on_a_closed_site_changes_nothing_that_is_not_given(noon: dt.datetime) -> None:
    run("on", "--message", "Moving", "--until", "+1h", "--open-at-end", "--reason", "moving")
    before = store.load()
    result = run("on")
    assert result.lines == [
        (
            "It was on already; nothing to change. Maintenance is on since 12:00 UTC (epoch 1). "
            "Visitors see the page until 13:00 UTC, when the site opens by itself."
        )
    ]
    assert store.load() == before


def test_on_a_closed_site_changes_what_is_given_and_names_it(noon: dt.datetime) -> None:
    run("on", "--message", "Moving", "--until", "+1h", "--reason", "moving")
    generation = Maintenance.objects.get().generation
    result = run("on", "--message", "Nearly done", "--until", "+2h", "--reason", "slow lorry")
    assert result.lines[0].startswith("It was on already; changed: message, expected end, reason. ")
    state = services.current_state()
    assert (state.reason, state.since) == ("slow lorry", noon)
    assert state.until == noon + dt.timedelta(hours=2)
    assert Maintenance.objects.get().generation == generation


def test_a_new_end_stays_the_timer_that_the_old_one_was(noon: dt.datetime) -> None:
    run("on", "--until", "+1h", "--open-at-end")
    answer = run("on", "--until", "+2h", "--json").json
    assert answer["open_at_end"] is True
    assert answer["amended"] == ["expected end"]
    assert store.load().policy.switch.open_at_end is True


def test_a_promise_becomes_a_timer_and_a_promise_again(noon: dt.datetime) -> None:
    run("on", "--until", "+1h")
    assert run("on", "--open-at-end", "--json").json["amended"] == ["opening at the end"]
    assert store.load().policy.switch.open_at_end is True
    assert run("on", "--no-open-at-end", "--json").json["amended"] == ["opening at the end"]
    assert store.load().policy.switch.open_at_end is False


def test_logins_that_have_ended_are_not_brought_back_and_on_says_so(noon: dt.datetime) -> None:
    run("on")
    result = run("on", "--keep-logins")
    assert result.lines[1] == "--keep-logins changes nothing about a closure that has begun."


def test_from_read_only_to_closed_is_a_new_closure(noon: dt.datetime) -> None:
    run("on", "--read-only")
    answer = run("on", "--json").json
    assert (answer["already_on"], answer["mode"]) == (False, "closed")


# -- What on refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        ("tomorrow", "'tomorrow' is not a moment."),
        ("2029-12-31T12:00Z", "has passed: it is 2030-01-01T12:00+00:00 now."),
        ("2030-02-01", "is a whole day; add the time."),
        ("+2y", "'2y' is not a length of time."),
        ("2032-01-01T00:00Z", "is more than a year away."),
    ],
)
def test_an_end_that_cannot_be_is_a_usage_error_and_leaves_the_site_open(
    noon: dt.datetime, when: str, sentence: str
) -> None:
    result = run("on", "--until", when)
    assert result.code == 2
    assert result.err.startswith("Not closed: --until: ")
    assert sentence in result.err
    assert "Give a moment such as" in result.err
    assert services.current_state().is_open


def test_opening_at_the_end_needs_an_end(noon: dt.datetime) -> None:
    result = run("on", "--open-at-end")
    assert result.code == 2
    assert result.err == "Not closed: --open-at-end needs an end, such as --until +2h."


def test_an_end_that_has_passed_cannot_become_a_timer(
    noon: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("on", "--until", "+1h")
    monkeypatch.setattr(store, "utc_now", lambda: noon + dt.timedelta(hours=2))
    result = run("on", "--open-at-end")
    assert result.code == 2
    assert "the expected end has passed" in result.err


def test_a_message_that_is_too_long_is_a_usage_error_that_names_the_option(
    noon: dt.datetime,
) -> None:
    result = run("on", "--message", "x" * 5_001)
    assert result.code == 2
    assert result.err.startswith("Not closed: --message: ")
    assert services.current_state().is_open


@pytest.mark.parametrize("text", ["\udcff", "null \x00"])
def test_text_that_cannot_be_stored_is_a_usage_error(text: str) -> None:
    assert run("on", "--message", text).code == 2
    assert run("on", "--reason", text).code == 2
    assert services.current_state().is_open


def test_somebody_who_was_faster_is_named_and_the_exit_code_is_6(
    noon: dt.datetime, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    meanwhile(lambda: services.close_site(origin=OTHER, reason="fire"))
    result = run("on", "--reason", "moving")
    assert result.code == 6
    assert result.err == (
        "Not closed: alice@laptop switched in the meantime. Maintenance is on since 12:00 UTC "
        "(epoch 1). Visitors see the page. Repeat the command if you still want it."
    )
    assert services.current_state().reason == "fire"


def test_without_a_database_nothing_is_closed_and_the_exit_code_is_5() -> None:
    with failing_database():
        result = run("on")
    assert result.code == 5
    assert result.err.startswith("Not known to be closed: the database ")
    assert "Nothing was changed" in result.err
    assert result.err.endswith(
        "Bring the database back and repeat the command, or close this host without it: manage.py "
        "maintenance on --local."
    )


def test_a_database_that_refuses_to_write_is_told_and_the_exit_code_is_5(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object, **kwargs: object) -> bool:
        from django.db import OperationalError

        raise OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(store, "swap_control", refuse)
    result = run("on")
    assert result.code == 5
    assert "answered with an error (attempt to write a readonly database)" in result.err
    assert services.current_state().is_open


@override_settings(BACKSOON={"ANSWR": "redirect"})
def test_settings_that_cannot_be_used_are_told_without_a_traceback() -> None:
    result = run("on")
    assert result.code == 1
    assert "Did you mean 'ANSWER'?" in result.err


@override_settings(USE_TZ=False)
@pytest.mark.parametrize("command", ["on", "off"])
def test_without_time_zones_nothing_is_switched(command: str) -> None:
    result = run(command)
    assert result.code == 1
    assert "USE_TZ is False" in result.err
    assert "Nothing was changed." in result.err


# -- off ------------------------------------------------------------------------------------------


def test_off_opens_the_site_and_says_so_in_one_line(noon: dt.datetime) -> None:
    run("on")
    result = run("off", "--reason", "done")
    assert result.code == 0
    assert result.lines == ["Maintenance is off since 12:00 UTC (epoch 2). The site is open."]
    assert Change.objects.latest("pk").reason == "done"


def test_off_on_an_open_site_changes_nothing_and_says_so(noon: dt.datetime) -> None:
    result = run("off")
    assert result.lines == ["It was off already. Maintenance is off (epoch 0). The site is open."]
    assert not Change.objects.exists()
    assert run("off", "--json").json["changed"] is False


def test_off_answers_in_json(noon: dt.datetime) -> None:
    run("on")
    answer = run("off", "--json").json
    assert answer["mode"] == "open"
    assert answer["maintenance_mode"] is False
    assert answer["changed"] is True
    assert answer["epoch"] == 2


def test_off_names_who_was_faster(
    noon: dt.datetime, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    run("on")
    meanwhile(lambda: services.close_site(origin=OTHER, reason="not yet"))
    result = run("off")
    assert result.code == 6
    assert result.err.startswith("Not opened: alice@laptop switched in the meantime. ")


def test_two_who_open_at_once_both_have_what_they_want(
    noon: dt.datetime, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    run("on")
    meanwhile(lambda: services.open_site(origin=OTHER))
    result = run("off")
    assert (result.code, result.out.startswith("It was off already. ")) == (0, True)


def test_two_who_close_at_once_both_have_what_they_want(
    noon: dt.datetime, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    meanwhile(lambda: services.close_site(origin=OTHER))
    result = run("on")
    assert (result.code, result.out.startswith("It was on already; ")) == (0, True)


def test_off_without_a_database_opens_nothing() -> None:
    with failing_database():
        result = run("off")
    assert result.code == 5
    assert result.err.startswith("Not known to be open: ")


def test_off_ends_a_planned_closure_that_goes_on_and_leaves_those_to_come(
    noon: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = dt.timedelta(hours=1)
    services.schedule(noon, noon + hour)
    services.schedule(noon + 5 * hour, noon + 6 * hour)
    stop_the_clock(monkeypatch, noon + hour / 2)
    assert not services.current_state().is_open
    result = run("off")
    assert result.code == 0
    assert result.lines[0].startswith("Maintenance is off since 12:30 UTC")
    stop_the_clock(monkeypatch, noon + 5.5 * hour)
    assert not services.current_state().is_open


@pytest.mark.parametrize(
    ("given", "expected"),
    [("12h", dt.timedelta(hours=12)), ("1d", dt.timedelta(days=1)), ("0", None)],
)
def test_a_closure_can_be_given_a_longest_time(
    given: str, expected: dt.timedelta | None, noon: dt.datetime
) -> None:
    run("on", "--max-closure", given)
    overdue_at = noon + expected if expected is not None else None
    assert store.load().policy.switch.overdue_at == overdue_at


def test_the_longest_time_of_a_closure_that_has_begun_can_be_changed(noon: dt.datetime) -> None:
    run("on")
    assert "changed: alarm at 14:00 UTC. " in run("on", "--max-closure", "2h").out
    assert "changed: no alarm. " in run("on", "--max-closure", "0").out
    run("on", "--max-closure", "2h")
    assert store.load().policy.switch.overdue_at == noon + dt.timedelta(hours=2)


@pytest.mark.parametrize("given", ["", "soon", "12", "-2h", "2000d", "999999999d"])
def test_a_longest_time_that_cannot_be_is_a_usage_error_and_closes_nothing(given: str) -> None:
    result = run("on", f"--max-closure={given}")
    assert result.code == 2
    assert "--max-closure" in result.err
    assert services.current_state().is_open
