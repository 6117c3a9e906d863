"""`maintenance schedule`, `list`, `extend`, `move` and `cancel`: words, data and exit codes."""

from __future__ import annotations

import datetime as dt

import pytest
from django.test import override_settings

from backsoon import services, store
from backsoon.core.vocabulary import Mode, Words
from backsoon.models import Change
from tests.integration.commands import NOON, run, stop_the_clock

HOUR = dt.timedelta(hours=1)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> dt.datetime:
    return stop_the_clock(monkeypatch)


@override_settings(TIME_ZONE="Europe/Paris")
def test_a_closure_is_planned_in_the_zone_of_the_settings_and_told_with_utc_beside_it() -> None:
    result = run("schedule", "2030-01-02T02:00", "2030-01-02T04:30", "--title", "Move")
    assert result.code == 0
    (window,) = store.load().windows
    assert window.starts_at == dt.datetime(2030, 1, 2, 1, tzinfo=dt.UTC)
    assert result.lines == [
        (
            f"Planned #{window.number}: closed from 2030-01-02 02:00 CET to 04:30 CET "
            "(2030-01-02 01:00 UTC to 03:30 UTC), 2 hours 30 minutes; in 13 hours."
        )
    ]


def test_lengths_count_from_now_and_everything_said_is_stored() -> None:
    result = run(
        *("schedule", "+5s", "+30m", "--read-only", "--keep-logins", "--message", "Look only"),
        *("--reason", "release 42", "--json"),
    )
    (window,) = store.load().windows
    assert (window.starts_at, window.ends_at) == (
        NOON + dt.timedelta(seconds=5),
        NOON + dt.timedelta(minutes=30),
    )
    assert (window.mode, window.keep_logins, window.reason) == (Mode.READ_ONLY, True, "release 42")
    assert window.told("fr") == Words("", "Look only")
    (told,) = result.json["windows"]
    assert (told["id"], told["uid"], told["state"]) == (window.number, window.uid, "planned")
    assert told["ends_at"] == "2030-01-01T12:30:00+00:00"
    change = Change.objects.get()
    assert (change.channel, change.action) == ("command", "planned")


def test_now_and_until_somebody_opens() -> None:
    result = run("schedule", "now", "--until-opened")
    assert "closed from 12:00 UTC until somebody opens" in result.out
    status = run("status")
    assert status.lines[0].startswith("Planned maintenance is on since 12:00 UTC")
    assert any(line.startswith("  planned: #") for line in status.lines)


