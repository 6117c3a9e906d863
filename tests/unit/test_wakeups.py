"""Word of a change: what it must never do, whatever is at the other end."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from django.test import override_settings

from backsoon import environment, wakeups
from backsoon.wakeups import Reach, pubsub
from backsoon.wakeups.channels import Outage
from tests.demo_server import until

PATIENCE = 10.0
"""Seconds after which something that should have happened has not."""


@pytest.fixture
def in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that serves: in tests nobody is told anything."""
    monkeypatch.setattr(wakeups, "in_test_environment", lambda: False)


@contextmanager
def answering(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """The address of something that takes connections and does with each what *answer* does."""
    pytest.importorskip("redis")
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _address = server.accept()
                    held.append(connection)
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
            for connection in held:
                connection.close()


def nothing(connection: socket.socket) -> None:
    """What a server says that hangs."""


def lies(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)


def goodbye(connection: socket.socket) -> None:
    connection.close()


WRONG = pytest.mark.parametrize("answer", [nothing, lies, goodbye])


# -- Telling -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_production")
@WRONG
def test_a_redis_that_does_wrong_holds_nobody_up_and_is_reported_once(
    answer: Callable[[socket.socket], object],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pubsub, "_unheard", Outage("word was lost", "word is taken"))
    with (
        answering(answer) as url,
        override_settings(BACKSOON={"REDIS_URL": url}),
        caplog.at_level(logging.INFO, logger="backsoon"),
    ):
        wakeups.tell()  # imports what it needs, which counts for nobody
        until(lambda: "word was lost" in caplog.text or None, PATIENCE, "a warning")
        began = time.monotonic()
        wakeups.tell()
        assert time.monotonic() - began < pubsub.TIMEOUT_SECONDS + 0.5
    assert caplog.text.count("word was lost") == 1


def test_nobody_is_told_in_a_projects_tests() -> None:
    called: list[object] = []
    with answering(called.append) as url, override_settings(BACKSOON={"REDIS_URL": url}):
        wakeups.tell()
        assert environment.in_test_environment()
    assert not called


@pytest.mark.usefixtures("in_production")
def test_where_nothing_can_carry_word_there_is_nothing_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="backsoon"):
        wakeups.tell()  # would raise here: this test may not ask the database
        assert wakeups.Ears().attend() is None
        assert [channel.reach for channel in wakeups.report()] == [Reach.OFF, Reach.OFF]
    assert not caplog.records


# -- Hearing -----------------------------------------------------------------------------------


@WRONG
def test_a_redis_that_does_wrong_wakes_nobody_and_is_asked_less_and_less(
    answer: Callable[[socket.socket], object],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pubsub, "TIMEOUT_SECONDS", 0.02)
    monkeypatch.setattr(pubsub, "FIRST_RETRY_SECONDS", 0.02)
    asked: list[float] = []
    woken: list[bool] = []

    def note(connection: socket.socket) -> None:
        asked.append(time.monotonic())
        answer(connection)

    with answering(note) as url, caplog.at_level(logging.INFO, logger="backsoon"):
        listener = pubsub.Listener(url, lambda: woken.append(True))
        listener.start()
        try:
            until(lambda: len(asked) >= 5 or None, PATIENCE, "a fifth attempt")
        finally:
            listener.stop()
    assert asked[4] - asked[3] > asked[1] - asked[0]
    assert not woken
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_no_address_can_make_redis_be_waited_for() -> None:
    options = "socket_timeout=60&socket_connect_timeout=60&retry_on_timeout=yes"
    with answering(nothing) as url, pubsub.connected(f"{url}?{options}") as client:
        began = time.monotonic()
        with pytest.raises(Exception, match=r"[Tt]imeout"):
            client.publish("backsoon", "")
        assert time.monotonic() - began < 3


def test_a_redis_that_cannot_be_reached_is_found_by_the_examination() -> None:
    with answering(nothing) as url:
        pass
    assert pubsub.examine(url).reach is Reach.SILENT
