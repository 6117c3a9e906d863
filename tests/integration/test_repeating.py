"""Closures that come again: what is planned at once, what follows, and what one of them may do."""

from __future__ import annotations

import datetime as dt
import logging
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings
from django.utils import translation

from backsoon import recurrence, repeating, services, store
from backsoon.core.vocabulary import Window, Words
from backsoon.exceptions import InvalidSettingError, NoSuchWindowError
from backsoon.models import Change, Maintenance, Series
from backsoon.models import Window as Row
from backsoon.services import cancel, continue_series, end_series, reschedule, schedule
from tests.integration.commands import NOON, run, stop_the_clock

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
PARIS = ZoneInfo("Europe/Paris")
WEEKLY = "FREQ=WEEKLY"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> dt.datetime:
    """It is noon of the first day of 2030, a Tuesday."""
    return stop_the_clock(monkeypatch)


def weekly(**options: object) -> tuple[Window, ...]:
    """Plan one at each Tuesday, 13:00 to 14:00."""
    return schedule(NOON + HOUR, NOON + 2 * HOUR, repeat=WEEKLY, **options).windows  # type: ignore[arg-type]


def test_the_closures_of_the_next_two_months_and_one_more_are_planned_at_once() -> None:
    windows = weekly(words={"": Words("Cleaning")}, notice=HOUR, reason="weekly")
    assert [window.starts_at for window in windows] == [
        NOON + HOUR + n * 7 * DAY for n in range(10)
    ]
    assert {window.ends_at - window.starts_at for window in windows if window.ends_at} == {HOUR}
    assert {(w.told("fr").title, w.notice, w.reason) for w in windows} == {
        ("Cleaning", HOUR, "weekly")
    }
    assert len({window.uid for window in windows}) == 10
    (series,) = Series.objects.all()
    assert {window.series for window in windows} == {series.uid}
    assert (series.rule, series.length, series.made_until) == (WEEKLY, HOUR, NOON + 60 * DAY)


def test_the_history_tells_of_a_series_in_one_row() -> None:
    weekly()
    change = Change.objects.get()
    assert change.action == Change.Action.PLANNED
    assert change.after["repeats"] == WEEKLY
    assert change.after["windows"] == "10"
    assert change.after["starts_at"] == "2030-01-01T13:00:00+00:00"


def test_a_rule_that_ends_is_planned_to_its_end() -> None:
    windows = schedule(NOON + HOUR, NOON + 2 * HOUR, repeat="FREQ=WEEKLY;COUNT=3").windows
    assert len(windows) == 3
    assert Series.objects.get().made_until is None


def test_more_are_planned_when_few_are_left_and_none_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = weekly()
    cancel(windows[9].uid)
    assert continue_series() is None
    stop_the_clock(monkeypatch, NOON + 31 * DAY)
    outcome = continue_series()
    assert outcome is not None
    assert [window.starts_at for window in outcome.windows] == [
        NOON + HOUR + n * 7 * DAY for n in range(10, 14)
    ]
    assert continue_series() is None
    assert Row.objects.count() == 14
    change = Change.objects.first()
    assert change is not None
    assert (change.channel, change.action) == (Change.Channel.SCHEDULE, Change.Action.PLANNED)


def test_nothing_is_added_while_the_site_is_closed_for_somebody_may_wait_for_its_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weekly()
    stop_the_clock(monkeypatch, NOON + 31 * DAY)
    services.close_site()
    assert continue_series() is None
    services.open_site()
    assert continue_series() is not None


def test_of_many_series_a_few_go_on_at_a_time_and_none_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for hour in range(1, 13, 2):
        schedule(NOON + hour * HOUR, NOON + (hour + 1) * HOUR, repeat=WEEKLY)
    Series.objects.filter(first_start=NOON + HOUR).update(rule="nonsense")
    stop_the_clock(monkeypatch, NOON + 31 * DAY)
    monkeypatch.setattr(repeating, "AT_ONCE", 3)
    assert continue_series() is not None
    going_on = Series.objects.filter(made_until=NOON + 91 * DAY)
    assert going_on.count() == 3
    assert continue_series() is not None
    assert going_on.count() == 5


def test_one_can_be_moved_or_cancelled_alone_and_does_not_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _first, second, third, *_rest = weekly()
    reschedule(second.uid, starts_at=second.starts_at + HOUR, ends_at=second.starts_at + 2 * HOUR)
    cancel(third.uid)
    stop_the_clock(monkeypatch, NOON + 31 * DAY)
    continue_series()
    row = Row.objects.get(uid=second.uid)
    assert (row.starts_at, row.occurrence) == (second.starts_at + HOUR, second.starts_at)
    assert (row.sequence, Row.objects.get(uid=third.uid).sequence) == (1, 1)
    assert Row.objects.filter(occurrence=third.starts_at).count() == 1


