"""The form "Tell me when you are back", under WSGI and ASGI alike."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import re
import time
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync
from django.core import mail
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import OperationalError, connection
from django.test import AsyncRequestFactory, Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext

from backsoon import guard, inflight, store, subscribers
from backsoon.chores import Chores
from backsoon.gate import Gate
from backsoon.http import pages, tell_me
from backsoon.models import Change, Subscriber
from backsoon.snapshots import Snapshot
from backsoon.testing import override_maintenance
from tests.visitors import Visitor

pytestmark = pytest.mark.django_db

FORM = "application/x-www-form-urlencoded"
URL = "/maintenance/tell-me/"
ADDRESS = "ada@example.com"
NOTED = "Your address is noted. We will write once, when we are back, and then delete it."
UNABLE = "We cannot note your address at the moment; please look in again."
ON = {"TELL_ME": True}
NOW = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def asked_for() -> Iterator[None]:
    with override_settings(BACKSOON=ON):
        yield


def send(
    visitor: Visitor, email: str = ADDRESS, url: str = URL, *, ip: str = "", **more: Any
) -> Any:
    """Send the form as a browser does."""
    fields = {"email": email, "website": "", **more.pop("fields", {})}
    headers = {"sec-fetch-site": "same-origin", **more.pop("headers", {})}
    if ip:  # the last entry is that of our own proxy
        headers["x-forwarded-for"] = f"203.0.113.99, {ip}"
    return visitor.post(
        url, urlencode(fields), content_type=more.pop("content_type", FORM), headers=headers
    )


def text(response: Any) -> str:
    return unescape(response.content.decode())


def noted() -> list[str]:
    return [row.address for row in subscribers.waiting()]


# -- The page ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("closed")
def test_the_page_has_the_form_within_its_budget_and_the_policy_lets_it_be_sent() -> None:
    response = Client().get("/maintenance/")
    html = text(response)
    assert f'method="post" action="{URL}?language=en"' in html
    assert "We will write once, when we are back, and then delete your address." in html
    assert "form-action 'self'" in response["Content-Security-Policy"]
    assert len(response.content) <= 14_000
    compressed = Client().get("/maintenance/", headers={"accept-encoding": "gzip"})
    assert len(compressed.content) <= 5_000


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={})
def test_unless_the_settings_ask_for_it_there_is_no_form_and_nothing_to_send_one_to(
    visitor: Visitor,
) -> None:
    response = visitor.get("/maintenance/")
    assert "<form" not in text(response)
    assert URL not in text(response)
    assert "form-action 'none'" in response["Content-Security-Policy"]
    assert send(visitor).status_code == 503
    assert noted() == []
    with override_maintenance("open"):
        assert send(visitor).status_code == 404


def test_a_read_only_site_has_no_form() -> None:
    with override_maintenance("read_only"):
        response = Client().post("/account/", {})
        assert response.status_code == 503
        assert "<form" not in text(response)


# -- An address is noted -----------------------------------------------------------------------


@pytest.mark.usefixtures("closed")
def test_an_address_is_noted_in_the_visitors_language_and_the_page_says_so(
    visitor: Visitor,
) -> None:
    response = send(visitor, url=f"{URL}?language=fr", headers={"accept-language": "en"})
    assert response.status_code == 200
    assert response["Content-Language"] == "fr"
    assert response["Cache-Control"] == "no-store"
    assert response["X-Maintenance"] == "closed"
    assert not response.cookies
    (row,) = subscribers.waiting()
    assert (row.address, row.language) == (ADDRESS, "fr")
    assert dt.timedelta() <= store.utc_now() - row.created_at < dt.timedelta(minutes=1)


@pytest.mark.usefixtures("closed")
def test_the_answer_is_the_page_with_other_words_which_returns_by_itself(visitor: Visitor) -> None:
    html = text(send(visitor))
    assert NOTED in html
    assert "Moving house" not in html
    assert 'data-status="/maintenance/status.json"' in html
    assert 'data-revision=""' in html  # not loaded anew when a text is changed
    assert "<form" not in html


@pytest.mark.usefixtures("closed")
def test_nothing_is_asked_of_the_database_but_one_count_and_one_row(visitor: Visitor) -> None:
    with CaptureQueriesContext(connection) as queries:
        send(visitor)
    ours = [q["sql"] for q in queries if "backsoon_subscriber" in q["sql"]]
    others = [q["sql"] for q in queries if q["sql"] not in ours]
    assert [sql.split(" ", 1)[0] for sql in ours] == ["SELECT", "INSERT"]
    assert all(re.match(r"SAVEPOINT|RELEASE|BEGIN|PRAGMA|SELECT .*set_config", q) for q in others)
    assert not Change.objects.exists()


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    "again",
    [ADDRESS, " Ada@Example.COM ", "ADA@EXAMPLE.COM", "ada+news@example.com"],
)
def test_the_same_address_again_gets_the_same_answer_and_no_second_row(
    visitor: Visitor, again: str
) -> None:
    first, second = send(visitor), send(visitor, again)
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert dict(first.items()) == dict(second.items())
    assert noted() == [ADDRESS]


@pytest.mark.usefixtures("closed")
def test_it_is_answered_above_the_session_and_the_projects_layers(visitor: Visitor) -> None:
    layers = [
        "backsoon.middleware.MaintenanceModeMiddleware",
        "tests.integration.test_tell_me.broken_layer",
    ]
    with override_settings(MIDDLEWARE=layers, USE_I18N=True):
        assert send(visitor).status_code == 200
    assert noted() == [ADDRESS]


def broken_layer(get_response: Any) -> Any:
    raise_it = get_response  # a layer that asks the database for something, say

    def layer(request: Any) -> Any:
        raise AssertionError(raise_it)

    return layer


@pytest.mark.usefixtures("closed")
def test_whoever_closes_the_site_does_not_wait_for_it(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[int, int]] = []

    def look(address: tell_me.Address) -> tell_me.Outcome:
        counted.append((len(list(inflight.ordinary(readers=True))), len(inflight.APART)))
        return tell_me.Outcome.NOTED

    monkeypatch.setattr(tell_me, "note", look)
    send(visitor)
    assert counted == [(0, 1)]


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "options"])
def test_who_only_looks_there_gets_the_page(visitor: Visitor, method: str) -> None:
    response = visitor(method, URL)
    assert response.status_code == 503
    assert method == "head" or "Tell me when you are back" in text(response)
    assert noted() == []


# -- The site is open again --------------------------------------------------------------------


def test_when_the_site_is_open_again_the_visitor_reads_that_and_goes_on(visitor: Visitor) -> None:
    response = send(visitor, url=f"{URL}?language=en&next=/account/")
    html = text(response)
    assert response.status_code == 200
    assert "We are back" in html
    assert 'class="button" href="/account/"' in html
    assert response["X-Maintenance"] == "open"
    assert noted() == []


@pytest.mark.parametrize(
    ("query", "target"),
    [("?next=/account/", "/account/"), ("", "/"), ("?next=//evil.example/", "/")],
)
def test_the_answer_page_returns_to_where_the_visitor_was_going(
    visitor: Visitor, query: str, target: str
) -> None:
    response = visitor.get(URL + query)
    assert response.status_code == 302
    assert response["Location"] == target


def test_while_open_no_login_no_token_and_no_database_is_needed(visitor: Visitor) -> None:
    visitor.client.handler.enforce_csrf_checks = True
    with CaptureQueriesContext(connection) as queries:
        assert send(visitor).status_code == 200
    assert not queries.captured_queries


# -- What cannot be taken ----------------------------------------------------------------------


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "ada",
        "ada@",
        "@example.com",
        "ada@localhost",
        "ada@[127.0.0.1]",
        "ada@example",
        '"a b"@example.com',
        "ada@example.com\nBcc: bob@example.com",
        "ada@example.com\r\nSubject: x",
        "ada\0@exa mple.com",
        "ada@example.com,bob@example.com",
        "ada@example.com; bob@example.com",
        "<ada@example.com>",
        "ada@" + "a" * 64 + ".com",
        "a" * 65 + "@example.com",
        "ada@" + "a." * 130 + "com",
        "é@example.com",
        "<script>alert(1)</script>@example.com",
    ],
)
def test_what_is_no_address_is_said_at_the_field_which_keeps_it(
    visitor: Visitor, typed: str
) -> None:
    response = send(visitor, typed)
    html = response.content.decode()
    assert response.status_code == 422
    assert noted() == []
    assert re.search(r'id="backsoon-error" role="alert">Please enter', html)
    assert 'autofocus aria-invalid="true" aria-describedby="backsoon-error"' in html
    value = re.search(r'name="email" [^>]*value="([^"]*)"', html)
    assert value
    assert unescape(value[1]) == typed.replace("\0", "")
    assert "Moving house" in html


@pytest.mark.parametrize(
    ("typed", "clean"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  Ada.Love@Example.COM\t", "Ada.Love@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_an_address_is_kept_as_mail_servers_take_it(typed: str, clean: str) -> None:
    assert subscribers.clean_address(typed) == clean


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ada@example.com", "ada@EXAMPLE.com", True),
        ("ada+1@example.com", "ada+2@example.com", True),
        ("a.d.a@gmail.com", "ada@googlemail.com", True),
        ("a.da@example.com", "ada@example.com", False),
        ("+ada@example.com", "+bob@example.com", False),
        ("ada@example.com", "ada@example.org", False),
    ],
)
def test_spellings_of_one_mailbox_are_one(one: str, other: str, same: bool) -> None:
    assert (subscribers.key_of(one) == subscribers.key_of(other)) is same


@pytest.mark.usefixtures("closed")
def test_what_fills_in_the_hidden_field_is_not_noted_and_is_asked_once_more(
    visitor: Visitor,
) -> None:
    response = send(visitor, fields={"website": "https://spam.example/"})
    assert response.status_code == 422
    assert "Please press the button once more." in text(response)
    assert "spam.example" not in text(response)
    assert noted() == []


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin", "origin": "null"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "", "origin": "http://testserver"}, 200),
        ({"sec-fetch-site": "", "origin": "https://testserver:8443"}, 200),
        ({"sec-fetch-site": ""}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "origin": "http://testserver"}, 403),
        ({"sec-fetch-site": "", "origin": "https://evil.example"}, 403),
        ({"sec-fetch-site": "", "origin": "https://testserver.evil.example"}, 403),
        ({"sec-fetch-site": "", "origin": "null"}, 403),
        ({"sec-fetch-site": "", "origin": "http://[::1"}, 403),
        ({"sec-fetch-site": "", "origin": "http://x", "host": "x y"}, 403),
    ],
)
def test_a_form_of_another_site_is_refused(
    visitor: Visitor, headers: dict[str, str], status: int
) -> None:
    assert send(visitor, headers=headers).status_code == status
    assert bool(noted()) == (status == 200)


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (f'{{"email": "{ADDRESS}"}}', "application/json"),
        (f"email={ADDRESS}", "text/plain"),
        (f"email={ADDRESS}", ""),
        (f"email={ADDRESS}&x={'y' * 3_000}", FORM),
        (f"email={ADDRESS}" + "&a=b" * 20, FORM),
        ("email=\xff", FORM),
    ],
)
def test_what_the_form_on_the_page_does_not_send_is_refused(
    visitor: Visitor, body: str, content_type: str
) -> None:
    response = visitor.post(URL, body, content_type=content_type)
    assert response.status_code == 403
    assert noted() == []


# -- Limits ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={**ON, "TRUSTED_PROXIES": 1})
def test_a_client_has_ten_tries_and_is_told_when_it_may_try_again(visitor: Visitor) -> None:
    answers = [send(visitor, f"{n}@example.com", ip="8.8.8.8") for n in range(12)]
    assert [a.status_code for a in answers] == [200] * 10 + [429] * 2
    assert 55 <= int(answers[-1]["Retry-After"]) <= 60
    assert "Please wait a moment" in text(answers[-1])
    assert len(noted()) == 10
    assert send(visitor, ip="8.8.4.4").status_code == 200
    # What the client itself wrote there buys nothing.
    lie = {"x-forwarded-for": "1.1.1.1, 8.8.8.8"}
    assert send(visitor, headers=lie).status_code == 429


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={**ON, "TRUSTED_PROXIES": 1})
def test_tries_come_back_with_time(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    for _try in range(10):
        send(visitor, "no address", ip="8.8.8.8")
    assert send(visitor, ip="8.8.8.8").status_code == 429
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert send(visitor, ip="8.8.8.8").status_code == 200


@pytest.mark.usefixtures("closed")
def test_behind_a_proxy_that_nobody_declared_visitors_do_not_shut_each_other_out() -> None:
    visitor = Visitor("wsgi")
    statuses = {send(visitor, f"{n}@example.com").status_code for n in range(40)}
    assert statuses == {200}


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={**ON, "TELL_ME_MOST": 2})
def test_there_is_an_end_to_the_addresses_and_it_tells_nobody_whose_they_are(
    visitor: Visitor,
) -> None:
    statuses = [send(visitor, f"{n}@example.com").status_code for n in range(3)]
    assert statuses == [200, 200, 503]
    known, new = send(visitor, "0@example.com"), send(visitor, "9@example.com")
    assert known.status_code == new.status_code == 503
    assert known.content == new.content
    assert "no more addresses" in text(known)
    assert len(noted()) == 2


# -- The database ------------------------------------------------------------------------------


@pytest.mark.usefixtures("closed")
def test_a_database_that_is_away_is_said_politely_and_not_asked(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gate, "store_is_reachable", property(lambda gate: False))
    with CaptureQueriesContext(connection) as queries:
        response = send(visitor)
    assert response.status_code == 503
    assert UNABLE in text(response)
    assert int(response["Retry-After"]) == 60
    assert not queries.captured_queries


@pytest.mark.usefixtures("closed")
@override_settings(ADMINS=["ops@example.com"])
def test_a_database_that_fails_is_said_politely_and_no_address_gets_into_a_log(
    visitor: Visitor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise OperationalError(f"DETAIL: Key (key)=({ADDRESS})")

    monkeypatch.setattr("django.db.models.query.QuerySet.bulk_create", fail)
    with caplog.at_level(logging.DEBUG, logger="backsoon"), caplog.at_level(10, "django.request"):
        responses = [send(visitor), send(visitor)]
    assert [response.status_code for response in responses] == [503, 503]
    assert UNABLE in text(responses[0])
    assert "OperationalError" in caplog.text
    assert "ada" not in caplog.text
    assert len(caplog.records) == 1  # each outage is reported once
    assert not mail.outbox


@pytest.mark.usefixtures("closed")
def test_whatever_fails_the_visitor_gets_the_page(
    visitor: Visitor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError(ADDRESS)

    monkeypatch.setattr(tell_me, "_response", fail)
    response = send(visitor)
    assert response.status_code == 503
    assert "Moving house" in text(response)
    assert "RuntimeError" in caplog.text
    assert "ada" not in caplog.text


@pytest.mark.usefixtures("closed")
def test_with_a_broken_template_the_built_in_page_says_what_became_of_it(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "TEMPLATE", "nowhere.html")
    assert NOTED in text(send(visitor))
    wrong = send(visitor, "ada")
    assert wrong.status_code == 422
    assert "Please enter an e-mail address" in text(wrong)


# -- The store of addresses --------------------------------------------------------------------


def test_everybody_is_read_in_batches_also_while_they_are_forgotten() -> None:
    for number in range(7):
        subscribers.subscribe(f"{number}@example.com", "fr", NOW)
    read = []
    for person in subscribers.waiting(batch=3):
        read.append(person.address)
        subscribers.forget([person.address])
    assert read == [f"{number}@example.com" for number in range(7)]
    assert subscribers.count() == 0
    assert list(subscribers.waiting()) == []


def test_only_those_named_are_forgotten() -> None:
    for name in ("ada", "bob", "cy"):
        subscribers.subscribe(f"{name}@example.com", "en", NOW)
    gone = subscribers.forget(["Ada@example.com", "ada@example.com", "nobody@example.com"])
    assert gone == 1
    assert noted() == ["bob@example.com", "cy@example.com"]


def test_after_thirty_days_an_address_goes_though_nobody_has_written() -> None:
    subscribers.subscribe("old@example.com", "en", NOW)
    subscribers.subscribe("new@example.com", "en", NOW + dt.timedelta(seconds=1))
    assert subscribers.purge(NOW + dt.timedelta(days=30)) == 0
    assert subscribers.purge(NOW + dt.timedelta(days=30, seconds=1)) == 1
    assert noted() == ["new@example.com"]


def test_the_watcher_sees_to_that_a_minute_after_the_start_and_then_each_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = 1_000.0
    clock = [started]
    monkeypatch.setattr("backsoon.chores.since_boot", lambda: clock[0])
    chores = Chores()
    purged: list[dt.datetime] = []
    monkeypatch.setattr(subscribers, "purge", purged.append)
    for clock[0] in (started, started + 59, started + 61, started + 3_600, started + 3_662):
        chores.see_to(Snapshot(), NOW)
    assert len(purged) == 2


def test_a_row_does_not_show_its_address() -> None:
    subscribers.subscribe(ADDRESS, "en", NOW)
    assert "ada" not in repr(Subscriber.objects.get())


# -- Behind the guard, and beside others who write ---------------------------------------------


@pytest.mark.usefixtures("closed")
def test_the_guard_lets_the_form_by_and_refuses_the_page_itself(visitor: Visitor) -> None:
    reached: list[str] = []
    said: list[Any] = []

    def application(environ: Any, start_response: Any) -> Any:
        reached.append(environ["PATH_INFO"])
        return WSGIHandler()(environ, start_response)

    async def asgi_application(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])
        await ASGIHandler()(scope, receive, send)

    if visitor.kind == "wsgi":
        guarded: Any = guard.wsgi(application)
        for method, path in (("GET", "/maintenance/"), ("POST", URL)):
            body = urlencode({"email": ADDRESS})
            request = RequestFactory().generic(method, path, body, FORM)
            answer = guarded(request.environ, lambda status, headers: said.append(status))
            assert b"".join(answer)
            getattr(answer, "close", list)()
        assert said == ["503 Service Unavailable", "200 OK"]
    else:
        said.extend(async_to_sync(ask_asgi)(guard.asgi(asgi_application)))
        assert said == [503, 200]
    assert reached == [URL]
    assert noted() == [ADDRESS]
    assert not inflight.APART


async def ask_asgi(application: Any) -> list[int]:
    said: list[int] = []
    for method, path in (("GET", "/maintenance/"), ("POST", URL)):
        body = urlencode({"email": ADDRESS}).encode()
        scope = AsyncRequestFactory().generic(method, path, body, FORM).scope
        messages = [{"type": "http.request", "body": body}]

        async def receive(messages: list[Any] = messages) -> Any:
            return messages.pop() if messages else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            if "status" in message:
                said.append(message["status"])

        await application(scope, receive, send)
    return said
