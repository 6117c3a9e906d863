"""The history in the admin: everything to read, nothing to write."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from backsoon import services
from backsoon.admin.history import differences
from backsoon.models import Change
from backsoon.snapshots import Entry

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db

LIST = "/admin/backsoon/change/"


@pytest.fixture
def boss(client: Client, root: User) -> Client:
    client.force_login(root)
    return client


@pytest.fixture
def past(root: User) -> list[Change]:
    """A closure by a user, a setting by a script, a text with markup."""
    root_origin = services.Origin(user=root, channel="web")
    script = services.Origin(name="deploy@web1", channel="command")
    services.close_site(
        origin=root_origin,
        reason="New disks",
        until=dt.datetime(2100, 1, 1, 12, tzinfo=dt.UTC),
    )
    services.save_settings({"maintenance_button_text": Entry("Old", {"fr": "Vieux"})})
    services.save_settings({"maintenance_title": Entry("<script>alert(1)</script>")}, origin=script)
    return list(Change.objects.all())


def page(client: Client, query: str = "") -> str:
    response = client.get(f"{LIST}{query}")
    assert response.status_code == 200
    return response.content.decode()


def test_it_says_who_what_when_from_where_why_and_what_became_of_it(
    boss: Client, past: list[Change]
) -> None:
    html = page(boss)

    for text in ("root", "closed", "New disks", "deploy@web1", "command line", "open → closed"):
        assert text in html
    assert "Maintenance button text (French): (empty) → Vieux" in html
    assert "Jan. 1, 2100" in html
    assert html.count("<time datetime=") >= 3


def test_it_names_the_command_that_the_site_was_closed_for(boss: Client) -> None:
    run = {"command": "migrate.sh", "ended": "2030-01-01T12:00:00+00:00", "exit_code": 7}
    closed = services.close_site(run={"command": "migrate.sh"})
    services.record_run(run, origin=services.CODE, expected=closed.mark)
    html = page(boss)
    assert "Command: (empty) → migrate.sh" in html
    assert "Command: migrate.sh → ended with exit code 7: migrate.sh" in html


def test_what_was_typed_is_never_markup(boss: Client, past: list[Change]) -> None:
    html = page(boss) + boss.get(f"{LIST}{past[0].pk}/change/").content.decode()

    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert") >= 2


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?action__exact=closed", 1),
        ("?channel__exact=command", 1),
        ("?who=%3Droot", 1),
        ("?who=%3D", 1),
        ("?q=disks", 1),
        ("?q=deploy", 1),
        ("?q=nothing", 0),
        ("?who=nonsense", 0),
    ],
)
def test_it_can_be_filtered_and_searched(
    boss: Client, past: list[Change], query: str, expected: int
) -> None:
    assert page(boss, query).count('class="backsoon-action"') == expected


def test_the_detail_shows_old_and_new_in_full(boss: Client) -> None:
    long = "A long text. " * 100
    services.save_settings({"maintenance_message": Entry(long)})
    html = boss.get(f"{LIST}{Change.objects.get().pk}/change/").content.decode()

    assert long.strip() in html
    assert "We are carrying out maintenance" in html
    assert "<form" in html  # the admin's own frame, with nothing to send:
    assert 'name="_save"' not in html
    assert "deletelink" not in html


def test_nobody_can_add_change_or_delete(boss: Client, past: list[Change]) -> None:
    pk = past[0].pk

    assert boss.get(f"{LIST}add/").status_code == 403
    assert boss.post(f"{LIST}{pk}/change/", {"reason": "other"}).status_code == 403
    assert boss.post(f"{LIST}{pk}/delete/", {"post": "yes"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": str(pk)}
    boss.post(LIST, action)
    assert Change.objects.count() == len(past)
    assert not Change.objects.filter(reason="other").exists()


def test_it_is_read_by_those_who_may_change_or_view(
    client: Client, bob: User, past: list[Change]
) -> None:
    bob.is_staff = True
    bob.save()
    client.force_login(bob)
    assert client.get(LIST).status_code == 403
    assert LIST not in client.get("/admin/").content.decode()

    for codename in ("view_change", "change_maintenance"):
        permission = Permission.objects.get(codename=codename)
        bob.user_permissions.set([permission])
        services.open_site()
        assert client.get(LIST).status_code == 200
        assert LIST in client.get("/admin/").content.decode()


def test_it_survives_the_user_who_did_it(boss: Client, bob: User) -> None:
    services.close_site(origin=services.Origin(user=bob))
    services.open_site()
    bob.delete()

    assert "</span>bob<" in page(boss)


@pytest.mark.parametrize("junk", [None, [], "text", 3, {"mode": ["x"]}, {"mode": {"a": 1}}])
def test_rows_broken_by_hand_are_shown_all_the_same(boss: Client, junk: object) -> None:
    change = Change(
        at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), channel="?", action="?", after=junk or {}
    )
    change.before = {"maintenance_ends_at": "tomorrow", "made": ["maintenance_url", 7]}
    change.save()

    assert page(boss)
    assert boss.get(f"{LIST}{change.pk}/change/").status_code == 200
    assert ("Settings made", "Maintenance URL, 7", "(empty)") in differences(change)