def test_ending_a_series_takes_back_all_to_come_and_leaves_the_one_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, *others = weekly()
    stop_the_clock(monkeypatch, NOON + HOUR + HOUR / 2)
    end_series(first.series)
    assert Row.objects.get(uid=first.uid).cancelled_at is None
    assert Row.objects.exclude(cancelled_at=None).count() == len(others)
    with pytest.raises(NoSuchWindowError):
        end_series(first.series)
    stop_the_clock(monkeypatch, NOON + 40 * DAY)
    assert continue_series() is None


def test_the_time_of_day_is_that_of_the_zone_whatever_its_clocks_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop_the_clock(monkeypatch, dt.datetime(2030, 3, 20, tzinfo=dt.UTC))
    start = dt.datetime(2030, 3, 24, 4, tzinfo=PARIS)
    windows = schedule(start, start + HOUR, repeat=WEEKLY, zone="Europe/Paris").windows
    local = {window.starts_at.astimezone(PARIS).hour for window in windows}
    assert (local, len({window.starts_at.hour for window in windows})) == ({4}, 2)


@pytest.mark.parametrize(
    ("repeat", "zone", "field", "sentence"),
    [
        ("every now and then", "UTC", "repeat", "is no part of a rule"),
        ("FREQ=SECONDLY;COUNT=1000000000", "UTC", "repeat", "once a day at most"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "UTC", "repeat", "there is no closure in the year"),
        ("FREQ=WEEKLY;BYDAY=SU", "UTC", "repeat", "would be on Jan. 6, 2030"),
        (WEEKLY, "Mars/Olympus", "zone", "There is no time zone “Mars/Olympus”"),
        (WEEKLY, "../../etc/passwd", "zone", "There is no time zone"),
        (WEEKLY, "", "", ""),
    ],
)
def test_what_cannot_be_repeated_is_refused_at_its_field(
    repeat: str, zone: str, field: str, sentence: str
) -> None:
    if not field:
        assert schedule(NOON + HOUR, NOON + 2 * HOUR, repeat=repeat, zone=zone).changed
        return
    with pytest.raises(InvalidSettingError) as caught:
        schedule(NOON + HOUR, NOON + 2 * HOUR, repeat=repeat, zone=zone)
    assert sentence in " ".join(caught.value.errors[field])
    assert not Row.objects.exists()
    assert not Series.objects.exists()


@pytest.mark.parametrize("length", [DAY, 2 * DAY])
def test_a_series_that_would_never_let_the_site_open_is_refused(length: dt.timedelta) -> None:
    with pytest.raises(InvalidSettingError, match="would not open again"):
        schedule(NOON + HOUR, NOON + HOUR + length, repeat="FREQ=DAILY")


def test_a_closure_until_somebody_opens_cannot_come_again() -> None:
    with pytest.raises(InvalidSettingError, match="needs an end"):
        schedule(NOON + HOUR, repeat=WEEKLY)


def test_a_series_that_somebody_broke_by_hand_stops_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    weekly()
    Series.objects.update(rule="FREQ=NEVER")
    weekly()
    stop_the_clock(monkeypatch, NOON + 31 * DAY)
    with caplog.at_level(logging.WARNING, "backsoon"):
        outcome = continue_series()
    assert outcome is not None
    assert len(outcome.windows) == 4
    assert "cannot go on" in caplog.text


def test_a_database_that_went_back_gets_its_closures_again_and_makes_none_of_them_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    windows = weekly()
    Series.objects.update(made_until=NOON + 10 * DAY)
    known = store.load()
    Row.objects.filter(uid__in=[window.uid for window in windows[2:]]).delete()
    Maintenance.objects.update(epoch=0, revision=0)
    assert services.reassert(known) is not None
    continue_series()
    assert [window.uid for window in store.load().windows] == [window.uid for window in windows]


# -- In words ----------------------------------------------------------------------------------

SUNDAY = dt.datetime(2030, 1, 6, 2, tzinfo=PARIS)


