"""``manage.py maintenance status``."""

from __future__ import annotations

import datetime as dt

import pytest
from django.test import override_settings

from backsoon import services
from backsoon.core.vocabulary import Mode
from backsoon.models import Change, Maintenance, SystemSetting
from tests.integration.commands import failing_database, run, stop_the_clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> dt.datetime:
    return stop_the_clock(monkeypatch)


DEPLOY = services.Origin(name="deploy@web1", channel=Change.Channel.COMMAND)


def close(noon: dt.datetime, *, hours: float | None = None, **options: object) -> None:
    until = None if hours is None else noon + dt.timedelta(hours=hours)
    services.close_site(origin=DEPLOY, until=until, **options)  # type: ignore[arg-type]


def test_a_site_that_nobody_ever_closed_is_open(noon: dt.datetime) -> None:
    result = run("status")
    assert result.code == 0
    assert result.lines[0] == "Maintenance is off (epoch 0). The site is open."


def test_the_first_line_says_since_when_the_site_is_closed(noon: dt.datetime) -> None:
    close(noon)
    assert run("status").lines[0] == (
        "Maintenance is on since 12:00 UTC (epoch 1). Visitors see the page."
    )


def test_the_first_line_says_since_when_the_site_is_open_again(noon: dt.datetime) -> None:
    close(noon)
    services.open_site()
    assert (
        run("status").lines[0] == "Maintenance is off since 12:00 UTC (epoch 2). The site is open."
    )


def test_read_only_is_told_apart_from_closed(noon: dt.datetime) -> None:
    close(noon, mode=Mode.READ_ONLY)
    assert run("status").lines[0] == (
        "Maintenance is on, read-only, since 12:00 UTC (epoch 1). Visitors can look at the site "
        "but change nothing."
    )


