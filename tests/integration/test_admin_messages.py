"""Messages in the admin: who was told, what failed, and the mails as they are read."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.test import Client

from backsoon import services
from backsoon.announce import delivering
from backsoon.models import Delivery

from .outbox import people, soon, states, telling

pytestmark = pytest.mark.django_db

LIST = "/admin/backsoon/delivery/"
MAILS = "/admin/settings/mails/"


@pytest.fixture
def boss(client: Client, root: User) -> Client:
    root.email = "root@example.com"
    root.save()
    client.force_login(root)
    return client


@pytest.fixture
def told() -> Any:
    """One message was given up, one failed, one was sent."""
    with telling(AUDIENCE=people):
        services.schedule(soon(hours=30), soon(hours=31))
        delivering.run()
        Delivery.objects.filter(address__startswith="anna").update(
            state="given_up", last_error="550 <b>no</b>"
        )
        Delivery.objects.filter(address__startswith="zoe").update(
            state="failed", next_attempt_at=soon(hours=1)
        )
        yield


def test_the_list_says_who_was_told_what_and_what_failed(boss: Client, told: Any) -> None:
    text = boss.get(LIST).content.decode()
    assert "anna@example.com" in text
    assert "550 &lt;b&gt;no&lt;/b&gt;" in text
    assert "given up" in text
    assert "Try again" in text
    only = boss.get(LIST, {"state__exact": "given_up", "moment": "announced"}).content.decode()
    assert "anna@example.com" in only
    assert "ops@example.com" not in only
    assert boss.get(f"{LIST}{Delivery.objects.all()[0].pk}/change/").status_code == 200


def test_what_failed_can_be_tried_again_and_what_was_sent_cannot(boss: Client, told: Any) -> None:
    keys = list(Delivery.objects.values_list("pk", flat=True))
    answer = boss.post(LIST, {"action": "try_again", "_selected_action": keys}, follow=True)
    assert "2 messages are tried again" in answer.content.decode()
    assert sorted(states().values()) == ["pending", "pending", "sent"]
    assert delivering.run().sent == 2


def test_before_anybody_was_told_the_page_says_what_it_takes(boss: Client) -> None:
    html = boss.get(LIST).content.decode()

    assert "Nobody has been told of a closure yet." in html
    assert "AUDIENCE, OPERATORS" in html
    assert 'name="q"' not in html


def test_a_search_without_a_hit_is_no_empty_table(boss: Client, told: Any) -> None:
    html = boss.get(LIST, {"q": "nobody"}).content.decode()

    assert "Nobody has been told" not in html
    assert 'name="q"' in html


def test_an_address_that_was_forgotten_is_said_to_be_so(boss: Client, told: Any) -> None:
    Delivery.objects.filter(address__startswith="anna").update(address="#" + 32 * "a")
    assert "deleted after the mail" in boss.get(LIST).content.decode()


def test_the_mails_lead_back_to_the_messages(boss: Client) -> None:
    crumbs = boss.get(MAILS).content.decode().partition("breadcrumbs")[2].partition("Mails")[0]
    assert f'href="{LIST}"' in crumbs


def test_addresses_are_not_for_everybody_in_the_admin(client: Client, told: Any) -> None:
    helper = User.objects.create_user("helper", is_staff=True)
    helper.user_permissions.add(Permission.objects.get(codename="view_change"))
    client.force_login(helper)
    assert client.get(LIST).status_code == 403
    assert client.get(MAILS).status_code == 403
    assert client.post(MAILS).status_code == 403


def test_nobody_deletes_or_adds_a_message(boss: Client, told: Any) -> None:
    assert boss.get(f"{LIST}add/").status_code == 403
    key = Delivery.objects.all()[0].pk
    assert boss.post(f"{LIST}{key}/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in boss.get(LIST).content.decode()


@pytest.mark.parametrize("language", ["en", "fr"])
def test_each_mail_can_be_looked_at(boss: Client, language: str) -> None:
    page = boss.get(MAILS, {"moment": "reminder", "language": language}).content.decode()
    assert f'lang="{language}"' in page
    assert "{{" not in page
    assert boss.get(MAILS, {"moment": "nonsense", "language": "xx"}).status_code == 200


def test_one_can_send_oneself_a_test(boss: Client) -> None:
    page = boss.post(f"{MAILS}?moment=ended&language=en", follow=True).content.decode()
    assert "The test was sent to root@example.com." in page
    (message,) = mail.outbox
    assert message.to == ["root@example.com"]
    assert "open again" in message.body
    assert not Delivery.objects.exists()


def test_a_mail_server_that_is_down_is_said(boss: Client, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    page = boss.post(MAILS, follow=True).content.decode()
    assert "The test was not sent" in page


def test_a_template_that_is_broken_is_said(boss: Client, settings: Any, tmp_path: Any) -> None:
    place = tmp_path / "backsoon" / "mail"
    place.mkdir(parents=True)
    (place / "ended.txt").write_text("{% nonsense %}", encoding="utf-8")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    page = boss.get(MAILS, {"moment": "ended"}).content.decode()
    assert "This mail cannot be made" in page
