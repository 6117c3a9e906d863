"""The lifespan of an ASGI server: the application's own affair, and the moment to sign off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler

from backsoon import guard
from backsoon.gate import gate

SCOPE = {"type": "lifespan", "asgi": {"version": "3.0"}}


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened, in its order: messages to the server, and the end of the gate."""
    happened: list[str] = []
    monkeypatch.setattr(gate, "retire", lambda: happened.append("signed off"))
    return happened


def live(application: Callable[..., Awaitable[None]], events: list[str]) -> None:
    """Begin and end as a server does."""
    says = ["lifespan.startup", "lifespan.shutdown"]

    async def receive() -> dict[str, Any]:
        return {"type": says.pop(0)}

    async def send(message: dict[str, Any]) -> None:
        events.append(message["type"])

    guarded: Any = guard.asgi(application)
    asyncio.run(guarded(dict(SCOPE), receive, send))


def test_for_an_application_without_a_lifespan_the_guard_answers(events: list[str]) -> None:
    live(ASGIHandler(), events)
    assert events == ["lifespan.startup.complete", "signed off", "lifespan.shutdown.complete"]


def test_for_an_application_that_ignores_it_the_guard_answers(events: list[str]) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        """Take part in nothing."""

    live(application, events)
    assert events == ["lifespan.startup.complete", "signed off", "lifespan.shutdown.complete"]


def test_an_application_with_a_lifespan_is_asked_itself_and_ends_first(events: list[str]) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        events.append("cleaned up")
        await send({"type": "lifespan.shutdown.complete"})

    live(application, events)
    assert events == [
        "lifespan.startup.complete", "cleaned up", "signed off", "lifespan.shutdown.complete",
    ]  # fmt: skip


def test_a_failed_start_is_passed_on_and_nobody_signs_off(events: list[str]) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no disk"})

    live(application, events)
    assert events == ["lifespan.startup.failed"]


def test_an_application_that_fails_in_its_start_fails_as_it_would_alone(events: list[str]) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise ValueError("no disk")

    with pytest.raises(ValueError, match="no disk"):
        live(application, events)
    assert events == []


def test_an_application_that_fails_in_its_end_signs_off_all_the_same(events: list[str]) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise ValueError("no disk")

    with pytest.raises(ValueError, match="no disk"):
        live(application, events)
    assert events == ["lifespan.startup.complete", "signed off"]
