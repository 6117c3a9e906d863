"""Planning a closure in the admin: what is asked, foretold, stored and refused."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings
from django.utils import timezone

from backsoon import services, store
from backsoon.core.vocabulary import Mode, Window, Words
from backsoon.exceptions import StoreUnavailableError
from backsoon.models import Change, Series, Traffic
from backsoon.models import Window as Row
from backsoon.traffic import hour_of
from tests.integration.commands import NOON, stop_the_clock

CALENDAR = "/admin/settings/calendar/"
PLAN = f"{CALENDAR}plan/"
PREVIEW = f"{CALENDAR}preview/"
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)

TYPED = {
    "starts_at": "2030-01-02T02:00",
    "ends": "at",
    "ends_at": "2030-01-02T04:00",
    "mode": "closed",
    "title": "We are moving",
    "message": "New machines.",
    "title:fr": "Nous déménageons",
    "notice": "3600",
    "reason": "release 42",
}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> dt.datetime:
    return stop_the_clock(monkeypatch)


@pytest.fixture
def boss(client: Client, root: User) -> Client:
    client.force_login(root)
    return client


@pytest.fixture
def in_paris() -> Iterator[None]:
    with override_settings(TIME_ZONE="Europe/Paris"):
        yield


def text_of(response: Any) -> str:
    """The page as it is read, without its markup."""
    html = re.sub(r"<(script|style)\b.*?</\1>", "", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", "", html)).split())


def foretold(response: Any) -> str:
    """What the page says will happen; empty when it foretells nothing."""
    html = response.content.decode()
    found = re.search(r'<section class="backsoon-outlook".*?</section>', html, re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", "", found[0])).split()) if found else ""


def hidden(response: Any) -> dict[str, str]:
    """The hidden fields of the form, as a browser sends them again."""
    html = response.content.decode()
    form = html[html.index('id="backsoon-plan"') :]
    pairs = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)
    return {name: unescape(value) for name, value in pairs if name != "csrfmiddlewaretoken"}


def check(client: Client, typed: dict[str, str], url: str = PLAN) -> Any:
    return client.post(url, hidden(client.get(url)) | typed | {"check": "1"})


def plan(client: Client, typed: dict[str, str], url: str = PLAN) -> Any:
    """Check it and, having read, plan it."""
    seen = check(client, typed, url)
    return client.post(url, hidden(seen) | typed | {"plan": "1"}, follow=True)


def planned(*arguments: Any, **options: Any) -> Window:
    (window,) = services.schedule(*arguments, **options).windows
    return window


def url_of(window: Window) -> str:
    return f"{CALENDAR}{window.number}/"


def fresh(window: Window) -> Window:
    found = store.load().window(window.uid)
    assert found is not None
    return found


# -- Planning ----------------------------------------------------------------------------------


def test_nothing_is_stored_before_it_was_foretold(boss: Client) -> None:
    seen = check(boss, TYPED)
    said = foretold(seen)
    assert not Row.objects.exists()
    assert "The site is closed on Wed Jan. 2, 2030, 2 a.m.–4 a.m. UTC: 2 hours." in said
    assert "It begins in 14 hours." in said
    assert "All ordinary users are logged out when it begins." in said
    assert "The notice to visitors begins on Wed Jan. 2, 2030, 1 a.m. UTC." in said
    assert "We are moving" in said


def test_what_was_foretold_is_stored_as_it_was_typed(boss: Client) -> None:
    answer = plan(boss, TYPED | {"keep_logins": "on"})
    assert "The closure is planned." in text_of(answer)
    assert answer.redirect_chain == [(f"{CALENDAR}?month=2030-01", 302)]
    row = Row.objects.get()
    assert (row.starts_at, row.ends_at) == (NOON + 14 * HOUR, NOON + 16 * HOUR)
    assert (row.mode, row.keep_logins, row.notice, row.reason) == (
        "closed",
        True,
        HOUR,
        "release 42",
    )
    assert row.words() == {
        "": Words("We are moving", "New machines."),
        "fr": Words("Nous déménageons", ""),
    }
    change = Change.objects.latest("at")
    assert (change.action, change.actor_name, change.channel) == ("planned", "root", "web")


def test_it_is_foretold_again_when_what_was_typed_is_not_what_was_checked(boss: Client) -> None:
    seen = check(boss, TYPED)
    other = TYPED | {"ends_at": "2030-01-02T05:00", "plan": "1"}
    answer = boss.post(PLAN, hidden(seen) | other)
    assert not Row.objects.exists()
    assert "Something has changed since you checked." in text_of(answer)
    assert "3 hours" in foretold(answer)
    boss.post(PLAN, hidden(answer) | other)
    assert Row.objects.get().ends_at == NOON + 17 * HOUR


def test_it_is_foretold_again_when_a_colleague_planned_meanwhile(boss: Client) -> None:
    seen = check(boss, TYPED)
    assert "touches" not in foretold(seen)
    other = planned(NOON + 16 * HOUR, NOON + 18 * HOUR)
    answer = boss.post(PLAN, hidden(seen) | TYPED | {"plan": "1"})
    assert Row.objects.count() == 1
    assert f"It touches another planned closure: #{other.number}" in foretold(answer)
    boss.post(PLAN, hidden(answer) | TYPED | {"plan": "1"})
    assert Row.objects.count() == 2


def test_who_sends_plan_it_without_having_checked_is_shown_first(boss: Client) -> None:
    answer = boss.post(PLAN, TYPED | {"plan": "1"})
    assert foretold(answer)
    assert not Row.objects.exists()


@pytest.mark.parametrize(
    ("typed", "end"),
    [
        ({"ends": "1800"}, NOON + 14.5 * HOUR),
        ({"ends": "7200"}, NOON + 16 * HOUR),
        ({"ends": "opened"}, None),
        ({"ends": "", "ends_at": "2030-01-02T03:00"}, NOON + 15 * HOUR),
    ],
)
def test_an_end_can_be_said_as_a_length_or_left_to_whoever_opens(
    boss: Client, typed: dict[str, str], end: dt.datetime | None
) -> None:
    plan(boss, TYPED | {"ends_at": ""} | typed)
    assert Row.objects.get().ends_at == end


@pytest.mark.parametrize(
    ("typed", "field", "sentence"),
    [
        ({"starts_at": ""}, "starts_at", "Say when it begins."),
        ({"starts_at": "soon"}, "starts_at", "Enter a date and a time"),
        ({"starts_at": "2029-12-31T02:00"}, "starts_at", "This lies in the past."),
        ({"starts_at": "2031-06-01T02:00", "ends": "1800", "ends_at": ""}, "starts_at", "365 days"),
        ({"ends_at": ""}, "ends_at", "Say when it ends"),
        ({"ends": "", "ends_at": ""}, "ends", "Say when it ends"),
        ({"ends": "1800"}, "ends", "Keep one of them."),
        ({"ends": "99"}, "ends", "Choose one of these."),
        ({"ends_at": "2030-01-02T01:00"}, "ends_at", "The end has to come after the start."),
        ({"ends_at": "2032-01-02T01:00"}, "ends_at", "365 days at most"),
        ({"title": "x" * 201}, "title", "at most 200 characters"),
        ({"title:fr": "x" * 201}, "title__fr", "at most 200 characters"),
        ({"message": "x" * 5001}, "message", "5000 characters"),
        ({"notice": "own", "notice_hours": ""}, "notice_hours", "Say how many hours."),
        ({"notice": "own", "notice_hours": "-1"}, "notice_hours", "greater than or equal to 0"),
        ({"notice": "own", "notice_hours": "inf"}, "notice_hours", "Enter a number."),
        ({"notice": "17"}, "notice", "Choose one of these."),
        ({"mode": "open"}, "mode", "open is not one of the available choices"),
        ({"reason": "x" * 501}, "reason", "at most 500 characters"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(
    boss: Client, typed: dict[str, str], field: str, sentence: str
) -> None:
    answer = check(boss, TYPED | typed)
    html = answer.content.decode()
    errors = re.search(rf'id="id_{field}(?:_0)?_errors">(.*?)</ul>', html, re.DOTALL)
    assert errors is not None
    assert sentence in unescape(errors[1])
    assert not foretold(answer)
    assert "release 42" in html or "reason" in typed
    assert not Row.objects.exists()


def test_a_start_that_passed_between_reading_and_planning_is_refused(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = check(boss, TYPED)
    stop_the_clock(monkeypatch, NOON + 15 * HOUR)
    answer = boss.post(PLAN, hidden(seen) | TYPED | {"plan": "1"})
    assert "This lies in the past." in text_of(answer)
    assert not Row.objects.exists()


def test_a_database_that_does_not_answer_keeps_what_was_typed(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = planned(NOON + HOUR, NOON + 3 * HOUR)
    seen = hidden(check(boss, TYPED))

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr("backsoon.store.load", fail)
    answer = boss.post(PLAN, seen | TYPED | {"plan": "1"})
    assert answer.status_code == 503
    assert "The database did not answer, so nothing was saved." in text_of(answer)
    assert "release 42" in answer.content.decode()
    assert boss.get(url_of(window))["Location"] == CALENDAR
    assert boss.get(CALENDAR).status_code == 503
    assert Row.objects.count() == 1


# -- Filling in --------------------------------------------------------------------------------


def test_a_night_fills_in_the_times_and_keeps_what_was_typed(boss: Client) -> None:
    html = boss.get(PLAN).content.decode()
    night = re.search(r'name="fill" value="([^"]+)"[^>]*>Tonight, 2 a.m.–4 a.m.', html)
    assert night is not None
    answer = boss.post(PLAN, {"title": "Kept", "fill": night[1]}).content.decode()
    assert 'value="2030-01-02T02:00"' in answer
    assert 'value="2030-01-02T04:00"' in answer
    assert re.search(r'value="at" checked', answer)
    assert 'value="Kept"' in answer
    assert "errorlist" not in answer


def test_an_address_fills_in_the_times(boss: Client) -> None:
    html = boss.get(f"{PLAN}?start=2030-03-01T02:00Z&end=2030-03-01T03:30%2B00:00").content.decode()
    assert 'value="2030-03-01T02:00"' in html
    assert 'value="2030-03-01T03:30"' in html
    assert boss.get(f"{PLAN}?start=nonsense&end=").status_code == 200


def test_a_night_in_which_clocks_change_is_not_offered(
    boss: Client, in_paris: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_the_clock(monkeypatch, dt.datetime(2030, 3, 30, 12, tzinfo=dt.UTC))
    html = boss.get(PLAN).content.decode()
    assert "2030-03-31T02:00" not in html  # does not exist
    assert "2030-04-01T02:00" in html


# -- Zones and clocks --------------------------------------------------------------------------


def test_times_are_those_of_the_operators_zone_with_utc_beside_them(boss: Client) -> None:
    with timezone.override(ZoneInfo("Europe/Paris")):
        said = foretold(check(boss, TYPED))
    assert "2 a.m.–4 a.m. CET (2030-01-02 01:00–03:00 UTC)" in said


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        ("2030-03-31T02:30", "clocks go forward over it"),
        ("2030-10-27T02:30", "at 00:30 and at 01:30 UTC"),
    ],
)
def test_a_time_that_clocks_skip_or_repeat_is_refused_with_the_reason(
    boss: Client, start: str, sentence: str
) -> None:
    with timezone.override(ZoneInfo("Europe/Paris")):
        answer = check(boss, TYPED | {"starts_at": start, "ends": "7200", "ends_at": ""})
    assert sentence in text_of(answer)


def test_a_closure_during_which_clocks_change_is_foretold_with_its_true_length(
    boss: Client,
) -> None:
    night = {"starts_at": "2030-03-31T01:00", "ends_at": "2030-03-31T04:00"}
    with timezone.override(ZoneInfo("Europe/Paris")):
        said = foretold(check(boss, TYPED | night))
    assert "1 a.m. CET–4 a.m. CEST" in said
    assert "Clocks go forward by 1 hour in Europe/Paris during it" in said
    assert "it really lasts 2 hours" in said


# -- What else is foretold ---------------------------------------------------------------------


def test_touching_closures_are_foretold_with_the_one_end_that_is_true(boss: Client) -> None:
    first = planned(NOON + 13 * HOUR, NOON + 14 * HOUR)
    second = planned(NOON + 15 * HOUR, NOON + 20 * HOUR)
    said = foretold(check(boss, TYPED))
    assert f"#{first.number} (" in said
    assert f"#{second.number} (" in said
    assert "are told one end: Wed Jan. 2, 2030, 8 a.m. UTC." in said


def test_a_closure_within_one_without_an_end_is_told_no_end(boss: Client) -> None:
    planned(NOON + HOUR)
    assert "are told no end" in foretold(check(boss, TYPED))


def test_a_site_that_is_closed_by_hand_is_said_to_stay_closed(boss: Client) -> None:
    services.close_site()
    assert "The site is closed by hand now." in foretold(check(boss, TYPED))


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"notice": "0"}, "Visitors are not told beforehand."),
        ({"notice": ""}, "The notice to visitors begins at once."),
        ({"notice": "own", "notice_hours": "12"}, "begins on Wed Jan. 2, 2030, 2 p.m. UTC."),
        ({"mode": "read_only"}, "Visitors can read, but change nothing, on Wed"),
        ({"keep_logins": "on"}, "Users are not logged out."),
        ({"ends": "opened", "ends_at": ""}, "stays closed until you open it"),
    ],
)
def test_the_particulars_are_foretold(boss: Client, typed: dict[str, str], sentence: str) -> None:
    later = {"starts_at": "2030-01-03T02:00", "ends_at": "2030-01-03T04:00"}
    far = later if typed.get("notice") == "own" else {}
    said = foretold(check(boss, TYPED | far | typed))
    assert sentence in said


def test_what_visitors_would_read_can_be_seen_as_they_see_it(boss: Client) -> None:
    answer = boss.post(PREVIEW, TYPED)
    assert answer.status_code == 200
    assert "We are moving" in answer.content.decode()
    assert "script-src" in answer["Content-Security-Policy"]
    assert "no-store" in answer["Cache-Control"]
    assert not Row.objects.exists()
    assert boss.post(PREVIEW, {"starts_at": "?"}).status_code == 400


def test_texts_are_never_markup(boss: Client) -> None:
    evil = "<script>alert(1)</script>"
    answer = check(boss, TYPED | {"title": evil, "message": evil, "reason": evil})
    assert evil not in answer.content.decode()
    calendar = plan(boss, TYPED | {"title": evil, "message": evil, "reason": evil})
    assert evil not in calendar.content.decode()


# -- Changing ----------------------------------------------------------------------------------


def stored(window: Window, client: Client) -> dict[str, str]:
    """What the form shows of *window*."""
    html = client.get(url_of(window)).content.decode()
    values = {
        "ends": "at" if window.ends_at else "opened",
        "mode": window.mode.value,
        "notice": "",
    }
    for name in ("starts_at", "ends_at", "title", "title:fr", "notice_hours", "reason"):
        found = re.search(rf'<input [^>]*name="{name}"[^>]*>', html)
        value = re.search(r'value="([^"]*)"', found[0]) if found else None
        if found:
            values[name] = unescape(value[1]) if value else ""
    return values


def test_a_plan_is_moved_as_it_was_planned_by_checking_first(boss: Client) -> None:
    window = planned(NOON + 14 * HOUR, NOON + 16 * HOUR, notice=HOUR)
    typed = stored(window, boss) | {
        "starts_at": "2030-01-03T02:00",
        "ends_at": "2030-01-03T05:00",
        "title": "Later",
        "notice": "0",
    }
    seen = check(boss, typed, url_of(window))
    assert fresh(window) == window
    assert "3 hours" in foretold(seen)
    answer = boss.post(url_of(window), hidden(seen) | typed | {"plan": "1"}, follow=True)
    assert "The plan was changed." in text_of(answer)
    moved = fresh(window)
    assert (moved.starts_at, moved.ends_at) == (NOON + 38 * HOUR, NOON + 41 * HOUR)
    assert (moved.told("").title, moved.notice) == ("Later", dt.timedelta(0))
    assert moved.sequence == window.sequence + 1


def test_what_a_plan_does_can_be_changed_until_it_begins(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR, notice=HOUR)
    plan(boss, stored(window, boss) | {"mode": "read_only", "keep_logins": "on"}, url_of(window))
    changed = fresh(window)
    assert (changed.mode, changed.keep_logins, changed.notice) == (Mode.READ_ONLY, True, None)
    html = boss.get(url_of(window)).content.decode()
    assert re.search(r'<input [^>]*name="keep_logins"[^>]* checked', html)
    stop_the_clock(monkeypatch, NOON + HOUR)
    html = boss.get(url_of(window)).content.decode()
    assert 'name="mode"' not in html
    assert "This cannot be changed any more: it has begun." in html


def test_a_moment_that_nobody_touched_keeps_its_microseconds(boss: Client) -> None:
    exact = dt.timedelta(seconds=7, microseconds=123456)
    window = planned(NOON + HOUR + exact, NOON + 2 * HOUR + exact)
    plan(boss, stored(window, boss) | {"title": "New words"}, url_of(window))
    after = fresh(window)
    assert (after.starts_at, after.ends_at) == (window.starts_at, window.ends_at)
    assert after.told("").title == "New words"


def test_of_two_who_change_a_plan_the_second_keeps_what_was_typed_and_sees_theirs(
    boss: Client,
) -> None:
    window = planned(NOON + 14 * HOUR, NOON + 16 * HOUR, words={"": Words("Old", "Old text")})
    typed = stored(window, boss) | {"title": "Mine", "message": "Old text"}
    before = hidden(boss.get(url_of(window)))
    ann = services.Origin(name="ann")
    services.reschedule(
        window.uid, ends_at=NOON + 18 * HOUR, words={"": Words("Theirs", "Old text")}, origin=ann
    )
    answer = boss.post(url_of(window), before | typed | {"check": "1"})
    said, html = text_of(answer), answer.content.decode()
    assert answer.status_code == 409
    assert "Meanwhile changed to “Theirs” by ann. What you typed is still here" in said
    assert 'value="Mine"' in html
    # The end was theirs alone, so it is shown as it is now.
    assert 'value="2030-01-02T06:00"' in html
    assert fresh(window).told("").title == "Theirs"
    typed["ends_at"] = "2030-01-02T06:00"
    seen = boss.post(url_of(window), hidden(answer) | typed | {"check": "1"})
    boss.post(url_of(window), hidden(seen) | typed | {"plan": "1"})
    assert fresh(window).told("").title == "Mine"
    assert fresh(window).ends_at == NOON + 18 * HOUR


def test_one_that_is_over_or_cancelled_or_never_was_cannot_be_changed(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, cancelled = planned(NOON + HOUR, NOON + 2 * HOUR), planned(NOON + DAY, NOON + 2 * DAY)
    services.cancel(cancelled.uid)
    stop_the_clock(monkeypatch, NOON + 3 * HOUR)
    assert f"#{over.number} is over" in text_of(boss.get(url_of(over), follow=True))
    assert f"#{cancelled.number} was cancelled" in text_of(boss.get(url_of(cancelled), follow=True))
    for number in (10**6, 2**63, 10**30):
        assert boss.get(f"{CALENDAR}{number}/").status_code == 404


def test_one_that_goes_on_keeps_its_start_and_gets_another_end_and_other_words(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR)
    stop_the_clock(monkeypatch, NOON + 1.5 * HOUR)
    page = boss.get(url_of(window))
    assert 'name="starts_at"' not in page.content.decode()
    typed = {"ends": "at", "ends_at": "2030-01-01T15:00", "title": "Still on it", "notice": ""}
    assert "It goes on now; 1 hour, 30 minutes are left." in foretold(
        check(boss, typed, url_of(window))
    )
    plan(boss, typed, url_of(window))
    after = fresh(window)
    assert (after.starts_at, after.ends_at) == (window.starts_at, NOON + 3 * HOUR)
    assert after.told("").title == "Still on it"


# -- One press ---------------------------------------------------------------------------------


def press(client: Client, window: Window, verb: str, **more: str) -> Any:
    sent = {"sequence": str(window.sequence), **more}
    return client.post(f"{url_of(window)}{verb}/", sent, follow=True)


def test_one_press_makes_a_closure_longer_once_also_when_two_press(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR)
    stop_the_clock(monkeypatch, NOON + 1.5 * HOUR)
    answer = press(boss, window, "extend", minutes="15")
    assert f"#{window.number} now ends at Jan. 1, 2030, 2:15 p.m. UTC" in text_of(answer)
    second = press(boss, window, "extend", minutes="15")
    assert "Somebody else has changed this closure in the meantime" in text_of(second)
    assert fresh(window).ends_at == NOON + 2.25 * HOUR
    assert press(boss, window, "extend", minutes="9999").status_code == 400


@pytest.mark.parametrize("verb", ["begin", "cancel"])
def test_what_cannot_be_undone_is_asked_first_in_three_lines(boss: Client, verb: str) -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR)
    html = boss.get(f"{url_of(window)}{verb}/").content.decode()
    (lines,) = re.findall(r'<ol class="backsoon-consequences">(.*?)</ol>', html)
    assert lines.count("<li>") == 3
    assert fresh(window) == window


def test_a_plan_is_cancelled_with_its_reason(boss: Client) -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR)
    answer = press(boss, window, "cancel", reason="not needed")
    assert f"#{window.number} was cancelled" in text_of(answer)
    assert Row.objects.get().cancelled_at == NOON
    assert Change.objects.latest("pk").reason == "not needed"


def test_a_plan_can_begin_now_and_keeps_its_end(boss: Client) -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR)
    press(boss, window, "begin")
    assert services.current_state().mode is Mode.CLOSED
    assert (fresh(window).starts_at, fresh(window).ends_at) == (NOON, NOON + 2 * HOUR)


def test_ending_one_now_opens_the_site_or_says_why_it_stays_closed(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = planned(NOON + HOUR, NOON + 3 * HOUR)
    other = planned(NOON + HOUR, NOON + 3 * HOUR)
    stop_the_clock(monkeypatch, NOON + 2 * HOUR)
    assert "The site is still closed" in text_of(press(boss, window, "end"))
    answer = text_of(press(boss, other, "end"))
    assert f"#{other.number} has ended" in answer
    assert "still closed" not in answer
    assert services.current_state().is_open


def test_a_question_that_time_has_overtaken_leads_to_what_can_be_done_now(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = planned(NOON + HOUR, NOON + 3 * HOUR)
    assert boss.get(f"{url_of(window)}end/").status_code == 302
    stop_the_clock(monkeypatch, NOON + 2 * HOUR)
    assert boss.post(f"{url_of(window)}cancel/", {"sequence": "0"})["Location"] == url_of(window)
    assert services.current_state().mode is Mode.CLOSED
    assert boss.get(f"{url_of(window)}explode/").status_code == 404


def test_what_was_changed_meanwhile_is_not_cancelled_unseen(boss: Client) -> None:
    window = planned(NOON + HOUR, NOON + 3 * HOUR)
    services.reschedule(window.uid, ends_at=NOON + 4 * HOUR)
    answer = press(boss, window, "cancel")
    assert answer.status_code == 409
    assert fresh(window).ends_at == NOON + 4 * HOUR


# -- Who may -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "plan/", "{number}/", "{number}/cancel/"])
def test_staff_who_may_only_look_are_refused(client: Client, path: str) -> None:
    window = planned(NOON + HOUR, NOON + 3 * HOUR)
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_change"))
    client.force_login(viewer)
    url = CALENDAR + path.format(number=window.number)
    assert client.get(url).status_code == 403
    sent = {"sequence": "0"}
    assert client.post(url, sent).status_code in (403, 405)
    assert client.post(f"{url_of(window)}extend/", sent).status_code == 403
    assert client.post(PREVIEW, TYPED).status_code == 403
    assert fresh(window) == window


def test_a_sending_without_its_token_is_refused(root: User) -> None:
    window = planned(NOON + HOUR, NOON + 3 * HOUR)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(root)
    for url in (PLAN, url_of(window), f"{url_of(window)}cancel/", f"{url_of(window)}extend/"):
        assert strict.post(url, TYPED | {"sequence": "0", "minutes": "15"}).status_code == 403
    assert fresh(window) == window


# -- Again and again ---------------------------------------------------------------------------


def test_a_repetition_is_foretold_with_its_next_five_and_planned(boss: Client) -> None:
    typed = TYPED | {"repeat": "weekly"}
    said = foretold(check(boss, typed))
    assert "It comes again every week on Wednesday, at the same time of day in UTC." in said
    for day in ("2", "9", "16", "23", "30"):
        assert f"Wed Jan. {day}, 2030, 2 a.m.–4 a.m. UTC" in said
    answer = plan(boss, typed)
    assert "The closures are planned, those of the next weeks at once." in text_of(answer)
    assert "every week on Wednesday" in text_of(answer)
    series = Series.objects.get()
    assert (series.rule, series.zone) == ("FREQ=WEEKLY;BYDAY=WE", "UTC")
    assert Row.objects.count() > 5


def test_a_repetition_goes_by_the_clocks_of_the_operators_zone(boss: Client) -> None:
    typed = TYPED | {"repeat": "own", "rule": "FREQ=MONTHLY;BYDAY=1WE"}
    with timezone.override(ZoneInfo("Europe/Paris")):
        seen = check(boss, typed)
        boss.post(PLAN, hidden(seen) | typed | {"plan": "1"})
    assert "on the first Wednesday" in foretold(seen)
    assert Series.objects.get().zone == "Europe/Paris"


def test_further_ones_that_touch_other_plans_are_foretold(boss: Client) -> None:
    other = planned(NOON + 14 * HOUR + 7 * DAY, NOON + 20 * HOUR + 7 * DAY)
    said = foretold(check(boss, TYPED | {"repeat": "weekly"}))
    assert f"Further ones touch other planned closures: #{other.number} (" in said


@pytest.mark.parametrize(
    ("typed", "field", "sentence"),
    [
        ({"repeat": "own", "rule": ""}, "rule", "Write the rule."),
        ({"repeat": "own", "rule": "FREQ=SECONDLY"}, "rule", "once a day at most"),
        ({"repeat": "own", "rule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}, "rule", "no closure in"),
        ({"repeat": "own", "rule": "FREQ=WEEKLY;BYDAY=SU"}, "rule", "Jan. 6, 2030"),
        ({"repeat": "weekly", "ends": "opened", "ends_at": ""}, "repeat", "needs an end"),
        ({"repeat": "daily", "ends_at": "2030-01-04T02:00"}, "repeat", "until the next"),
        ({"repeat": "hourly"}, "repeat", "Choose one of these."),
    ],
)
def test_what_is_wrong_with_a_repetition_is_said_at_its_field(
    boss: Client, typed: dict[str, str], field: str, sentence: str
) -> None:
    answer = check(boss, TYPED | typed)
    errors = re.search(rf'id="id_{field}_errors">(.*?)</ul>', answer.content.decode(), re.DOTALL)
    assert errors is not None
    assert sentence in unescape(errors[1])
    assert not Row.objects.exists()


def test_one_of_a_series_can_be_cancelled_alone_or_with_all_further_ones(boss: Client) -> None:
    windows = services.schedule(NOON + HOUR, NOON + 2 * HOUR, repeat="FREQ=WEEKLY").windows
    first, second = windows[:2]
    press(boss, first, "cancel")
    assert Row.objects.filter(cancelled_at=None).count() == len(windows) - 1
    html = boss.get(url_of(second)).content.decode()
    assert f'href="{url_of(second)}end-series/"' in html
    assert "this one included" in text_of(boss.get(f"{url_of(second)}end-series/"))
    answer = press(boss, second, "end-series", reason="done with")
    assert "The further closures of the series were cancelled." in text_of(answer)
    assert not Row.objects.filter(cancelled_at=None).exists()
    alone = planned(NOON + HOUR, NOON + 2 * HOUR)
    assert boss.get(f"{url_of(alone)}end-series/").status_code == 302


# -- Quiet hours -------------------------------------------------------------------------------


def count(requests: int) -> None:
    """Four weeks in which Sundays from 3 to 5 were quiet, and all else had *requests* an hour."""
    hours = [NOON - number * HOUR for number in range(1, 4 * 7 * 24 + 1)]
    Traffic.objects.bulk_create(
        Traffic(
            hour=hour_of(hour),
            requests=6 if hour.weekday() == 6 and hour.hour in (3, 4) else requests,
            minutes=(1 << 60) - 1,
        )
        for hour in hours
    )


def test_the_quietest_times_fill_in_the_form_and_the_cost_of_a_time_is_foretold(
    boss: Client,
) -> None:
    count(100)
    html = boss.get(PLAN).content.decode()
    quiet = re.search(r'value="(2030-01-06T03:00/2030-01-06T05:00)"[^>]*>([^<]*)<', html)
    assert quiet is not None
    assert "about 12 requests" in quiet[2]
    filled = boss.post(PLAN, {"fill": quiet[1], "reason": "kept"}).content.decode()
    assert 'value="2030-01-06T03:00"' in filled
    assert 'value="kept"' in filled
    said = foretold(check(boss, TYPED))
    assert "On an average Wednesday, about 200 requests would be turned away" in said


def test_the_page_of_quiet_hours_leads_to_a_form_that_is_filled_in(boss: Client) -> None:
    count(100)
    html = boss.get("/admin/settings/quiet-hours/?length=120&start=").content.decode()
    link = re.search(r'href="(/admin/settings/calendar/plan/\?start=[^"]*)"', html)
    assert link is not None
    filled = boss.get(unescape(link[1])).content.decode()
    assert 'value="2030-01-06T03:00"' in filled
    assert 'value="2030-01-06T05:00"' in filled
