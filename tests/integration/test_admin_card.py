"""The card on the index, the bar on other pages, and the question before the switch."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import Client, override_settings

from backsoon import services, store
from backsoon.admin import status
from backsoon.core.vocabulary import Mode, State, Why
from backsoon.exceptions import StoreUnavailableError
from backsoon.models import Change, SystemSetting
from backsoon.snapshots import Snapshot
from backsoon.testing import override_maintenance

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db

CONFIRM = "/admin/settings/maintenance/"
SOON = dt.datetime(2100, 1, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def boss(client: Client, root: User) -> Client:
    client.force_login(root)
    return client


@pytest.fixture
def staff(bob: User) -> User:
    bob.is_staff = True
    bob.save()
    return bob


def text_of(client: Client, url: str = "/admin/", **kwargs: Any) -> str:
    response = client.get(url, **kwargs)
    assert response.status_code == 200
    return response.content.decode()


# -- The card ----------------------------------------------------------------------------------


def test_the_card_says_that_the_system_is_online(boss: Client) -> None:
    html = text_of(boss)

    assert "System is Online" in html
    assert "Enable Maintenance" in html
    assert html.count("data-backsoon-bar") == 1
    assert f'action="{CONFIRM}"' in html


def test_the_card_says_since_when_by_whom_why_and_until_when(boss: Client, root: User) -> None:
    services.close_site(origin=services.Origin(user=root), reason="New disks", until=SOON)
    html = text_of(boss)

    assert "Maintenance Mode is Active" in html
    assert "Disable Maintenance" in html
    assert "New disks" in html
    assert ">root<" in html
    assert 'datetime="2100-01-01T12:00:00Z"' in html
    assert 'title="2100-01-01 12:00:00 UTC"' in html
    assert "noon UTC, in " in html  # with its zone, which is not everybody's


def test_the_card_is_right_even_when_this_process_has_not_noticed_yet(boss: Client) -> None:
    services.close_site()
    with override_maintenance("open"):
        assert "Maintenance Mode is Active" in text_of(boss)


def test_the_card_tells_read_only_apart(boss: Client) -> None:
    services.close_site(mode=Mode.READ_ONLY)

    assert "Maintenance Mode is Active (read-only)" in text_of(boss)


def test_the_card_raises_an_alarm_when_the_end_has_passed(boss: Client) -> None:
    services.close_site(until=SOON)
    assert "The expected end has passed" not in text_of(boss)
    SystemSetting.objects.filter(key="maintenance_ends_at").update(
        value="2020-01-01T00:00:00+00:00"
    )

    assert "The expected end has passed" in text_of(boss)


def test_the_card_names_values_that_cannot_be_used(boss: Client) -> None:
    services.init_defaults()
    SystemSetting.objects.filter(key="maintenance_url").update(value="javascript:alert(1)")
    html = text_of(boss)

    assert "1 stored value cannot be used" in html
    assert "javascript:alert" not in html


def test_what_operators_typed_is_never_markup(boss: Client) -> None:
    evil = '<script>alert("x")</script>'
    services.close_site(origin=services.Origin(name=evil), reason=evil)
    html = text_of(boss)

    assert evil not in html
    assert html.count("&lt;script&gt;") == 2


def test_only_those_who_may_switch_get_buttons(client: Client, staff: User, support: User) -> None:
    services.close_site(reason="secret plans")
    support.is_staff = True
    support.save()

    client.force_login(support)
    seen_by_administrator = text_of(client)
    services.open_site()
    client.force_login(staff)
    seen_by_staff = text_of(client)

    for html in (seen_by_administrator, seen_by_staff):
        assert "data-backsoon-bar" in html
        assert "Disable Maintenance" not in html
        assert "Enable Maintenance" not in html
        assert "/admin/settings/?" not in html
    assert "Maintenance Mode is Active" in seen_by_administrator
    assert "secret plans" in seen_by_administrator
    assert "System is Online" in seen_by_staff
    assert "/admin/settings/preview/" not in seen_by_staff


def test_staff_read_the_state_but_not_who_and_why(staff: User) -> None:
    services.close_site(origin=services.Origin(name="deploy@web1"), reason="secret plans")
    shown = status.context(status.read(), staff)

    assert shown["mode"] == "closed"
    assert (shown["by"], shown["reason"], shown["can_switch"]) == ("", "", False)


def test_the_card_survives_a_database_that_is_away(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Snapshot:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(store, "load", fail)
    html = text_of(boss)

    assert "what was last known" in html
    assert "System is Online" in html


def test_a_fault_in_the_card_leaves_the_admin_alone(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> dict[str, Any]:
        raise RuntimeError("broken")

    monkeypatch.setattr(status, "context", fail)

    assert "Site administration" in text_of(boss)


def test_without_our_addresses_the_card_shows_the_state_without_links(boss: Client) -> None:
    with override_settings(ROOT_URLCONF="tests.integration.urls_without_ours"):
        html = text_of(boss)

    assert "System is Online" in html
    assert "Enable Maintenance" not in html


def test_every_admin_site_of_a_project_has_the_card(boss: Client) -> None:
    with override_settings(ROOT_URLCONF="tests.integration.urls_without_ours"):
        assert text_of(boss, "/second/").count("data-backsoon-bar") == 1


def test_the_login_page_has_no_card(client: Client) -> None:
    assert "data-backsoon-bar" not in text_of(client, "/admin/login/")


def test_the_card_has_no_inline_script_or_style(boss: Client) -> None:
    html = render_to_string("backsoon/admin/card.html", {"mode": "open", "can_switch": True})

    assert "<style" not in html
    assert " style=" not in html
    assert " onclick" not in html
    assert "<script src=" in html
    assert html.count("<script") == 1


def test_the_card_tells_of_the_next_planned_closure(boss: Client) -> None:
    now = store.utc_now()
    hour, day = dt.timedelta(hours=1), dt.timedelta(days=1)
    services.schedule(now + 8 * day)
    assert "Next planned closure" not in text_of(boss)
    services.schedule(now + 2 * day, now + 2 * day + hour, mode=Mode.READ_ONLY)
    services.schedule(now + day, now + day + hour)
    assert told_of_the_plan(text_of(boss)) == iso(now + day, now + day + hour)
    services.close_site()
    assert told_of_the_plan(text_of(boss)) == iso(now + day, now + day + hour)


def test_the_card_says_what_kind_of_closure_is_planned_and_that_it_has_no_end(boss: Client) -> None:
    services.schedule(store.utc_now() + dt.timedelta(hours=2), mode=Mode.READ_ONLY)
    html = text_of(boss).partition("Next planned closure")[2].partition("</div>")[0]
    assert "until somebody opens (read-only)" in html


def told_of_the_plan(html: str) -> list[str]:
    """The moments in the line of the card."""
    line = html.partition("<dt>Next planned closure</dt>")[2].partition("</div>")[0]
    return re.findall(r'datetime="([^"]+)"', line)


def iso(*moments: dt.datetime) -> list[str]:
    return [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in moments]


# -- The bar -----------------------------------------------------------------------------------


def test_other_pages_have_a_bar_while_closed_and_none_while_open(boss: Client) -> None:
    assert "data-backsoon-bar" not in text_of(boss, "/admin/auth/user/")
    with override_maintenance(since=SOON):
        html = text_of(boss, "/admin/auth/user/")

    assert html.count("data-backsoon-bar") == 1
    assert "Maintenance is active since <time" in html
    assert "visitors see the page" in html
    assert "Open again" in html


def test_the_bar_asks_no_database(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Snapshot:
        raise AssertionError("the bar must not read")

    text_of(boss)  # from here on the browser has its pass
    monkeypatch.setattr(store, "load", fail)
    with override_maintenance():
        assert "Open again" in text_of(boss, "/admin/auth/user/")


def test_pop_ups_have_no_bar(root: User) -> None:
    template = Template("{% load backsoon_admin %}{% backsoon_bar %}")
    with override_maintenance():
        for context in ({"is_popup": True, "has_permission": True}, {"has_permission": False}, {}):
            assert template.render(Context({"request": object(), **context})) == ""


@pytest.mark.parametrize("template", ["backsoon/badge.html", "backsoon/door_notice.html"])
def test_lines_for_other_pages_need_no_request(template: str) -> None:
    state = State(Mode.CLOSED, Why.SWITCH, since=SOON)
    html = render_to_string(
        template,
        {"state": state, "mode": "closed", "since": SOON, "late": False, "confirm_url": "/c/"},
    )

    assert "data-backsoon-bar" in html
    assert "backsoon/badge.css" in html
    assert "<script" not in html


@pytest.mark.parametrize("overdue", [True, False])
def test_the_badge_says_that_a_closure_has_lasted_too_long(*, overdue: bool) -> None:
    html = render_to_string("backsoon/badge.html", {"mode": "closed", "overdue": overdue})
    assert ("it has lasted too long" in html) is overdue


# -- The question before the switch ------------------------------------------------------------


def test_the_question_states_the_consequences_in_order(boss: Client) -> None:
    html = text_of(boss, CONFIRM)
    lines = ["maintenance page at once", "users are logged out", "Administrators keep working"]

    places = [html.index(line) for line in lines]
    assert places == sorted(places)


def test_without_javascript_the_site_can_be_closed_and_opened(boss: Client) -> None:
    closing = boss.post(
        CONFIRM,
        {"enabled": "true", "epoch": "0", "reason": "New disks", "ends_at": "2100-01-01T12:00"},
        follow=True,
    )
    state = services.current_state()
    opening = boss.post(CONFIRM, {"enabled": "false", "epoch": "1"}, follow=True)

    assert closing.redirect_chain == [("/admin/", 302)]
    assert "Maintenance mode enabled" in closing.content.decode()
    assert (state.mode, state.reason, state.until) == (Mode.CLOSED, "New disks", SOON)
    assert "Maintenance mode disabled" in opening.content.decode()
    assert services.current_state().is_open
    assert set(Change.objects.values_list("channel", flat=True)) == {"web"}


def test_logins_can_be_kept(boss: Client) -> None:
    boss.post(CONFIRM, {"enabled": "true", "keep_logins": "on"})

    assert services.current_state().mode is Mode.CLOSED
    assert store.load().policy.generation == 0


def test_an_end_in_the_past_is_an_error_at_its_field(boss: Client) -> None:
    response = boss.post(
        CONFIRM, {"enabled": "true", "reason": "New disks", "ends_at": "2020-01-01T12:00"}
    )
    html = response.content.decode()

    assert "must lie in the future" in html
    assert 'aria-invalid="true"' in html
    assert "New disks" in html
    assert services.current_state().is_open


def test_a_reason_that_is_too_long_is_not_cut(boss: Client) -> None:
    response = boss.post(CONFIRM, {"enabled": "true", "reason": "x" * 501})

    assert "x" * 501 in response.content.decode()
    assert services.current_state().is_open


def test_whoever_was_overtaken_is_told_and_loses_nothing(boss: Client, support: User) -> None:
    services.close_site(origin=services.Origin(user=support))
    services.open_site(origin=services.Origin(user=support))
    response = boss.post(CONFIRM, {"enabled": "true", "epoch": "0", "reason": "New disks"})
    html = response.content.decode()

    assert response.status_code == 409
    assert "support switched in the meantime" in html
    assert "New disks" in html
    assert 'name="epoch" value="2"' in html
    again = boss.post(CONFIRM, {"enabled": "true", "epoch": "2", "reason": "New disks"})
    assert again.status_code == 302


def test_a_database_that_is_away_loses_nothing(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**kwargs: Any) -> None:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(services, "close_site", fail)
    response = boss.post(CONFIRM, {"enabled": "true", "reason": "New disks"})

    assert response.status_code == 503
    assert "New disks" in response.content.decode()


def test_who_would_lock_themselves_out_is_warned(client: Client, staff: User) -> None:
    staff.user_permissions.add(Permission.objects.get(codename="change_maintenance"))
    client.force_login(staff)

    assert "You will be locked out yourself" in text_of(client, CONFIRM)


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_question_is_for_those_who_may_switch(client: Client, staff: User, method: str) -> None:
    anonymous = getattr(client, method)(CONFIRM)
    client.force_login(staff)
    refused = getattr(client, method)(CONFIRM)

    assert anonymous.status_code == 302
    assert anonymous["Location"].startswith("/admin/login/?next=")
    assert refused.status_code == 403
    assert services.current_state().is_open


@pytest.mark.parametrize("epoch", ["-1", "x", "9" * 30, "１", "0 or 1"])
def test_a_forged_epoch_does_no_harm(boss: Client, epoch: str) -> None:
    response = boss.post(CONFIRM, {"enabled": "true", "epoch": epoch})

    assert response.status_code == 302