def test_moments_of_another_day_come_with_their_date(
    noon: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(noon)
    monkeypatch.setattr("backsoon.store.utc_now", lambda: noon + dt.timedelta(days=1))
    assert "since 2030-01-01 12:00 UTC" in run("status").lines[0]


@override_settings(TIME_ZONE="Europe/Paris")
def test_moments_are_shown_in_the_time_zone_of_the_settings(noon: dt.datetime) -> None:
    close(noon)
    assert "since 13:00 CET" in run("status").lines[0]


def test_the_details_say_who_why_and_until_when(noon: dt.datetime) -> None:
    close(noon, hours=1.5, reason="moving house")
    details = [line.strip() for line in run("status").lines]
    assert "by: deploy@web1" in details
    assert "reason: moving house" in details
    assert "expected end: 13:30 UTC, in 1 hour 30 minutes; a promise, no timer" in details
    assert "logins: those of ordinary users have ended" in details
    assert (
        "alarm: 2030-01-02 12:00 UTC, in 1 day, if it is not open by then; the site stays closed"
        in details
    )


def test_an_end_that_is_only_a_promise_changes_nothing_by_itself(noon: dt.datetime) -> None:
    close(noon, hours=1)
    assert "next change" not in run("status").out


def test_an_end_that_is_a_timer_is_the_next_change(noon: dt.datetime) -> None:
    close(noon, hours=1, open_at_end=True)
    assert "  next change: 13:00 UTC" in run("status").lines


def test_logins_that_were_kept_are_told_as_such(noon: dt.datetime) -> None:
    close(noon, keep_logins=True)
    assert "  logins: those of ordinary users were kept" in run("status").lines


@override_settings(BACKSOON={"MAX_CLOSURE": 3_600, "OPEN_WHEN_OVERDUE": True})
def test_a_closure_that_opens_when_it_has_lasted_too_long_says_so(noon: dt.datetime) -> None:
    close(noon)
    assert "in 1 hour, if it is not open by then; the site opens then" in run("status").out
    assert "  next change: 13:00 UTC" in run("status").lines


@override_settings(BACKSOON={"MAX_CLOSURE": 3_600})
def test_a_closure_that_has_lasted_too_long_is_told(
    noon: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(noon)
    monkeypatch.setattr("backsoon.store.utc_now", lambda: noon + dt.timedelta(hours=2))
    assert "the closure has lasted too long since 13:00 UTC" in run("status").out


def test_an_end_that_is_a_timer_is_told_as_one(noon: dt.datetime) -> None:
    close(noon, hours=1, open_at_end=True)
    result = run("status")
    assert result.lines[0].endswith("until 13:00 UTC, when the site opens by itself.")
    assert "in 1 hour; then the site opens by itself" in result.out


def test_an_end_that_has_passed_is_told_as_late(
    noon: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(noon, hours=1)
    monkeypatch.setattr("backsoon.store.utc_now", lambda: noon + dt.timedelta(hours=1, minutes=20))
    result = run("status")
    assert result.lines[0].endswith("the expected end, 13:00 UTC, has passed.")
    assert "20 minutes ago; open it by hand when done" in result.out
    assert run("status", "--json").json["late"] is True


def test_json_has_the_whole_state(noon: dt.datetime) -> None:
    services.init_defaults()
    close(noon, hours=1, reason="moving house", open_at_end=True)
    generation = Maintenance.objects.get().generation
    assert run("status", "--json").json == {
        "mode": "closed",
        "maintenance_mode": True,
        "why": "switch",
        "since": "2030-01-01T12:00:00+00:00",
        "by": "deploy@web1",
        "reason": "moving house",
        "until": "2030-01-01T13:00:00+00:00",
        "late": False,
        "overdue_at": None,
        "overdue": False,
        "next_change": "2030-01-01T13:00:00+00:00",
        "generation": generation,
        "epoch": 1,
        "revision": Maintenance.objects.get().revision,
        "open_at_end": True,
        "changed_outside": False,
        "broken": [],
        "missing": [],
        "read_from": "database",
        "brake": None,
        "quiet": True,
        "workers": [],
        "run": None,
        "windows": [],
    }


@pytest.mark.parametrize(
    ("mode", "code"), [(Mode.OPEN, 0), (Mode.CLOSED, 10), (Mode.READ_ONLY, 11)]
)
def test_the_exit_code_tells_the_mode_when_asked_to(
    noon: dt.datetime, mode: Mode, code: int
) -> None:
    if mode is not Mode.OPEN:
        close(noon, mode=mode)
    assert run("status", "--exit-code").code == code
    result = run("status", "--exit-code", "--json")
    assert (result.code, result.json["mode"]) == (code, mode.value)


def test_the_exit_code_is_0_for_a_closed_site_when_nobody_asks(noon: dt.datetime) -> None:
    close(noon)
    assert run("status").code == 0


def test_missing_rows_are_named_and_how_to_make_them(noon: dt.datetime) -> None:
    result = run("status")
    assert "No row yet for maintenance_mode, maintenance_title" in result.out
    assert "manage.py init_default_settings" in result.out
    assert "maintenance_mode" in run("status", "--json").json["missing"]


def test_broken_values_are_named(noon: dt.datetime) -> None:
    services.init_defaults()
    SystemSetting.objects.filter(key="maintenance_url").update(value="javascript:alert(1)")
    assert "maintenance_url holds 'javascript:alert(1)'" in run("status").out
    (broken,) = run("status", "--json").json["broken"]
    assert broken["key"] == "maintenance_url"
    assert broken["value"] == "javascript:alert(1)"
    assert "http" in broken["message"]


def test_a_switch_set_by_other_hands_is_told(noon: dt.datetime) -> None:
    services.init_defaults()
    SystemSetting.objects.filter(key="maintenance_mode").update(value="true")
    result = run("status", "--json", "--exit-code")
    assert result.code == 10
    assert result.json["changed_outside"] is True
    assert "set in the table by other hands" in run("status").out


def test_without_a_database_the_state_is_not_known_and_the_exit_code_is_5() -> None:
    with failing_database():
        result = run("status", "--exit-code")
    assert result.code == 5
    assert result.err.startswith("The state is not known: the database ")
    assert "answered with an error (the disk is full)" in result.err
    assert "keeps the state that it read last" in result.err
    assert result.out == ""


def test_control_characters_of_a_reason_do_not_reach_the_terminal(noon: dt.datetime) -> None:
    close(noon, reason="\x1b[2Jgone")
    assert "\x1b" not in run("status").out
    assert "reason: \\x1b[2Jgone" in run("status").out
