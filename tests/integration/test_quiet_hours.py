"""Quiet hours as operators meet them: the command and the page in the admin."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client, override_settings
from django.utils import timezone, translation

from backsoon.admin.traffic import heat_map
from backsoon.exceptions import StoreUnavailableError
from backsoon.models import Traffic
from backsoon.traffic import hour_of
from tests.integration.commands import failing_database, run, stop_the_clock

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

PAGE = "/admin/settings/quiet-hours/"
HOUR, WEEK = dt.timedelta(hours=1), dt.timedelta(weeks=1)
ALL = (1 << 60) - 1


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> dt.datetime:
    """Noon of a Tuesday."""
    return stop_the_clock(monkeypatch)


def count(now: dt.datetime, weeks: float, usual: Callable[[dt.datetime], int]) -> None:
    """So much as if it had been counted for *weeks* until *now*, all the time."""
    hours = [now - number * HOUR for number in range(1, round(weeks * 7 * 24) + 1)]
    Traffic.objects.bulk_create(
        Traffic(hour=hour_of(hour), requests=usual(hour), minutes=ALL) for hour in hours
    )


def quiet_on_sunday_at_three(hour: dt.datetime) -> int:
    return 6 if hour.weekday() == 6 and hour.hour in (3, 4) else 100


# -- The command -------------------------------------------------------------------------------


def test_the_quietest_stretch_is_listed_first_and_when_it_comes_next(now: dt.datetime) -> None:
    count(now, 4, quiet_on_sunday_at_three)
    lines = run("quiet", "--length", "2h").lines
    assert lines[0] == "The quietest 2 hours of an average week (UTC):"
    sunday = now.date() + dt.timedelta(days=6 - now.weekday())
    assert lines[1].startswith(
        f"  Sunday 03:00 to 05:00: about 12 requests; next at {sunday:%Y-%m-%d} 03:00 UTC, in "
    )
    (row,) = [line for line in lines if line.startswith("Sun ")]
    assert row == "Sun  5 5 5 2 2 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5   2,200"
    assert all(line.isascii() for line in lines)


def test_in_another_zone_it_is_another_hour(now: dt.datetime) -> None:
    count(now, 4, quiet_on_sunday_at_three)
    with timezone.override("Asia/Kolkata"):
        lines = run("quiet", "--length", "2h").lines
    assert lines[1].startswith("  Sunday 08:30 to 10:30: about 12 requests; ")


def test_too_little_is_said_to_be_too_little(now: dt.datetime) -> None:
    (line,) = run("quiet").lines
    assert line.startswith(
        "Nothing was counted yet. Quiet hours can be told when the site has been"
    )
    count(now, 0.5, lambda hour: 9)
    result = run("quiet")
    assert result.code == 0
    assert result.lines[0].startswith("Not enough was counted yet to tell quiet hours: counting")
    assert run("quiet", "--json").json["quietest"] == []
    assert run("quiet", "--json").json["sureness"] == "none"


def test_after_less_than_three_weeks_the_figures_are_called_rough(now: dt.datetime) -> None:
    count(now, 1.5, lambda hour: 9)
    assert "a rough figure" in run("quiet").lines[0]


def test_programs_get_all_of_it(now: dt.datetime) -> None:
    count(now, 4, quiet_on_sunday_at_three)
    answer = run("quiet", "--length", "90m", "--json").json
    first = answer["quietest"][0]
    assert (answer["length"], answer["zone"], answer["sureness"]) == (5400, "UTC", "good")
    assert (first["weekday"], first["requests"]) == (6, 9.0)
    start, end = (dt.datetime.fromisoformat(first[name]) for name in ("starts_at", "ends_at"))
    assert (start.weekday(), start.hour, end - start) == (6, 3, 1.5 * HOUR)
    assert len(answer["hours"]) == 168
    assert answer["hours"][6 * 24 + 3] == {
        "weekday": 6, "hour": 3, "requests": 6.0, "observed": 4.0,
    }  # fmt: skip


@pytest.mark.parametrize("length", ["0", "8d", "soon", ""])
def test_a_length_that_is_none_is_a_usage_error(length: str) -> None:
    result = run("quiet", "--length", length)
    assert result.code == 2
    assert "--length" in result.err


def test_a_database_that_is_away_is_told() -> None:
    with failing_database():
        result = run("quiet")
    assert result.code == 5
    assert result.err.startswith("The quiet hours are not known: the database")


@override_settings(BACKSOON={"COUNT_TRAFFIC": False})
def test_that_nothing_is_counted_any_more_is_told() -> None:
    assert "COUNT_TRAFFIC" in run("quiet").lines[0]


# -- The page ----------------------------------------------------------------------------------


@pytest.fixture
def boss(client: Client, root: User) -> Client:
    client.force_login(root)
    return client


def test_the_page_shows_each_hour_and_the_quietest(boss: Client) -> None:
    now = timezone.now()
    count(now, 4, quiet_on_sunday_at_three)
    response = boss.get(PAGE, {"length": "120"})
    text = response.content.decode()
    assert response.status_code == 200
    assert text.count("<td data-level=") == 168
    assert text.count("among the quietest") == 6 + 1  # two hours on each of three days; the legend
    choice = response.context["heat"]["suggestions"][0]
    assert choice.words.startswith("Sunday 3 a.m. to 5 a.m. UTC, next on ")
    assert choice.cost == "about 12 requests"
    assert "style=" not in text
    assert "onclick" not in text


def test_a_chosen_time_is_marked_and_its_cost_told(boss: Client) -> None:
    now = timezone.now()
    count(now, 4, quiet_on_sunday_at_three)
    sunday = now + dt.timedelta(days=6 - now.weekday())
    text = boss.get(PAGE, {"length": "120", "start": f"{sunday:%Y-%m-%d}T04:00"}).content.decode()
    assert "On an average Sunday, about 110 requests would be turned away in that time." in text
    assert text.count(" data-chosen>") == 2
    assert text.count("chosen</span>") == 2


@pytest.mark.parametrize(
    "start", ["9999-12-31T23:59", "0001-01-01T00:00", "soon", "2026-13-01T00:00"]
)
def test_a_start_that_is_none_is_told_at_the_field(boss: Client, start: str) -> None:
    response = boss.get(PAGE, {"length": "60", "start": start})
    assert response.status_code == 200
    assert response.context["form"].errors["start"]
    assert boss.get(PAGE, {"length": "17"}).context["form"].errors["length"]


def test_too_little_is_said_on_the_page_as_well(boss: Client) -> None:
    assert "Nothing was counted yet." in boss.get(PAGE).content.decode()
    count(timezone.now(), 0.5, lambda hour: 9)
    text = boss.get(PAGE).content.decode()
    assert "Not enough was counted yet" in text
    assert "not known" in text
    assert "Quietest times" not in text


def test_a_closure_of_which_part_is_unknown_says_so(now: dt.datetime) -> None:
    count(now, 4, lambda hour: 60)
    closed = [hour for hour in range(24) if hour == 4]
    for row in Traffic.objects.all():
        if row.hour % 24 in closed:
            row.delete()
    start = (now + dt.timedelta(days=1)).replace(hour=3, minute=0, second=0, microsecond=0)
    told = heat_map(2 * HOUR, (start, start + 2 * HOUR))["chosen"]
    assert "about 60 requests" in told
    assert "Of 1 hour of it nothing is known" in told
    told = heat_map(HOUR, (start + HOUR, start + 2 * HOUR))["chosen"]
    assert told.startswith("Nothing is known of that time")


def test_a_database_that_is_away_leaves_the_page_whole(boss: Client) -> None:
    with mock.patch("backsoon.traffic._rows", side_effect=StoreUnavailableError("away")):
        response = boss.get(PAGE)
    assert response.status_code == 503
    assert "The database did not answer" in response.content.decode()


@pytest.mark.parametrize(("who", "code"), [("bob", 302), ("support", 302), ("root", 200)])
def test_only_administrators_of_the_admin_see_it(
    client: Client, request: pytest.FixtureRequest, who: str, code: int
) -> None:
    client.force_login(request.getfixturevalue(who))
    assert client.get(PAGE).status_code == code


def test_staff_without_the_permission_does_not_see_it(client: Client, bob: User) -> None:
    bob.is_staff = True
    bob.save()
    client.force_login(bob)
    assert client.get(PAGE).status_code == 403


@pytest.mark.parametrize(
    ("requests", "short"),
    [(0, "0"), (7, "7"), (999, "1.0k"), (1234, "1.2k"), (45_678, "46k"), (2_345_678, "2.3M")],
)
def test_numbers_fit_into_a_narrow_column(now: dt.datetime, requests: int, short: str) -> None:
    count(now, 1, lambda hour: requests)
    assert heat_map()["rows"][0].cells[0].short == short


def test_the_map_stands_by_itself_in_a_page_of_others(now: dt.datetime) -> None:
    count(now, 4, quiet_on_sunday_at_three)
    text = render_to_string("backsoon/admin/_heatmap.html", {"heat": heat_map(HOUR)})
    assert re.search(r'<th scope="row">03:00</th>', text)
    assert text.count('<th scope="col">') == 7


def test_the_map_speaks_the_language_of_its_reader(now: dt.datetime) -> None:
    count(now, 4, quiet_on_sunday_at_three)
    with translation.override("fr"):
        assert heat_map()["days"][0]["name"] == "lundi"
