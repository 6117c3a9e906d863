"""Open WebSockets: counted, judged anew when the site closes, and ended if they may not stay."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from http.cookies import SimpleCookie
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import Client, override_settings

from backsoon import guard
from backsoon.gate import gate
from backsoon.http import handshakes, sockets
from backsoon.inflight import APART, READERS, UNITS
from backsoon.testing import give_pass, override_maintenance
from tests.visitors import PASSWORD

pytestmark = pytest.mark.django_db

PATIENCE = 5.0
CLOSE = {"type": "websocket.close", "code": 1012, "reason": "Closed for maintenance"}
GONE = {"type": "websocket.disconnect", "code": 1012, "reason": "Closed for maintenance"}

Application = Callable[[Any, Any, Any], Awaitable[None]]


@pytest.fixture(autouse=True)
def _nobody_stays_behind() -> Iterator[None]:
    assert not UNITS
    yield
    assert not UNITS
    assert not READERS
    assert not APART
    assert not sockets._halls


@pytest.fixture(autouse=True)
def _little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "GRACE_SECONDS", 0.2)


class Page:
    """Somebody with an open connection, and the server in between."""

    def __init__(self, application: Application, path: str = "/ws/", cookies: str = "") -> None:
        self.told: list[dict[str, Any]] = []
        """What the application, or the guard, has sent."""
        self.scope = {
            "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "scheme": "ws", "subprotocols": [], "http_version": "1.1",
            "client": ("127.0.0.1", 1), "server": ("testserver", 80),
            "headers": [(b"host", b"testserver"), (b"cookie", cookies.encode())],
            "extensions": {"websocket.http.response": {}},
        }  # fmt: skip
        self.says: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.says.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(
            guard.asgi(application)(self.scope, self.says.get, self._hear)
        )

    async def _hear(self, message: dict[str, Any]) -> None:
        self.told.append(message)

    async def ask(self, text: str) -> None:
        """Send *text* and wait for its echo."""
        self.says.put_nowait({"type": "websocket.receive", "text": text})
        await until(lambda: {"type": "websocket.send", "text": text} in self.told)

    async def accepted(self) -> None:
        await until(lambda: {"type": "websocket.accept"} in self.told)

    async def leave(self) -> None:
        self.says.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await self.task


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An application that ends when it is told that its client has gone."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    scope["heard"] = message


async def until(holds: Callable[[], object]) -> None:
    """Let everything else run until *holds()*."""
    for _turn in range(int(PATIENCE / 0.001)):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never became true")


def cookies_of(user: User, holder: User | None = None) -> str:
    """The cookies of *user*, logged in, with the pass of *holder*."""
    client = Client()
    client.force_login(user)
    give_pass(client, holder or user)
    cookies: SimpleCookie = client.cookies
    return "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())


# -- While open --------------------------------------------------------------------------------


def test_a_connection_is_counted_until_its_application_has_ended() -> None:
    async def scenario() -> None:
        page = Page(echo, "/ws/orders/")
        await page.accepted()
        assert [(unit.method, unit.path) for unit in UNITS] == [("WEBSOCKET", "/ws/orders/")]
        await page.ask("hello")
        await page.leave()
        assert page.scope["heard"] == {"type": "websocket.disconnect", "code": 1001}
        assert not UNITS

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError])
def test_a_connection_whose_application_raises_is_counted_out(error: type[BaseException]) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise error

    async def scenario() -> None:
        with pytest.raises(error):
            await Page(application).task

    asyncio.run(scenario())


def test_a_connection_that_the_server_cancels_is_counted_out() -> None:
    async def scenario() -> None:
        page = Page(echo)
        await page.accepted()
        page.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await page.task

    asyncio.run(scenario())


# -- When the site closes ----------------------------------------------------------------------


def test_a_closure_ends_an_ordinary_connection_and_both_sides_hear_of_it() -> None:
    async def scenario() -> None:
        page = Page(echo)
        await page.ask("hello")
        with override_maintenance():
            await page.task
            assert page.told[-1] == CLOSE
            assert page.scope["heard"] == GONE
            assert not UNITS

    asyncio.run(scenario())


def test_a_closure_that_another_thread_learns_of_ends_it_too() -> None:
    async def scenario() -> None:
        page = Page(echo)
        await page.accepted()
        closed = override_maintenance()
        thread = threading.Thread(target=closed.enable)
        thread.start()
        await page.task
        thread.join()
        closed.disable()
        assert page.told[-1] == CLOSE

    asyncio.run(scenario())


def test_a_connection_is_counted_until_the_application_has_ended_and_what_it_says_is_dropped() -> (
    None
):
    may_end = asyncio.Event()
    heard: list[Any] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        heard.append(await receive())
        await send({"type": "websocket.send", "text": "too late"})
        await send({"type": "websocket.close"})
        await may_end.wait()

    async def scenario() -> None:
        page = Page(slow)
        await page.accepted()
        with override_maintenance():
            await until(lambda: heard)
            assert len(UNITS) == 1
            may_end.set()
            await page.task
        assert page.told == [{"type": "websocket.accept"}, CLOSE]

    asyncio.run(scenario())


@pytest.mark.parametrize("hears", [True, False])
def test_an_application_that_does_not_end_is_cancelled(hears: bool) -> None:
    ended: list[type[BaseException]] = []

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while hears:
                await receive()  # goes on asking, whatever it hears
            await asyncio.sleep(3600)
        except asyncio.CancelledError as error:
            ended.append(type(error))
            raise

    async def scenario() -> None:
        page = Page(stubborn)
        await page.accepted()
        with override_maintenance():
            await page.task  # no exception: the server need not know
            assert ended == [asyncio.CancelledError]
            assert page.told[-1] == CLOSE

    asyncio.run(scenario())


def test_what_a_cancelled_application_still_does_in_a_thread_is_waited_for() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(PATIENCE)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await sync_to_async(work)()

    async def scenario() -> None:
        page = Page(application)
        await until(begun.is_set)
        with override_maintenance():
            await until(lambda: page.told[-1] == CLOSE)
            await asyncio.sleep(0.3)  # longer than the grace: it is cancelled
            assert len(UNITS) == 1
            may_end.set()
            await page.task

    asyncio.run(scenario())


def test_an_application_that_ends_with_its_grace_is_not_cancelled() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await echo(scope, receive, send)
        time.sleep(2 * sockets.GRACE_SECONDS)  # noqa: ASYNC251  (the loop stands still on purpose)
        await asyncio.sleep(0)  # so that both are next, first the end

    async def scenario() -> None:
        page = Page(slow)
        await page.accepted()
        with override_maintenance():
            await page.task  # to the server, it has ended like any other
        assert page.told[-1] == CLOSE

    asyncio.run(scenario())


def test_a_client_that_cannot_be_told_is_not_waited_for() -> None:
    async def scenario() -> None:
        page = Page(echo)
        await page.accepted()

        async def stuck(message: Any) -> None:
            await asyncio.get_running_loop().create_future()

        (connection,) = UNITS
        connection._server_send = stuck
        with override_maintenance():
            await until(lambda: not UNITS)
            await page.task

    asyncio.run(scenario())


def test_a_handshake_that_the_application_has_not_answered_yet_is_refused() -> None:
    begun = asyncio.Event()

    async def thinking(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        begun.set()
        await receive()
        await send({"type": "websocket.accept"})

    async def scenario() -> None:
        page = Page(thinking)
        await begun.wait()
        with override_maintenance():
            await page.task
        assert page.told[0]["type"] == "websocket.http.response.start"
        assert page.told[0]["status"] == 503

    asyncio.run(scenario())


def test_a_connection_that_comes_as_the_site_closes_is_not_let_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = override_maintenance()
    enter = gate.enter

    def enter_then_close(unit: Any) -> Any:
        view = enter(unit)  # it is open
        monkeypatch.undo()
        closed.enable()
        return view

    async def scenario() -> None:
        gate.view()
        monkeypatch.setattr(gate, "enter", enter_then_close)
        page = Page(echo)
        await page.task
        assert {"type": "websocket.send", "text": "hello"} not in page.told
        assert page.told[-1] == CLOSE or page.told[0]["status"] == 503
        closed.disable()

    asyncio.run(scenario())


def test_many_connections_are_ended_without_one_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("somebody was looked up")

    async def scenario() -> None:
        pages = [Page(echo) for _ in range(300)]
        for page in pages:
            await page.accepted()
        monkeypatch.setattr("backsoon.http.lookups.session_user", fail)
        with override_maintenance():
            await asyncio.gather(*(page.task for page in pages))
        assert all(page.told[-1] == CLOSE for page in pages)

    asyncio.run(scenario())


# -- Who may stay ------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_an_administrators_connection_stays_apart_and_one_with_a_stolen_pass_does_not() -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    bob = User.objects.create_user("bob", password=PASSWORD)
    of_root, of_bob = cookies_of(root), cookies_of(bob, root)

    async def scenario() -> None:
        admins, others = Page(echo, cookies=of_root), Page(echo, cookies=of_bob)
        await admins.accepted()
        await others.accepted()
        with override_maintenance():
            await others.task
            assert others.told[-1] == CLOSE
            await until(lambda: APART and not UNITS)
            await admins.ask("still there")
        await until(lambda: UNITS)  # open again: as ordinary as everybody's
        await admins.ask("and now")
        with override_maintenance():
            await until(lambda: APART and not UNITS)
            await admins.ask("and again")
            await admins.leave()

    asyncio.run(scenario())


@pytest.mark.django_db(transaction=True)
def test_an_administrator_who_goes_while_being_looked_up_is_not_counted_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    cookies = cookies_of(root)
    admission = handshakes.admission
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slowly(scope: Any, view: Any) -> Any:
        asked.set()
        await may_answer.wait()
        return await admission(scope, view)

    async def scenario() -> None:
        page = Page(echo, cookies=cookies)
        await page.accepted()
        monkeypatch.setattr(handshakes, "admission", slowly)
        with override_maintenance():
            await asked.wait()
            await page.leave()
            may_answer.set()
            reviews = [t for t in asyncio.all_tasks() if "_review" in repr(t.get_coro())]
            await asyncio.gather(*reviews)
            assert not UNITS
            assert not APART

    asyncio.run(scenario())


@override_settings(BACKSOON={"EXEMPT": ["/ws/status/"]})
def test_a_connection_on_an_exempt_path_stays_apart() -> None:
    async def scenario() -> None:
        page = Page(echo, "/ws/status/")
        await page.accepted()
        with override_maintenance():
            await until(lambda: APART and not UNITS)
            await page.ask("still there")
            await page.leave()

    asyncio.run(scenario())


def test_read_only_keeps_a_connection_and_counts_it_among_the_readers() -> None:
    async def scenario() -> None:
        page = Page(echo)
        await page.accepted()
        with override_maintenance("read_only"):
            await until(lambda: READERS and not UNITS)
            await page.ask("still there")
            with override_maintenance():
                await page.task
        assert page.told[-1] == CLOSE

    asyncio.run(scenario())


def test_a_connection_that_cannot_be_judged_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise RuntimeError("a fault")

    async def scenario() -> None:
        page = Page(echo)
        await page.accepted()
        monkeypatch.setattr("backsoon.http.handshakes.facts.collect", fail)
        monkeypatch.setattr("backsoon.http.handshakes.passes.holds_pass", fail)
        with override_maintenance():
            await page.task
        assert page.told[-1] == CLOSE

    asyncio.run(scenario())


def test_a_connection_that_cannot_even_be_counted_is_not_let_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(unit: object) -> None:
        raise RuntimeError("a fault")

    async def scenario() -> None:
        gate.view()
        monkeypatch.setattr(gate, "enter", fail)
        page = Page(echo)
        await page.task
        assert page.told[0]["status"] == 503

    asyncio.run(scenario())