def test_that_it_joins_another_closure_is_told_with_the_end_that_visitors_meet() -> None:
    run("schedule", "+1h", "+2h")
    result = run("schedule", "+2h", "+5h")
    assert "It touches #" in result.lines[1]
    assert result.lines[1].endswith("one closure, from 13:00 UTC to 17:00 UTC.")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("+2h", "+1h"), "END: The end has to come after the start."),
        (("2029-12-31T12:00", "+1h"), "2029-12-31T12:00 has passed"),
        (("+400d", "+401d"), "more than a year away"),
        (("+1h",), "give an END, or --until-opened, and not both"),
        (("+1h", "+2h", "--until-opened"), "give an END, or --until-opened, and not both"),
        (("soon", "+2h"), "'soon' is not a moment"),
        (("2030-03-31T02:30", "+90d"), "does not exist in Europe/Paris"),
        (("2030-10-27T02:30", "+364d"), "happens twice in Europe/Paris"),
        (("+1h", "+2h", "--title", "x" * 201), "--title: Use at most 200 characters"),
    ],
)
@override_settings(TIME_ZONE="Europe/Paris")
def test_what_cannot_be_is_refused_in_words_and_with_2(
    arguments: tuple[str, ...], sentence: str
) -> None:
    result = run("schedule", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Not planned: ")
    assert sentence in result.err
    assert not store.load().windows


def test_an_extension_counts_from_the_planned_end() -> None:
    (window,) = services.schedule(NOON + HOUR, NOON + 2 * HOUR).windows
    result = run("extend", f"#{window.number}", "+30m")
    assert result.lines == [
        (
            f"Extended #{window.number}: closed from 13:00 UTC to 14:30 UTC, 1 hour 30 minutes; "
            "in 1 hour."
        )
    ]
    earlier = run("extend", str(window.number), "2030-01-01T14:00")
    assert earlier.code == 2
    assert "lasts until 14:30 UTC already" in earlier.err


def test_what_has_no_end_cannot_be_extended_and_the_way_is_told() -> None:
    (window,) = services.schedule(NOON + HOUR).windows
    result = run("extend", str(window.number), "+30m")
    assert result.code == 2
    assert f"manage.py maintenance move {window.number} --end WHEN" in result.err


def test_a_plan_is_moved_and_begun_early() -> None:
    (window,) = services.schedule(NOON + HOUR, NOON + 2 * HOUR).windows
    number = str(window.number)
    assert (
        "from 15:00 UTC to 16:00 UTC" in run("move", number, "--start", "+3h", "--end", "+4h").out
    )
    begun = run("move", number, "--start", "now", "--title", "Now")
    assert "from 12:00 UTC to 16:00 UTC, 4 hours; 4 hours left" in begun.out
    assert not services.current_state().is_open
    assert run("move", number, "--title", "Now").lines[0].startswith("Nothing to change. #")
    assert run("move", number).code == 2


def test_a_plan_is_cancelled_and_one_that_has_begun_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    (to_come,) = services.schedule(NOON + HOUR, NOON + 2 * HOUR).windows
    (running,) = services.schedule(NOON, NOON + HOUR / 2).windows
    stop_the_clock(monkeypatch, NOON + HOUR / 4)
    first = run("cancel", str(to_come.number))
    assert first.lines[0].startswith(f"Cancelled #{to_come.number}: closed from 13:00 UTC")
    assert first.lines[1].startswith("Planned maintenance is on")
    second = run("cancel", str(running.number), "--json")
    assert (second.json["ended"], second.json["mode"]) == (True, "open")
    again = run("cancel", str(to_come.number))
    assert (again.code, "was cancelled" in again.err) == (2, True)
    assert "is over" in run("cancel", str(running.number)).err
    assert "no planned closure #999" in run("cancel", "999").err


def test_the_list_has_the_next_one_first_and_with_all_what_is_over() -> None:
    assert run("list").lines == ["No closure is planned. Plan one: manage.py maintenance schedule"]
    services.schedule(NOON + 5 * HOUR, NOON + 6 * HOUR, reason="backup")
    (second,) = services.schedule(NOON + HOUR, NOON + 2 * HOUR, words={"": Words("Move")}).windows
    (third,) = services.schedule(NOON + 8 * HOUR, NOON + 9 * HOUR).windows
    services.cancel(third.uid)
    lines = run("list").lines
    assert [line.split()[1] for line in lines[1:]] == ["planned", "planned"]
    assert (lines[1].split()[0], lines[1].endswith("Move")) == (f"#{second.number}", True)
    assert lines[2].endswith("backup")
    states = [window["state"] for window in run("list", "--all", "--json").json["windows"]]
    assert states == ["cancelled", "planned", "planned"]


def test_what_a_plan_does_can_be_changed_until_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    number = run("schedule", "+1h", "+2h", "--notice", "3h", "--json").json["windows"][0]["id"]
    changes = ("--read-only", "--keep-logins", "--usual-notice")
    (window,) = run("move", str(number), *changes, "--json").json["windows"]
    assert (window["mode"], window["keep_logins"], window["notice"]) == ("read_only", True, None)
    assert run("move", str(number), "--closed", "--end-logins").code == 0
    stop_the_clock(monkeypatch, NOON + HOUR)
    result = run("move", str(number), "--read-only")
    assert result.code == 2
    assert "--read-only, --closed: It has begun already" in result.err
