"""``POST /admin/settings/toggle-maintenance/``: every answer that it can give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from backsoon import services, store
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import StoreUnavailableError
from backsoon.models import Change
from backsoon.snapshots import Snapshot

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db

URL = "/admin/settings/toggle-maintenance/"


@pytest.fixture
def boss(client: Client, root: User) -> Client:
    client.force_login(root)
    return client


def send(client: Client, body: Any = None, **kwargs: Any) -> Any:
    text = b"" if body is None else json.dumps(body).encode()
    return client.post(URL, text, content_type="application/json", **kwargs)


def is_closed() -> bool:
    return services.current_state().mode is Mode.CLOSED


def test_it_answers_as_documented(boss: Client) -> None:
    on, off = send(boss), send(boss)

    assert on.json() == {
        "success": True,
        "maintenance_mode": True,
        "message": "Maintenance mode enabled",
    }
    assert off.json() == {
        "success": True,
        "maintenance_mode": False,
        "message": "Maintenance mode disabled",
    }
    assert on["Content-Type"] == "application/json"
    assert "no-store" in on["Cache-Control"]


@pytest.mark.parametrize("enabled", [True, False])
def test_with_a_state_it_can_be_repeated(boss: Client, *, enabled: bool) -> None:
    answers = [send(boss, {"enabled": enabled}) for _ in range(3)]

    assert [answer.json()["maintenance_mode"] for answer in answers] == [enabled] * 3
    assert is_closed() is enabled
    assert Change.objects.count() == int(enabled)


@pytest.mark.parametrize("body", [{}, None])
def test_without_a_state_it_flips(boss: Client, body: Any) -> None:
    send(boss, body)
    assert is_closed()
    send(boss, body)
    assert not is_closed()


def test_a_form_without_a_state_flips(boss: Client) -> None:
    assert boss.post(URL, {"csrfmiddlewaretoken": "x"}).json()["maintenance_mode"] is True
    assert boss.post(URL).json()["maintenance_mode"] is False


def test_a_form_that_misspells_the_state_switches_nothing(boss: Client) -> None:
    services.close_site()
    assert boss.post(URL, {"enable": "true"}).status_code == 400
    assert is_closed()


def test_a_form_may_name_the_state(boss: Client) -> None:
    assert boss.post(URL, {"enabled": "false"}).json()["maintenance_mode"] is False
    assert boss.post(URL, {"enabled": "maybe"}).status_code == 400
    assert not is_closed()


def test_an_outdated_page_opens_no_later_closure(boss: Client) -> None:
    seen = services.close_site().mark.epoch
    services.open_site()
    services.close_site(reason="a colleague's")

    for response in (
        send(boss, {"enabled": False, "epoch": seen}),
        boss.post(URL, {"enabled": "false", "epoch": str(seen)}),
        send(boss, {"epoch": seen}),
    ):
        assert response.status_code == 409
        assert response.json()["success"] is False
    assert is_closed()


@pytest.mark.parametrize("kind", ["json", "form", "form without a state"])
def test_a_page_that_is_up_to_date_switches(boss: Client, kind: str) -> None:
    seen = services.close_site().mark.epoch
    if kind == "json":
        response = send(boss, {"enabled": False, "epoch": seen})
    else:
        state = {"enabled": "false"} if kind == "form" else {}
        response = boss.post(URL, {"epoch": str(seen), **state})
    assert response.status_code == 200
    assert not is_closed()


@pytest.mark.parametrize("epoch", ["-1", "x", "", "9" * 30, "１", "true"])
def test_a_form_with_a_number_that_is_none_switches_nothing(boss: Client, epoch: str) -> None:
    response = boss.post(URL, {"enabled": "true", "epoch": epoch})
    assert response.status_code == 400
    assert "“epoch” must be a whole number" in response.json()["message"]
    assert not is_closed()


def test_the_dialog_knows_the_switch_that_its_page_shows(boss: Client) -> None:
    epoch = services.close_site().mark.epoch
    for page in ("/admin/", "/admin/settings/progress/"):
        assert f'data-epoch="{epoch}"' in boss.get(page).content.decode()


def test_json_sent_as_a_form_is_still_read_as_json(boss: Client) -> None:
    kind = "application/x-www-form-urlencoded"
    for _ in range(2):
        response = boss.post(URL, '{"enabled": true}', content_type=kind)
        assert response.json()["maintenance_mode"] is True


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b"true",
        b'"on"',
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"enabled": 1}',
        b'{"enabled": 0}',
        b'{"enabled": "true"}',
        b'{"enabled": null}',
        b'{"enabled": []}',
        b'{"enable": true}',
        b'{"enabled": true, "epoche": 0}',
        b'{"enabled": true, "epoch": true}',
        b'{"enabled": true, "epoch": null}',
        b'{"enabled": true, "epoch": -1}',
        b'{"enabled": true, "epoch": 0.0}',
        b'{"enabled": true, "epoch": "0"}',
        b'{"enabled": true, "epoch": 1000000000000000000}',
        b'{"epoch": []}',
        b"1" * 10_000,
    ],
)
def test_a_body_that_says_nothing_clear_changes_nothing(boss: Client, text: bytes) -> None:
    response = boss.post(URL, text, content_type="application/json")

    assert response.status_code == 400
    assert response.json()["success"] is False
    assert response.json()["message"]
    assert not Change.objects.exists()


def test_a_huge_body_is_refused(boss: Client) -> None:
    response = boss.post(URL, b" " * 3_000_000, content_type="application/json")

    assert response.status_code == 400
    assert not is_closed()


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_other_methods_are_refused_in_json(boss: Client, method: str) -> None:
    response = getattr(boss, method)(URL)

    assert response.status_code == 405
    assert response["Allow"] == "POST"
    assert response["Content-Type"] == "application/json"
    assert not is_closed()


def test_visitors_and_users_without_the_permission_are_refused(
    client: Client, bob: User, support: User
) -> None:
    answers = [send(client)]
    bob.is_staff = True
    bob.save()
    for user in (bob, support):
        client.force_login(user)
        answers.append(send(client))

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert all(answer.json()["success"] is False for answer in answers)
    assert not is_closed()


def test_the_permission_is_enough(client: Client, bob: User) -> None:
    bob.user_permissions.add(Permission.objects.get(codename="change_maintenance"))
    client.force_login(bob)

    assert send(client).status_code == 200


def test_an_inactive_superuser_is_refused(boss: Client, root: User) -> None:
    root.is_active = False
    root.save()

    assert send(boss).status_code == 403


@pytest.mark.parametrize("logged_in", [True, False])
def test_without_a_csrf_token_nothing_happens(root: User, *, logged_in: bool) -> None:
    client = Client(enforce_csrf_checks=True)
    if logged_in:
        client.force_login(root)

    response = send(client, {"enabled": True})

    assert response.status_code == 403
    assert "CSRF" in response.json()["message"]
    assert not is_closed()


def test_a_token_in_the_header_is_taken(root: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(root)
    client.get("/admin/")
    token = client.cookies["csrftoken"].value

    assert send(client, headers={"X-CSRFToken": token}).status_code == 200


def test_of_two_who_flip_at_once_the_second_is_told(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, readings = store.load, []

    def load_and_be_overtaken() -> Snapshot:
        snapshot = load()
        readings.append(snapshot)
        if len(readings) == 1:
            services.close_site(reason="faster")
        return snapshot

    monkeypatch.setattr(store, "load", load_and_be_overtaken)
    response = send(boss)

    assert response.status_code == 409
    assert response.json()["success"] is False
    assert is_closed()


def test_a_database_that_is_away_is_told_as_503(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**kwargs: Any) -> None:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(services, "close_site", fail)
    response = send(boss, {"enabled": True})

    assert response.status_code == 503
    assert response.json()["success"] is False


def test_the_history_tells_the_dialog_from_a_script(boss: Client) -> None:
    send(boss)
    send(boss, headers={"X-Requested-With": "XMLHttpRequest"})

    assert list(Change.objects.values_list("channel", "actor_name")) == [
        ("web", "root"),
        ("api", "root"),
    ]
