"""Each receiver is told once per moment, whatever fails in between."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import smtplib
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend as Locmem

from backsoon import processes, services, store
from backsoon.announce import claims, delivering, letters, receivers, webhooks
from backsoon.announce.claims import NotSentError
from backsoon.core.telling import Moment
from backsoon.core.vocabulary import Words
from backsoon.models import Announcement, Delivery, Unsubscribed

from .outbox import moments, people, soon, states, telling

pytestmark = pytest.mark.django_db

PEOPLE = f"{people.__module__}.people"


@pytest.fixture(autouse=True)
def _customers() -> Any:
    with telling(AUDIENCE=PEOPLE):
        yield


def planned(**values: Any) -> str:
    return services.schedule(soon(hours=30), soon(hours=31), **values).windows[0].uid


def by_address() -> dict[str, Any]:
    return {message.to[0]: message for message in mail.outbox}


# -- Who is told -------------------------------------------------------------------------------


def test_customers_and_operators_are_told_of_a_plan_in_their_language() -> None:
    planned(words={"": Words("", "New disks"), "fr": Words("", "Nouveaux disques")})
    report = delivering.run()
    assert (report.sent, report.receivers, report.waiting) == (3, 3, 0)
    told = by_address()
    assert set(told) == {"anna@example.com", "zoe@example.com", "ops@example.com"}
    assert "New disks" in told["anna@example.com"].body
    assert "Nouveaux disques" in told["zoe@example.com"].body


def test_nobody_is_told_twice_however_often_it_is_delivered() -> None:
    planned()
    for _round in range(3):
        delivering.run()
    assert len(mail.outbox) == 3


def test_who_stands_in_two_lists_gets_one_mail() -> None:
    with telling(AUDIENCE=PEOPLE, OPERATORS=["anna@EXAMPLE.com"]):
        planned()
        delivering.run()
    assert [message.to for message in mail.outbox].count(["anna@example.com"]) == 1


def test_customers_are_not_told_of_closures_by_hand_unless_the_settings_say_so() -> None:
    services.close_site()
    delivering.run()
    assert set(by_address()) == {"ops@example.com"}
    with telling(AUDIENCE=PEOPLE, TELL_UNPLANNED=["audience"]):
        services.open_site()
        delivering.run()
    assert len(mail.outbox) == 3
    assert len(by_address()) == 3


def test_moments_can_be_chosen_for_each_list() -> None:
    with telling(AUDIENCE=PEOPLE, TELL={"audience": ["cancelled"], "operators": []}):
        uid = planned()
        delivering.run()
        assert mail.outbox == []
        services.cancel(uid)
        delivering.run()
    assert set(by_address()) == {"anna@example.com", "zoe@example.com"}


def test_a_closure_without_notice_is_announced_to_operators_alone() -> None:
    planned(notice=dt.timedelta(0))
    delivering.run()
    assert set(by_address()) == {"ops@example.com"}


def test_a_list_of_users_is_read_with_their_own_language() -> None:
    User.objects.create_user("anna", "anna@example.com")
    User.objects.create_user("nobody", "")
    User.objects.create_user("wrong", "no address")
    with telling(AUDIENCE=lambda: User.objects.all(), LANGUAGE_OF=lambda user: "fr"):
        planned()
        delivering.run()
    assert Delivery.objects.get(address="anna@example.com").language == "fr"
    assert set(by_address()) == {"anna@example.com", "ops@example.com"}


def test_a_list_that_fails_keeps_nobody_else_from_being_told_and_is_read_again() -> None:
    calls = []

    def audience() -> Any:
        calls.append(1)
        yield from people()
        if len(calls) == 1:
            raise RuntimeError("the table of customers is being moved")

    with telling(AUDIENCE=audience):
        planned()
        report = delivering.run()
        assert "is being moved" in next(iter(report.unaddressed.values()))
        assert set(by_address()) == {"ops@example.com"}  # not one batch was whole
        report = delivering.run(clock=lambda: soon(minutes=5))
    assert report.is_clean
    assert len(mail.outbox) == len(by_address()) == 3


# -- When it fails -----------------------------------------------------------------------------


class Fussy(Locmem):
    """Refuses some for now and others for good."""

    answers: dict[str, Any] = {}

    def send_messages(self, messages: Any) -> int:
        (message,) = messages
        answer = self.answers.get(message.to[0])
        if answer is not None:
            raise answer
        return super().send_messages(messages)


@pytest.fixture
def fussy(settings: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    settings.EMAIL_BACKEND = f"{Fussy.__module__}.Fussy"
    answers: dict[str, Any] = {}
    monkeypatch.setattr(Fussy, "answers", answers)
    return answers


def refused(code: int) -> smtplib.SMTPRecipientsRefused:
    return smtplib.SMTPRecipientsRefused({"anna@example.com": (code, b"no\r\nBcc: x")})


def test_one_address_that_is_refused_for_good_is_given_up_at_once(fussy: dict[str, Any]) -> None:
    fussy["anna@example.com"] = refused(550)
    planned()
    report = delivering.run()
    assert (report.sent, report.failed, report.given_up) == (2, 0, 1)
    row = Delivery.objects.get(address="anna@example.com")
    assert (row.state, row.last_error) == ("given_up", "550 no Bcc: x")


def test_one_that_is_refused_for_now_is_tried_again_after_a_while(fussy: dict[str, Any]) -> None:
    fussy["anna@example.com"] = refused(451)
    planned()
    assert delivering.run().failed == 1
    assert delivering.run().failed == 0  # not yet
    fussy.clear()
    report = delivering.run(clock=lambda: soon(minutes=2))
    assert (report.sent, report.waiting) == (1, 0)
    assert set(states().values()) == {"sent"}


def test_after_eight_attempts_it_is_given_up_and_can_be_tried_again(
    fussy: dict[str, Any],
) -> None:
    fussy["anna@example.com"] = refused(451)
    with telling(AUDIENCE=PEOPLE, REMINDERS=[]):
        planned()
        for attempt in range(claims.ATTEMPTS):
            later = soon(hours=3 * attempt)
            delivering.run(clock=lambda later=later: later)  # type: ignore[misc]
    assert states()["anna@example.com"] == "given_up"
    fussy.clear()
    assert claims.try_again(Delivery.objects.all(), store.utc_now()) == 1
    delivering.run()
    assert states()["anna@example.com"] == "sent"


def test_pauses_double_and_vary() -> None:
    lengths = [claims.pause(n).total_seconds() / 60 for n in (1, 2, 3, 20)]
    for length, expected in zip(lengths, (1, 2, 4, 360), strict=True):
        assert 0.8 * expected <= length <= 1.2 * expected


def test_a_server_that_is_down_is_blamed_on_nobody(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMAIL_BACKEND = f"{Fussy.__module__}.Fussy"

    def refuse(self: Any) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(Fussy, "open", refuse)
    with telling(AUDIENCE=PEOPLE, APPRISE=[]):
        planned()
        report = delivering.run()
    assert "Connection refused" in report.down["mail"]
    assert set(states().values()) == {"pending"}
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {0}
    monkeypatch.undo()
    assert delivering.run(clock=lambda: soon(minutes=2)).sent == 3


def test_what_would_mislead_by_now_is_not_sent() -> None:
    planned()
    report = delivering.run(clock=lambda: soon(hours=30, seconds=30))
    assert "announced" in moments()
    assert not any("closed for maintenance from" in m.subject for m in mail.outbox)
    late = Delivery.objects.filter(announcement__moment="announced")
    assert set(late.values_list("state", flat=True)) == {"given_up"}
    assert report.sent == 3  # that it has started


def test_what_another_process_is_at_is_left_to_it() -> None:
    planned()
    assert delivering.run(limit=0).sent == 0
    mine = claims.claim("mail", 2, store.utc_now())
    theirs = claims.claim("mail", 50, store.utc_now())
    assert len(mine.rows) == 2
    assert len(theirs.rows) == 1
    claims.sent(theirs, mine.rows[0], store.utc_now())
    assert states()[mine.rows[0].address] == "pending"  # a claim covers its own rows alone


def test_the_claim_of_a_process_that_has_ended_is_free_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned()
    delivering.run(limit=0)
    claims.claim("mail", 50, store.utc_now())
    assert delivering.run().sent == 0
    monkeypatch.setattr(processes, "is_gone", lambda process: process.pid > 0)
    assert delivering.run().sent == 3


def test_a_claim_runs_out() -> None:
    planned()
    delivering.run(limit=0)
    claim = claims.claim("mail", 50, store.utc_now())
    later = soon(minutes=3)
    assert not claims.renew(claim, claim.rows, later)
    assert delivering.run(clock=lambda: later).sent == 3


# -- Leaving -----------------------------------------------------------------------------------


def test_who_has_left_gets_no_more_mail_also_when_it_waits_already() -> None:
    planned()
    delivering.run(limit=0)
    Unsubscribed.objects.create(address="anna@example.com", at=store.utc_now())
    delivering.run()
    assert set(by_address()) == {"zoe@example.com", "ops@example.com"}
    assert "Unsubscribed" in Delivery.objects.get(address="anna@example.com").last_error


def test_mails_to_customers_can_be_left_with_one_click_and_without_a_login(client: Any) -> None:
    planned()
    delivering.run()
    told = by_address()
    headers = told["anna@example.com"].extra_headers
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url = headers["List-Unsubscribe"].strip("<>")
    assert url.startswith("https://shop.example/maintenance/unsubscribe/?who=")
    assert url in told["anna@example.com"].body
    assert "List-Unsubscribe" not in told["ops@example.com"].extra_headers
    path = url.removeprefix("https://shop.example")
    assert client.get(path).status_code == 200
    assert not Unsubscribed.objects.exists()  # programs that look at links must not leave
    services.close_site()
    post = client.post(path, "List-Unsubscribe=One-Click", "application/x-www-form-urlencoded")
    assert post.status_code == 200
    assert Unsubscribed.objects.get().address == "anna@example.com"
    client.post(path, {"again": "1"})
    assert not Unsubscribed.objects.exists()


def test_a_link_that_was_not_signed_by_us_does_nothing(client: Any) -> None:
    path = "/maintenance/unsubscribe/"
    for who in ("", "anna@example.com", "anna@example.com:forged"):
        assert client.post(path, query_params={"who": who}).status_code == 404
    assert not Unsubscribed.objects.exists()


# -- Letters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("language", ["en", "fr"])
def test_each_letter_says_what_it_is_about(moment: str, language: str) -> None:
    letter = letters.write(moment, letters.example(moment, soon()), language)
    assert letter.subject
    assert "\n" not in letter.subject
    assert len(letter.text.splitlines()) >= 3
    assert "{{" not in letter.text
    assert "&#" not in letter.text


def test_no_title_brings_a_second_header() -> None:
    facts = letters.example("announced", soon())
    with telling(BRAND="Shop\r\nBcc: all@example.com"):
        assert letters.write("announced", facts).subject.startswith("Shop Bcc: all@example.com:")


def test_a_text_is_no_html() -> None:
    facts = letters.example("announced", soon()) | {
        "words": {"": {"title": "", "message": "Kiss & ride <soon>"}}
    }
    assert "Kiss & ride <soon>" in letters.write("announced", facts).text


def test_times_are_those_of_the_site_with_utc_beside_them(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Paris"
    moment = dt.datetime(2030, 1, 31, 23, 30, tzinfo=dt.UTC)
    assert letters.clock(moment) == "Feb. 1, 2030, 00:30 CET (Jan. 31, 2030, 23:30 UTC)"


def test_the_same_message_has_the_same_name_for_ever() -> None:
    planned()
    delivering.run()
    names = [message.extra_headers["Message-ID"] for message in mail.outbox]
    assert len(set(names)) == 3
    Delivery.objects.update(state="failed", claimed_by="")
    delivering.run(clock=lambda: soon(minutes=5))
    again = [message.extra_headers["Message-ID"] for message in mail.outbox[3:]]
    assert set(again) == set(names)


# -- Webhooks ----------------------------------------------------------------------------------

HOOK = {"url": "https://hooks.example/secret-path?key=1", "secret": "s" * 32}


def test_webhooks_are_signed_and_their_address_is_not_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    posted: list[tuple[bytes, Any]] = []
    monkeypatch.setattr(webhooks, "post", lambda hook, body, heads: posted.append((body, heads)))
    with telling(WEBHOOKS=[HOOK], OPERATORS=[]):
        uid = planned()
        delivering.run()
    ((body, heads),) = posted
    event = json.loads(body)
    assert event["type"] == "maintenance.announced"
    assert event["data"]["window"] == uid
    signed = f"{heads['webhook-id']}.{heads['webhook-timestamp']}.".encode() + body
    expected = hmac.new(b"s" * 32, signed, hashlib.sha256).digest()
    assert heads["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    stored = json.dumps(list(Delivery.objects.values("address", "last_error")))
    assert "secret-path" not in stored
    assert "hooks.example" in stored


def test_a_webhook_that_fails_stops_no_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise NotSentError("It answered 500")

    monkeypatch.setattr(webhooks, "post", refuse)
    with telling(WEBHOOKS=[HOOK], AUDIENCE=PEOPLE):
        planned()
        report = delivering.run()
    assert (report.sent, report.failed) == (3, 1)


def test_a_webhook_that_was_taken_out_of_the_settings_is_given_up() -> None:
    with telling(WEBHOOKS=[HOOK], OPERATORS=[]):
        planned()
        delivering.run(limit=0)
    delivering.run()
    row = Delivery.objects.get(channel="webhook")
    assert (row.state, "not in the settings" in row.last_error) == ("given_up", True)


# -- Afterwards --------------------------------------------------------------------------------


def test_who_was_told_is_forgotten_after_a_time_and_that_it_was_told_is_not() -> None:
    planned()
    delivering.run()
    Announcement.objects.update(at=soon(days=-91))
    delivering.run()
    assert not Delivery.objects.exists()
    assert Announcement.objects.count() == 1


def test_lists_are_read_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "BATCH", 2)
    with telling(AUDIENCE=lambda: (f"p{n}@example.com" for n in range(7))):
        planned()
        assert delivering.run().sent == 8