@pytest.mark.parametrize(
    ("rule", "english", "french"),
    [
        ("FREQ=DAILY", "every day", "tous les jours"),
        ("FREQ=DAILY;INTERVAL=3", "every 3 days", "tous les 3 jours"),
        ("FREQ=WEEKLY", "every week on Sunday", "toutes les semaines, le dimanche"),
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=TH,MO",
            "every 2 weeks on Monday, Thursday",
            "toutes les 2 semaines, le lundi, jeudi",
        ),
        (
            "FREQ=MONTHLY;BYDAY=2SU",
            "every month on the second Sunday",
            "tous les mois, le deuxième dimanche",
        ),
        ("FREQ=MONTHLY", "every month on day 6", "tous les mois, le 6"),
        (
            "FREQ=MONTHLY;BYMONTHDAY=-1",
            "every month on the last day",
            "tous les mois, le dernier jour",
        ),
        ("FREQ=YEARLY", "every year on 6 January", "tous les ans, le 6 janvier"),
        (
            "FREQ=WEEKLY;COUNT=5",
            "every week on Sunday, 5 times",
            "toutes les semaines, le dimanche, 5 fois",
        ),
        (
            "FREQ=WEEKLY;UNTIL=20300301",
            "every week on Sunday, until March 1, 2030",
            "toutes les semaines, le dimanche, jusqu’au 1 mars 2030",
        ),
        (
            "freq=yearly;bymonth=1,7;byday=1su",
            "by the rule FREQ=YEARLY;BYDAY=1SU;BYMONTH=1,7",
            "selon la règle FREQ=YEARLY;BYDAY=1SU;BYMONTH=1,7",
        ),
    ],
)  # fmt: skip
def test_rules_are_told_in_words(rule: str, english: str, french: str) -> None:
    assert recurrence.described(recurrence.rule_of(rule), SUNDAY) == english
    with translation.override("fr"):
        assert recurrence.described(recurrence.rule_of(rule), SUNDAY) == french


@pytest.mark.parametrize(
    ("name", "day", "rule"),
    [
        ("daily", 6, "FREQ=DAILY"),
        ("weekly", 6, "FREQ=WEEKLY;BYDAY=SU"),
        ("biweekly", 7, "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO"),
        ("monthly", 13, "FREQ=MONTHLY;BYDAY=2SU"),
        ("monthly", 31, "FREQ=MONTHLY;BYDAY=-1TH"),
    ],
)
def test_names_stand_for_rules_of_the_day_of_the_first_start(
    name: str, day: int, rule: str
) -> None:
    start = dt.datetime(2030, 1, day, 2, tzinfo=PARIS)
    assert recurrence.preset(name, start) == rule
    found = recurrence.occurrences(recurrence.rule_of(rule), start, HOUR, PARIS, 1)
    assert found == [(start, start + HOUR)]


# -- On the command line -----------------------------------------------------------------------


@override_settings(TIME_ZONE="Europe/Paris")
def test_the_command_plans_a_series_says_the_first_and_how_it_goes_on() -> None:
    result = run("schedule", "2030-01-06T02:00", "2030-01-06T04:00", "--repeat", "monthly")
    assert result.code == 0
    assert [line[:9] for line in result.lines[:3]] == ["Planned #"] * 3
    assert result.lines[-1] == (
        "It repeats every month on the first Sunday, by the clocks of Europe/Paris."
    )


def test_times_without_an_offset_are_read_by_the_clocks_of_the_zone_that_is_given() -> None:
    arguments = ("2030-01-06T02:00", "2030-01-06T04:00", "--zone", "Asia/Kolkata")
    result = run("schedule", *arguments, "--repeat", "weekly", "--notice", "3d", "--json")
    windows = result.json["windows"]
    assert windows[0]["starts_at"] == "2030-01-05T20:30:00+00:00"
    assert (windows[0]["notice"], windows[0]["sequence"]) == (3 * 86400.0, 0)
    assert len({window["series"] for window in windows}) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--repeat", "FREQ=SECONDLY"), "--repeat: “FREQ=SECONDLY”: a closure comes once a day"),
        (("--repeat", "weekly", "--zone", "Nowhere"), "--zone: There is no time zone “Nowhere”"),
        (("--notice", "soon"), "'soon' is not a length of time"),
    ],
)
def test_what_cannot_be_is_refused_with_2(arguments: tuple[str, ...], sentence: str) -> None:
    result = run("schedule", "+1h", "+2h", *arguments)
    assert result.code == 2
    assert sentence in result.err
    assert not Row.objects.exists()


def test_a_series_is_cancelled_by_any_of_its_numbers() -> None:
    first, *_others = weekly()
    result = run("cancel", f"#{first.number}", "--series")
    assert result.code == 0
    assert result.lines[0].startswith(f"The series has ended. Cancelled: #{first.number}")
    assert "No closure is planned" in run("list").out


def test_one_that_belongs_to_no_series_is_not_cancelled_as_one() -> None:
    (window,) = schedule(NOON + HOUR, NOON + 2 * HOUR).windows
    result = run("cancel", str(window.number), "--series")
    assert result.code == 2
    assert "belongs to no series" in result.err


def test_the_list_says_which_ones_repeat() -> None:
    weekly()
    assert "closed, repeats" in run("list").out
