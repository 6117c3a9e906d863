"""The report of a closure: from Python, the command and the admin."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.db import connection
from django.test import Client, override_settings

from backsoon import aftermath, reports, services, store
from backsoon.announce import delivering
from backsoon.models import Change, Window
from backsoon.services import Origin
from tests.integration.commands import failing_database, run

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
ANN = Origin(name="ann", channel=Change.Channel.COMMAND)
BOB = Origin(name="bob", channel=Change.Channel.WEB)
PAGE = "/admin/settings/report/"
FILE = "/admin/settings/report.json"


def at(minutes: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minutes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    def move(now: dt.datetime) -> None:
        monkeypatch.setattr("backsoon.store.utc_now", lambda: now)

    move(NOON)
    return move


@pytest.fixture
def closure(clock: Any) -> None:
    """An hour and a quarter, promised to be one, extended once, and checked at its end."""
    services.close_site(origin=ANN, reason="new disks", until=at(50))
    clock(at(40))
    services.save_settings({services.END_KEY: services.Entry(at(60).isoformat())}, origin=ANN)
    clock(at(75))
    with override_settings(BACKSOON={"REOPEN_CHECKS": ["/", "tests.reopen_checks.says_why"]}):
        services.open_site(origin=BOB, reason="it has to do", force=True)
    aftermath.add("closed", NOON, {"pages": 40, "programs": 2, "logins": 1, "requests": 1000})
    aftermath.add("opened", at(75), {"requests": 50, "failures": 1})
    clock(at(100))


def test_it_tells_what_was_planned_and_what_was(closure: None) -> None:
    report = reports.report_of()
    assert (report["started_at"], report["ended_at"], report["seconds"]) == (
        NOON.isoformat(), at(75).isoformat(), 75 * 60,
    )  # fmt: skip
    assert report["began"] == {
        "how": "hand", "by": "ann", "channel": "command", "reason": "new disks",
    }  # fmt: skip
    assert report["opened"]["by"] == "bob"
    assert report["opened"]["reason"] == "it has to do"
    assert report["planned"] == {
        "starts_at": None, "ends_at": at(60).isoformat(), "late_seconds": 15 * 60,
    }  # fmt: skip
    assert (report["extended"], report["overdue"], report["mode"]) == (1, False, "closed")
    assert report["refused"] == {"pages": 40, "programs": 2, "logins": 1, "all": 43}
    assert [each["passed"] for each in report["checks"]] == [True, False]
    assert report["forced"] is True
    assert report["watch"]["before"] == {"requests": 1000, "failures": 0, "percent": 0.0}
    assert report["watch"]["after"] == {"requests": 50, "failures": 1, "percent": 2.0}
    assert [change["action"] for change in report["changes"]] == ["closed", "settings", "opened"]
    assert json.loads(json.dumps(report)) == report


def test_any_change_that_belongs_to_it_finds_it(closure: None, clock: Any) -> None:
    services.close_site(origin=BOB)
    assert reports.report_of(epoch=1)["ended_at"] == at(75).isoformat()
    last = reports.report_of()
    assert (last["ended_at"], last["opened"], last["seconds"]) == (None, None, 0)
    with pytest.raises(reports.NoReportError):
        reports.report_of(epoch=77)


def test_a_planned_one_needs_no_row_of_its_end(clock: Any) -> None:
    number = services.schedule(at(10), at(20), reason="router", origin=ANN).windows[0].number
    clock(at(30))
    report = reports.report_of(window=number)
    assert report["began"] == {
        "how": "clock", "by": "ann", "channel": "schedule", "reason": "router",
    }  # fmt: skip
    assert report["opened"]["how"] == "clock"
    assert report["planned"]["late_seconds"] == 0
    assert report["windows"] == [number]


def test_one_that_was_ended_early_tells_by_whom(clock: Any) -> None:
    uid = services.schedule(at(10), at(60), origin=ANN).windows[0].uid
    clock(at(30))
    services.cancel(uid, origin=BOB)
    clock(at(40))
    report = reports.report_of()
    assert (report["seconds"], report["opened"]["by"]) == (20 * 60, "bob")
    assert report["planned"]["late_seconds"] == -30 * 60
    change = Change.objects.latest("pk")
    assert change.get_action_display() == "planned closure ended early"
    with connection.cursor() as cursor:  # the history of a site that had it before it was called so
        cursor.execute("UPDATE backsoon_change SET action = 'cancelled' WHERE id = %s", [change.pk])
    assert reports.report_of()["opened"]["by"] == "bob"


def test_a_window_and_a_closure_by_hand_without_a_gap_are_one(clock: Any) -> None:
    services.schedule(at(10), at(20), origin=ANN)
    clock(at(15))
    services.close_site(origin=BOB)
    clock(at(40))
    services.open_site(origin=BOB)
    assert reports.report_of()["seconds"] == 30 * 60


@override_settings(BACKSOON={"OPERATORS": ["ops@example.com"]})
def test_it_counts_the_messages_about_it(clock: Any) -> None:
    uid = services.schedule(at(10), at(60), origin=ANN).windows[0].uid
    clock(at(30))
    services.cancel(uid, origin=BOB)
    services.schedule(at(500), at(600), origin=ANN)  # another one's do not count
    delivering.run()
    messages = reports.report_of(window=Window.objects.get(uid=uid).pk)["messages"]
    assert messages == {"sent": len(mail.outbox) - 1}
    assert messages["sent"] >= 2  # at least that it was planned, and that it is over
    assert f"  messages: {messages['sent']} sent" in run("report").lines


def test_others_can_add_what_they_know(closure: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[dt.datetime, dt.datetime]] = []

    def mails(start: dt.datetime, end: dt.datetime) -> dict[str, int]:
        asked.append((start, end))
        return {"sent": 5, "failed": 1}

    monkeypatch.setitem(reports.SOURCES, "mails", mails)
    assert reports.report_of()["mails"] == {"sent": 5, "failed": 1}
    assert asked == [(NOON, at(75))]
    assert "  mails: 5 sent, 1 failed" in run("report").lines


# -- The command --------------------------------------------------------------------------------


def test_the_command_tells_it_in_lines(closure: None) -> None:
    result = run("report")
    assert result.code == 0
    assert result.lines == [
        "The site was closed from 12:00 UTC to 13:15 UTC: 1 hour 15 minutes.",
        "  closed: by ann (command)",
        "  reason: new disks",
        "  opened: by bob (web), though checks failed",
        "  planned end: 13:00 UTC, opened 15 minutes later",
        "  extended: 1 time",
        "  refused: 43 requests (40 of browsers, 2 of programs, 1 logins)",
        "  after opening: 2 % of 50 requests failed; before it was 0 %",
        "  checks before opening:",
        *result.lines[-2:],
    ]
    assert "FAILED: the price list is empty" in result.lines[-1]


def test_the_command_tells_it_to_programs(closure: None) -> None:
    assert run("report", "1", "--json").json == reports.report_of()
    assert run("report", "last", "--json").json == reports.report_of()


def test_without_a_closure_there_is_no_report() -> None:
    result = run("report")
    assert result.code == 1
    assert result.err.startswith("No report: there has not been a closure.")


@pytest.mark.parametrize("wrong", [["x"], ["-1"], ["1", "--window", "2"]])
def test_what_names_no_closure_is_wrong_usage(wrong: list[str]) -> None:
    assert run("report", *wrong).code == 2


# -- The admin ----------------------------------------------------------------------------------


def test_the_page_shows_it_and_the_file_holds_it(client: Client, root: User, closure: None) -> None:
    client.force_login(root)
    page = client.get(PAGE).content.decode()
    for text in ("1 hour, 15 minutes", "43", "15 minutes", "new disks", "the price list is empty",
                 "It was opened though checks failed."):  # fmt: skip
        assert text in page.replace("\xa0", " ")
    answer = client.get(FILE)
    assert answer.json() == reports.report_of()
    assert answer["Content-Disposition"] == 'attachment; filename="closure-2030-01-01T1200.json"'


def test_the_history_leads_from_the_opening_to_it(
    client: Client, root: User, closure: None
) -> None:
    client.force_login(root)
    opening = Change.objects.get(action="opened")
    detail = client.get(f"/admin/backsoon/change/{opening.pk}/change/").content.decode()
    assert f'{PAGE}?epoch={opening.epoch}"' in detail
    assert "tests.reopen_checks.says_why: the price list is empty" in detail
    assert client.get(f"{PAGE}?epoch={opening.epoch}").status_code == 200


def test_before_the_first_closure_it_says_so(client: Client, root: User) -> None:
    client.force_login(root)
    assert "has not been closed yet" in client.get(PAGE).content.decode()
    assert client.get(f"{PAGE}?epoch=7").status_code == 404
    assert client.get(FILE).status_code == 404


@pytest.mark.parametrize("query", ["epoch=x", "epoch=", "window=-1", "epoch=" + 30 * "1"])
def test_numbers_that_are_none_are_refused(client: Client, root: User, query: str) -> None:
    client.force_login(root)
    assert client.get(f"{PAGE}?{query}").status_code == 400
    assert client.get(f"{FILE}?{query}").status_code == 400


@pytest.mark.parametrize("url", [PAGE, FILE])
def test_only_who_may_see_the_history_sees_it(client: Client, url: str, closure: None) -> None:
    clerk = User.objects.create_user("clerk", password="pw", is_staff=True)
    client.force_login(clerk)
    assert client.get(url).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="view_change"))
    assert client.get(url).status_code == 200


def test_without_the_database_the_page_says_so(
    client: Client, root: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(root)

    def fail(**kwargs: Any) -> Any:
        with failing_database(), store.translated_errors():
            Change.objects.exists()

    monkeypatch.setattr(reports, "report_of", fail)
    assert client.get(FILE).status_code == 503
