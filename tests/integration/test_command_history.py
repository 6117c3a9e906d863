"""``manage.py maintenance history``."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from django.contrib.auth.models import User

from backsoon import services
from backsoon.models import Change
from tests.integration.commands import failing_database, run, stop_the_clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> dt.datetime:
    return stop_the_clock(monkeypatch)


def add(at: dt.datetime, **fields: object) -> Change:
    values = {"action": "closed", "channel": "command", "actor_name": "deploy@web1", **fields}
    return Change.objects.create(at=at, **values)


def test_an_empty_history_says_so(noon: dt.datetime) -> None:
    assert run("history").lines == ["No change is recorded that fits."]
    assert run("history", "--json").out == ""


def test_the_newest_change_comes_first(noon: dt.datetime) -> None:
    add(noon - dt.timedelta(hours=2), reason="first")
    add(noon - dt.timedelta(hours=1), reason="second", action="opened")
    heads = [line for line in run("history").lines if not line.startswith(" ")]
    assert heads == [
        "11:00 UTC  opened by deploy@web1 (command line, epoch 0): second",
        "10:00 UTC  closed by deploy@web1 (command line, epoch 0): first",
    ]


def test_old_and_new_values_are_listed_and_long_ones_cut(noon: dt.datetime) -> None:
    add(noon, before={"maintenance_message": ""}, after={"maintenance_message": "x" * 100})
    (line,) = [line for line in run("history").lines if line.startswith(" ")]
    assert line == f"    maintenance_message: nothing → {'x' * 59}…"


def test_what_did_not_change_is_not_listed(noon: dt.datetime) -> None:
    add(noon, before={"mode": "closed"}, after={"mode": "closed"})
    assert len(run("history").lines) == 1


def test_a_change_by_nobody_known_is_told_as_such(noon: dt.datetime) -> None:
    add(noon, actor_name="", channel="database", action="noticed")
    assert "outside change noticed by unknown (database" in run("history").out


def test_json_gives_one_complete_object_for_each_line(noon: dt.datetime, root: User) -> None:
    message = "x" * 100
    services.close_site(
        origin=services.Origin(user=root, channel=Change.Channel.WEB),
        message=message,
        reason="moving",
    )
    services.open_site()
    newest, oldest = [json.loads(line) for line in run("history", "--json").lines]
    assert newest["action"] == "opened"
    assert oldest == {
        "at": "2030-01-01T12:00:00+00:00",
        "who": "root",
        "user": str(root.pk),
        "channel": "web",
        "action": "closed",
        "reason": "moving",
        "epoch": 1,
        "before": oldest["before"],
        "after": {"maintenance_message": message, "mode": "closed", "logins": "ended"},
    }


def test_the_limit_is_kept(noon: dt.datetime) -> None:
    for hours in range(25):
        add(noon - dt.timedelta(hours=hours), reason=f"change {hours}")
    assert len(run("history").lines) == 20
    assert [line.rpartition(" ")[2] for line in run("history", "--limit", "2").lines] == ["0", "1"]


def test_actions_and_channels_can_be_chosen(noon: dt.datetime) -> None:
    add(noon, reason="a", action="opened", channel="web")
    add(noon, reason="b", action="closed", channel="web")
    add(noon, reason="c", action="closed", channel="api")
    (line,) = run("history", "--action", "closed", "--channel", "web").lines
    assert line.endswith("b")


@pytest.mark.parametrize("since", ["2029-12-31", "2029-12-31T12:00Z", "2d", "-36h"])
def test_only_what_came_after_a_moment_can_be_listed(noon: dt.datetime, since: str) -> None:
    add(noon - dt.timedelta(days=3), reason="old")
    add(noon - dt.timedelta(hours=20), reason="new")
    (line,) = run("history", f"--since={since}").lines
    assert line.endswith("new")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--limit", "0"),
        ("--limit", "-1"),
        ("--limit", "many"),
        ("--limit", "9" * 20),
        ("--action", "danced"),
        ("--channel", "pigeon"),
        ("--since", "once"),
    ],
)
def test_filters_that_mean_nothing_are_usage_errors(arguments: tuple[str, str]) -> None:
    assert run("history", *arguments).code == 2


def test_what_happens_by_itself_is_by_nobody(noon: dt.datetime) -> None:
    add(noon, action="overdue", channel="schedule", actor_name="")
    (line,) = run("history").lines
    assert " by " not in line


def test_without_a_database_there_is_no_history() -> None:
    with failing_database():
        result = run("history")
    assert result.code == 5
    assert result.err.startswith("No history: the database ")
    assert "Nothing was changed" not in result.err
