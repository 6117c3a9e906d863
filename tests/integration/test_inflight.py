"""Every request that was let by is counted until it has ended, however it ends."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.urls import path

from backsoon.gate import gate
from backsoon.inflight import UNITS
from backsoon.middleware import MaintenanceModeMiddleware
from backsoon.testing import override_maintenance

# Closing a response lets Django look after the connections that other tests opened.
pytestmark = pytest.mark.django_db

PATIENCE = 5.0
MIDDLEWARE = ["backsoon.middleware.MaintenanceModeMiddleware"]

begun = threading.Event()
may_end = threading.Event()
ended = threading.Event()


@pytest.fixture(autouse=True)
def _nobody_is_counted_before_and_after() -> Iterator[None]:
    for event in (begun, may_end, ended):
        event.clear()
    assert not UNITS
    yield
    assert not UNITS


def get(path: str = "/") -> HttpRequest:
    return RequestFactory().get(path)


# -- WSGI --------------------------------------------------------------------------------------


def test_a_request_is_counted_while_its_view_runs_and_no_longer() -> None:
    seen: list[list[str]] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append([unit.path for unit in UNITS])
        return HttpResponse()

    MaintenanceModeMiddleware(view)(get("/orders/"))
    assert seen == [["/orders/"]]


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_request_whose_view_raises_is_counted_out(error: type[BaseException]) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise error

    with pytest.raises(error):
        MaintenanceModeMiddleware(view)(get())


def test_a_stream_is_counted_until_it_is_closed_not_until_the_middleware_returns() -> None:
    steps: list[int] = []

    def body() -> Iterator[bytes]:
        try:
            yield b"1"
            yield b"2"
        finally:
            steps.append(len(UNITS))

    response: Any = MaintenanceModeMiddleware(lambda request: StreamingHttpResponse(body()))(get())
    assert len(UNITS) == 1
    assert next(iter(response.streaming_content)) == b"1"
    assert len(UNITS) == 1
    response.close()
    assert steps == [1]  # its generator had ended before it was counted out
    assert not UNITS


def test_a_stream_that_another_middleware_drops_is_counted_out() -> None:
    response: Any = MaintenanceModeMiddleware(lambda request: StreamingHttpResponse(iter([b"1"])))(
        get()
    )
    assert len(UNITS) == 1
    del response
    gc.collect()
    assert not UNITS


def test_a_stream_that_is_closed_twice_is_counted_out_once() -> None:
    first: Any = MaintenanceModeMiddleware(lambda request: StreamingHttpResponse([]))(get())
    second: Any = MaintenanceModeMiddleware(lambda request: StreamingHttpResponse([]))(get())
    first.close()
    first.close()
    assert len(UNITS) == 1
    second.close()


def test_a_request_is_counted_before_the_gate_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    gate.view()
    counted: list[int] = []
    monkeypatch.setattr(gate, "_clock", lambda: 0.0)

    class Asked:
        """Stands in for what is known, and notes who is counted when it is looked at."""

        def __get__(self, instance: object, owner: type) -> Any:
            counted.append(len(UNITS))
            return instance.__dict__["_known"] if instance is not None else self

        def __set__(self, instance: object, value: object) -> None:
            instance.__dict__["_known"] = value

    known = gate._view
    monkeypatch.setattr(type(gate), "_view", Asked(), raising=False)
    gate._view = known
    MaintenanceModeMiddleware(lambda request: HttpResponse())(get())
    assert counted[0] == 1


def test_a_refused_request_is_not_counted() -> None:
    with override_maintenance():
        response: Any = MaintenanceModeMiddleware(lambda request: HttpResponse())(get())
    assert response.status_code in {302, 503}
    assert not UNITS


def test_when_the_gate_cannot_be_asked_nobody_stays_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise RuntimeError("wrong settings")

    monkeypatch.setattr(gate, "view", fail)
    with pytest.raises(RuntimeError):
        MaintenanceModeMiddleware(lambda request: HttpResponse())(get())


# -- ASGI --------------------------------------------------------------------------------------


async def hang(request: HttpRequest) -> HttpResponse:
    begun.set()
    await asyncio.sleep(3600)
    return HttpResponse()


def hang_in_a_thread(request: HttpRequest) -> HttpResponse:
    begun.set()
    may_end.wait(PATIENCE)
    ended.set()
    return HttpResponse()


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[bytes]:
        yield b"1"
        begun.set()
        await asyncio.sleep(3600)

    return StreamingHttpResponse(body())


urlpatterns = [path("hang/", hang), path("thread/", hang_in_a_thread), path("stream/", stream)]


def test_a_request_whose_coroutine_is_cancelled_is_counted_out() -> None:
    async def scenario() -> None:
        request: Any = AsyncRequestFactory().get("/")
        task = asyncio.ensure_future(MaintenanceModeMiddleware(hang)(request))  # type: ignore[arg-type]
        await until(begun.is_set)
        assert len(UNITS) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert not UNITS


@pytest.mark.parametrize("where", ["/hang/", "/stream/"])
@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE)
def test_a_request_whose_client_has_gone_is_counted_out(where: str) -> None:
    async def scenario() -> None:
        client = await connect(where)
        assert len(UNITS) == 1
        await client.send_input({"type": "http.disconnect"})
        await until(lambda: not UNITS)
        await client.wait()

    asyncio.run(scenario())


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE)
def test_a_view_in_a_thread_is_counted_until_it_ends_though_the_client_has_gone() -> None:
    async def scenario() -> None:
        client = await connect("/thread/")
        await client.send_input({"type": "http.disconnect"})
        for _turn in range(50):  # as many chances to be counted out too early
            await asyncio.sleep(0.001)
            assert UNITS
        may_end.set()
        await until(lambda: not UNITS)
        assert ended.is_set()
        await client.wait()

    asyncio.run(scenario())


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE)
def test_a_server_that_loses_patience_with_such_a_view_does_not_let_it_count_for_ever() -> None:
    async def scenario() -> None:
        client = await connect("/thread/")
        await client.send_input({"type": "http.disconnect"})
        await asyncio.sleep(0.01)  # so that the view is being waited for
        client.future.cancel()  # as Daphne does after ten seconds
        for _turn in range(50):
            await asyncio.sleep(0.001)
            assert UNITS
        may_end.set()
        await until(lambda: not UNITS)
        assert ended.is_set()

    asyncio.run(scenario())


async def connect(where: str) -> Any:
    """A client that has asked for *where* and whose view has begun."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": where,
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
    }
    client: Any = cast("Any", ApplicationCommunicator)(get_asgi_application(), scope)
    await client.send_input({"type": "http.request", "body": b""})
    await until(begun.is_set)
    return client


async def until(holds: Any) -> None:
    """Let everything else run until *holds()*."""
    for _turn in range(int(PATIENCE / 0.001)):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never became true")
