"""The calendar of planned closures: what it shows of a month, and what it says in words."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from backsoon import services
from backsoon.admin.byhand import told
from backsoon.core.vocabulary import Mode, Window, Words
from backsoon.models import Change
from backsoon.models import Window as Row
from backsoon.services import Origin
from tests.integration.commands import NOON, stop_the_clock

URL = "/admin/settings/calendar/"
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> dt.datetime:
    return stop_the_clock(monkeypatch)


@pytest.fixture
def boss(client: Client, root: User) -> Client:
    client.force_login(root)
    return client


def planned(*arguments: Any, **options: Any) -> Window:
    (window,) = services.schedule(*arguments, **options).windows
    return window


def read(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", "", html)).split())


def shown(client: Client, month: str = "") -> str:
    response = client.get(URL, {"month": month} if month else {})
    assert response.status_code == 200
    return response.content.decode()


def section(html: str, name: str) -> str:
    """What the list says in one of its parts; empty where there is no such part."""
    start = html.find(f'aria-labelledby="backsoon-{name}"')
    return read(html[start : html.index("</section>", start)]) if start >= 0 else ""


def bars(html: str) -> list[tuple[str, int, int]]:
    """The picture: condition, begin and width in minutes of the week."""
    found = re.findall(r'data-condition="(\w+)" x="(\d+)" y="2" width="(\d+)"', html)
    return [(condition, int(x), int(width)) for condition, x, width in found]


def test_with_nothing_planned_it_says_what_to_do_next(boss: Client) -> None:
    html = shown(boss)
    assert "Nothing is planned in January 2030." in read(html)
    assert "Plan a closure, and the site closes and opens by itself" in read(html)
    assert f'href="{URL}plan/"' in html
    assert bars(html) == []


def test_what_goes_on_is_to_come_is_over_or_was_cancelled_is_told_apart(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = planned(NOON + HOUR, NOON + 2 * HOUR, reason="disks")
    running = planned(NOON + 3 * HOUR, NOON + 6 * HOUR, words={"": Words("Now")})
    ahead = planned(NOON + DAY, NOON + DAY + HOUR, mode=Mode.READ_ONLY)
    cancelled = planned(NOON + 2 * DAY, NOON + 3 * DAY)
    services.cancel(cancelled.uid)
    stop_the_clock(monkeypatch, NOON + 4 * HOUR)
    html = shown(boss)
    assert f"#{over.number}" in section(html, "over")
    assert "disks" in section(html, "over")
    assert f"#{running.number} Now" in section(html, "running")
    assert "2 hours left" in section(html, "running")
    assert f"#{ahead.number} · read-only" in section(html, "planned")
    assert "in 20 hours" in section(html, "planned")
    assert f"#{cancelled.number}" in section(html, "cancelled")
    assert [condition for condition, _x, _width in bars(html)] == [
        "over",
        "running",
        "planned",
        "cancelled",
    ]


def test_the_picture_shows_where_in_the_week_a_closure_lies_and_where_now_is(
    boss: Client,
) -> None:
    # January 1, 2030 is a Tuesday; weeks begin on Sunday where English is spoken so.
    planned(NOON + HOUR, NOON + 3 * HOUR)
    html = shown(boss)
    assert bars(html) == [("planned", (2 * 24 + 13) * 60, 120)]
    assert f'class="backsoon-now" x1="{(2 * 24 + 12) * 60}"' in html


def test_touching_closures_are_one_span_with_the_end_that_is_true(boss: Client) -> None:
    first = planned(NOON + HOUR, NOON + 2 * HOUR)
    second = planned(NOON + 2 * HOUR, NOON + 5 * HOUR)
    html = shown(boss)
    (bar,) = bars(html)
    assert bar[2] == 4 * 60
    said = section(html, "planned")
    assert "One closure for visitors: Tue Jan. 1, 2030, 1 p.m.–5 p.m. UTC" in said
    assert f"#{first.number}" in said
    assert f"#{second.number}" in said


def test_a_cancelled_closure_is_no_part_of_a_span(boss: Client) -> None:
    planned(NOON + HOUR, NOON + 2 * HOUR)
    services.cancel(planned(NOON + 2 * HOUR, NOON + 5 * HOUR).uid)
    assert "One closure" not in read(shown(boss))


def test_what_is_over_leads_to_its_report_and_what_is_to_come_does_not(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, coming = planned(NOON + HOUR, NOON + 2 * HOUR), planned(NOON + 9 * HOUR, NOON + 10 * HOUR)
    stop_the_clock(monkeypatch, NOON + 3 * HOUR)

    html = shown(boss)

    assert f"/admin/settings/report/?window={coming.number}" not in html
    (address,) = re.findall(r'href="(/admin/settings/report/\?window=\d+)"', html)
    assert address.endswith(f"={over.number}")
    assert boss.get(address).status_code == 200


def test_planned_and_real_times_stand_side_by_side_where_they_differ(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = planned(NOON + HOUR, NOON + 3 * HOUR)
    stop_the_clock(monkeypatch, NOON + 2 * HOUR)
    services.cancel(window.uid)
    said = section(shown(boss), "over")
    assert "1 p.m.–2 p.m. UTC · 1 hour" in said
    assert "It was planned for: Tue Jan. 1, 2030, 1 p.m.–3 p.m. UTC" in said


def test_one_without_an_end_says_so_and_is_drawn_no_farther_than_one_can_see(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(NOON + HOUR)
    html = shown(boss)
    assert "until somebody opens" in section(html, "planned")
    assert bars(html) == [("planned", (2 * 24 + 13) * 60, 11 * 60)]
    assert "#" not in section(shown(boss, "2030-03"), "planned")
    stop_the_clock(monkeypatch, NOON + 40 * DAY)
    assert section(shown(boss), "running")
    assert [condition for condition, _x, _width in bars(shown(boss))] == ["running"] * 3


def test_months_follow_one_another_and_a_month_that_is_none_is_the_present_one(
    boss: Client,
) -> None:
    html = shown(boss, "2029-12")
    assert 'href="?month=2029-11"' in html
    assert 'href="?month=2030-01"' in html
    for wrong in ("2030-13", "soon", "0000-01", "9999-12", "٢٠٣٠-٠١", "2030-1"):
        assert "January 2030" in read(shown(boss, wrong)), wrong
    assert 'rel="prev"' not in shown(boss, "1970-01")
    assert 'rel="next"' not in shown(boss, "9000-12")


def test_a_month_names_the_next_closure_that_it_does_not_show(boss: Client) -> None:
    window = planned(NOON + 100 * DAY, NOON + 101 * DAY)
    said = read(shown(boss))
    assert "Nothing is planned in January 2030." in said
    assert f"The next planned closure after that: #{window.number}" in said


def test_times_are_those_of_the_operators_zone_with_utc_in_their_title(boss: Client) -> None:
    planned(NOON + HOUR, NOON + 3 * HOUR)
    with timezone.override(ZoneInfo("Asia/Tokyo")):
        html = shown(boss)
    assert "Tue Jan. 1, 2030, 10 p.m. – Wed Jan. 2, 2030, midnight JST" in section(html, "planned")
    assert 'title="2030-01-01 13:00:00 UTC"' in html


def test_many_closures_are_shown_by_few_queries_and_the_rest_is_counted(
    boss: Client, django_assert_max_num_queries: Any
) -> None:
    Row.objects.bulk_create(
        Row(
            starts_at=NOON + n * HOUR,
            ends_at=NOON + (n + 0.5) * HOUR,
            planned_start=NOON + n * HOUR,
            created_at=NOON,
        )
        for n in range(320)
    )
    with django_assert_max_num_queries(14):
        html = shown(boss)
    assert html.count('class="backsoon-closure"') == 300
    assert "20 more closures are not shown." in read(html)


# -- How one gets there ------------------------------------------------------------------------


def test_card_settings_and_lists_lead_there_for_who_may_change(boss: Client) -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR)
    card = boss.get("/admin/").content.decode()
    assert f'href="{URL}"' in card
    assert f'href="{URL}plan/"' in card
    assert f'href="{URL}{window.number}/"' in card
    assert 'href="/admin/backsoon/window/"' in card
    assert boss.get("/admin/backsoon/window/")["Location"] == URL
    assert f'href="{URL}"' in boss.get("/admin/settings/").content.decode()


def test_the_card_of_a_planned_closure_that_goes_on_ends_it_or_makes_it_longer(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = planned(NOON + HOUR, NOON + 2 * HOUR)
    stop_the_clock(monkeypatch, NOON + 1.5 * HOUR)
    html = boss.get("/admin/").content.decode()
    assert "opens by itself then" in html
    assert f'href="{URL}{window.number}/end/"' in html
    answer = boss.post(
        f"{URL}{window.number}/extend/", {"sequence": "0", "minutes": "30", "from": "card"}
    )
    assert answer["Location"] == "/admin/"
    assert services.current_state().until == NOON + 2.5 * HOUR


def test_who_may_only_look_is_offered_nothing_of_it(client: Client) -> None:
    planned(NOON + HOUR, NOON + 2 * HOUR)
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_change"))
    client.force_login(viewer)
    html = client.get("/admin/").content.decode()
    assert "Next planned closure" in html
    assert URL not in html
    assert "/admin/backsoon/window/" not in html


# -- By hand -----------------------------------------------------------------------------------


def test_closures_by_hand_stand_among_the_planned_ones(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Origin(name="ann")
    services.close_site(reason="disks", origin=ann)
    stop_the_clock(monkeypatch, NOON + HOUR)
    services.open_site(origin=ann)
    stop_the_clock(monkeypatch, NOON + 3 * HOUR)
    services.close_site(mode=Mode.READ_ONLY)
    stop_the_clock(monkeypatch, NOON + 5 * HOUR)
    html = shown(boss)
    assert "noon–1 p.m. UTC · 1 hour" in section(html, "over")
    assert "by hand" in section(html, "over")
    assert "disks · closed by ann" in section(html, "over")
    assert "3 p.m. UTC until somebody opens" in section(html, "running")
    assert "read-only" in section(html, "running")
    assert [(condition, width) for condition, _x, width in bars(html)] == [
        ("over", 60),
        ("running", 120),
    ]


def test_a_timer_that_opened_the_site_is_the_end_though_nobody_wrote_it_down(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.close_site(until=NOON + 2 * HOUR, open_at_end=True)
    assert "noon–2 p.m. UTC" in section(shown(boss), "running")
    stop_the_clock(monkeypatch, NOON + 5 * HOUR)
    assert "noon–2 p.m. UTC" in section(shown(boss), "over")
    services.close_site()
    html = shown(boss)
    assert "noon–2 p.m. UTC" in section(html, "over")
    assert "5 p.m. UTC until somebody opens" in section(html, "running")


def test_an_end_that_nobody_wrote_down_is_not_made_up() -> None:
    def row(hours: int, action: str, before: str, after: str) -> Change:
        at = NOON + hours * HOUR
        return Change(at=at, action=action, before={"mode": before}, after={"mode": after})

    changes = [
        row(0, "closed", "open", "closed"),
        row(2, "closed", "open", "closed"),  # opened in between, behind our back
        row(3, "closed", "closed", "read_only"),
        row(4, "opened", "read_only", "open"),
        row(5, "opened", "open", "open"),
        Change(at=NOON + 6 * HOUR, action="settings", before=[], after=["broken"]),
        row(7, "noticed", "open", "closed"),
    ]
    found = [(each.starts_at, each.ends_at, each.mode) for each in told(changes)]
    assert found == [
        (NOON, None, "closed"),
        (NOON + 2 * HOUR, NOON + 3 * HOUR, "closed"),
        (NOON + 3 * HOUR, NOON + 4 * HOUR, "read_only"),
        (NOON + 7 * HOUR, None, "closed"),
    ]
