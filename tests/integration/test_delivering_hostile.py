"""What servers, receivers and settings may do to whoever delivers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models.query import QuerySet

from backsoon import services, subscribers
from backsoon.announce import delivering, receivers, unsubscribing, webhooks
from backsoon.announce.claims import NotSentError
from backsoon.announce.letters import Letter
from backsoon.announce.mail import compose
from backsoon.conf import Webhook
from backsoon.models import Delivery
from backsoon.signals import state_changed

from .outbox import people, soon, telling

pytestmark = pytest.mark.django_db


# -- Mail --------------------------------------------------------------------------------------


def test_the_link_to_leave_is_sent_in_one_piece() -> None:
    with telling():
        url = unsubscribing.url_for("somebody.with.a.long.name@mail.example.com")
    headers = {"List-Unsubscribe": f"<{url}>"}
    message = compose(Letter("Soon", "Soon\n"), "anna@example.com", headers)
    sent = message.message().as_bytes()
    assert len(url) > 78
    assert f"List-Unsubscribe: <{url}>" in " ".join(sent.decode().split())


def test_a_mail_backend_that_cannot_be_made_stops_no_webhook(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMAIL_BACKEND = "no.such.Backend"
    posted: list[Any] = []
    monkeypatch.setattr(webhooks, "post", lambda *args: posted.append(args))
    hooks = [{"url": f"https://hooks.example/{n}"} for n in range(5)]
    with telling(WEBHOOKS=hooks):
        services.close_site()
        report = delivering.run()
    assert len(posted) == 5
    assert set(report.down) == {"mail"}
    row = Delivery.objects.get(channel="mail")
    assert (row.state, row.attempts, row.claimed_by) == ("pending", 0, "")


def leaving() -> str:
    with telling():
        return unsubscribing.url_for("anna@example.com").removeprefix("https://shop.example")


@pytest.mark.parametrize("closed", [True, False])
def test_who_leaves_while_the_database_is_away_is_asked_to_come_again(
    client: Any, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    def away(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise OperationalError("the server closed the connection")

    if closed:
        services.close_site()
    monkeypatch.setattr(QuerySet, "get_or_create", away)
    response = client.post(leaving())
    assert (response.status_code, "Retry-After" in response.headers) == (503, True)
    assert "try again" in response.content.decode()
    assert '<form method="post">' in response.content.decode()


@pytest.mark.parametrize("path", ["/maintenance/notice/?language=fr", leaving])
def test_what_needs_no_row_is_answered_with_atomic_requests_while_the_database_is_away(
    client: Any, monkeypatch: pytest.MonkeyPatch, path: Any
) -> None:
    def away(self: Any) -> Any:
        raise OperationalError("the server closed the connection")

    path = path() if callable(path) else path
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    monkeypatch.setattr(transaction.Atomic, "__enter__", away)
    assert client.get(path).status_code == 200


# -- Lists -------------------------------------------------------------------------------------


def test_a_visitor_who_is_a_customer_too_is_told_once_though_the_list_is_read_later() -> None:
    calls = []

    def audience() -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise DatabaseError("away for a moment")
        return people()

    with telling(OPERATORS=[], AUDIENCE=audience, TELL_ME=True, TELL_UNPLANNED=["audience"],
                 TELL={"audience": ["ended"]}):  # fmt: skip
        services.close_site()
        subscribers.subscribe("anna@example.com", "en", soon())
        services.open_site()
        delivering.run()
        assert [message.to for message in mail.outbox] == [["anna@example.com"]]
        delivering.run(clock=lambda: soon(minutes=5))
    told = [message.to[0] for message in mail.outbox]
    assert sorted(told) == ["anna@example.com", "zoe@example.com"]


# -- Webhooks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example?token=secret",
        "https://hooks.example#secret",
        "https://hooks.example/secret",
        "https://user:secret@hooks.example/",
    ],
)
def test_nothing_but_the_host_of_a_webhook_is_stored(url: str) -> None:
    assert receivers.label_of(url).startswith("https://hooks.example #")
    assert "secret" not in receivers.label_of(url)


def test_a_host_given_as_a_number_is_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def connect(address: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    for url in ("http://[2001:db8::5]/hook", "https://[2001:db8::a]/hook", "http://[::1]:8080/"):
        with pytest.raises(NotSentError):
            webhooks.post(Webhook(url), b"{}", {})
    assert asked == [("2001:db8::5", 80), ("2001:db8::a", 443), ("::1", 8080)]


@pytest.fixture
def dawdler() -> Iterator[int]:
    """The port of a server that agrees on TLS as long as it is listened to, or eight seconds."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                client, _address = server.accept()
                with client:
                    client.sendall(b"\x16\x03\x03\x40\x00")
                    for _byte in range(160):
                        time.sleep(0.05)
                        client.sendall(b"\x02")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


def test_a_receiver_that_never_ends_to_agree_on_tls_is_hung_up_on(
    dawdler: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "LONGEST_SECONDS", 0.3)
    begun = time.monotonic()
    with pytest.raises(NotSentError, match="longer than"):
        webhooks.post(Webhook(f"https://127.0.0.1:{dawdler}/hook"), b"{}", {})
    assert time.monotonic() - begun < 4


# -- DELIVER -----------------------------------------------------------------------------------


def test_a_function_that_waits_for_its_broker_holds_up_no_change(
    django_capture_on_commit_callbacks: Any,
) -> None:
    happened: list[str] = []

    def changed(**kwargs: Any) -> None:
        happened.append("changed")

    state_changed.connect(changed)
    try:
        with (
            telling(DELIVER=lambda: happened.append("told")),
            django_capture_on_commit_callbacks(execute=True),
        ):
            services.close_site()
    finally:
        state_changed.disconnect(changed)
    assert happened == ["changed", "told"]
