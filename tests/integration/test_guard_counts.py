"""What the guard lets by is counted there, once, until the server is done with it."""

from __future__ import annotations

import asyncio
import gc
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory, Client, RequestFactory, override_settings
from django.urls import path

from backsoon import guard, inflight
from backsoon.gate import gate
from backsoon.http import bodies
from backsoon.inflight import APART, KEY, READERS, UNITS
from backsoon.testing import give_pass, override_maintenance

pytestmark = pytest.mark.django_db

PATIENCE = 5.0
MIDDLEWARE = ["backsoon.middleware.MaintenanceModeMiddleware"]

Ledgers = tuple[list[str], list[str], list[str]]


def ledgers() -> Ledgers:
    """What is counted: ordinary, only reading, apart."""
    told = [[f"{unit.method} {unit.path}" for unit in one] for one in (UNITS, READERS, APART)]
    return told[0], told[1], told[2]


NOTHING: Ledgers = ([], [], [])


@pytest.fixture(autouse=True)
def _nobody_is_counted_before_and_after() -> Iterator[None]:
    assert ledgers() == NOTHING
    yield
    assert ledgers() == NOTHING


def environ(
    path: str = "/orders/", method: str = "GET", *, wrapper: Any = None, cookie: str = ""
) -> dict[str, Any]:
    made = RequestFactory().generic(method, path).environ
    raw = made["PATH_INFO"].encode().decode("latin-1")  # as servers hand it over (PEP 3333)
    more = {"wsgi.file_wrapper": wrapper, "HTTP_COOKIE": cookie}
    return {**made, "PATH_INFO": raw, "wsgi.input": io.BytesIO(), **more}


def ask(application: Callable[..., Any], asked: dict[str, Any] | None = None) -> Any:
    """The body that a WSGI server gets."""
    guarded: Any = guard.wsgi(application)
    return guarded(environ() if asked is None else asked, lambda *arguments: None)


# -- WSGI --------------------------------------------------------------------------------------


def test_a_request_is_counted_from_before_the_application_until_its_body_is_closed() -> None:
    seen: list[Ledgers] = []

    def application(environ: Any, start_response: Any) -> HttpResponse:
        seen.append(ledgers())
        return HttpResponse(b"x")

    body = ask(application, environ("/café/?a=1", "POST"))
    assert seen == [(["POST /café/"], [], [])]
    assert ledgers() == seen[0]
    body.close()
    assert ledgers() == NOTHING


def test_the_middleware_does_not_count_a_second_time() -> None:
    seen: list[Any] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append([type(unit) for unit in UNITS])
        return HttpResponse()

    handler = _handler_for(view)
    with _site(view):
        ask(handler, environ("/view/")).close()
    assert seen == [[bodies.Visit]]


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, GeneratorExit])
def test_a_request_whose_application_raises_is_counted_out(error: type[BaseException]) -> None:
    def application(environ: Any, start_response: Any) -> Any:
        raise error

    with pytest.raises(error):
        ask(application)


def test_a_request_whose_start_response_raises_while_refused_is_not_counted() -> None:
    def fail(*arguments: Any) -> None:
        raise OSError("the client has gone")

    guarded: Any = guard.wsgi(WSGIHandler())
    with override_maintenance(), pytest.raises(OSError, match="gone"):
        guarded(environ("/account/"), fail)


class Closed(list[str]):
    """A body that notes when it is closed."""

    def close(self) -> None:
        self.append("closed")


def test_a_generator_is_counted_until_it_is_closed_and_its_own_end_comes_first() -> None:
    ends: list[Ledgers] = []

    def chunks() -> Iterator[bytes]:
        try:
            yield b"1"
            yield b"2"
        finally:
            ends.append(ledgers())

    body = ask(lambda environ, start_response: chunks())
    assert next(iter(body)) == b"1"
    assert ledgers() != NOTHING
    body.close()
    assert ends == [(["GET /orders/"], [], [])]


def test_a_body_whose_close_raises_is_counted_out() -> None:
    class Broken:
        def __iter__(self) -> Iterator[bytes]:
            return iter(())

        def close(self) -> None:
            raise OSError("a disk")

    body = ask(lambda environ, start_response: Broken())
    assert ledgers() != NOTHING
    with pytest.raises(OSError, match="a disk"):
        body.close()


def _server_that_never_closes(application: Any) -> bytes:
    """As asgiref's and uvicorn's bridges to ASGI go through a body."""
    return b"".join(chunk for chunk in ask(application, environ("/view/")))


def test_a_body_that_nobody_closes_ends_with_the_last_reference_to_it() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(b"x")

    handler = _handler_for(view)
    with _site(view):
        assert _server_that_never_closes(handler) == b"x"
    assert ledgers() == NOTHING


def test_a_generator_that_nobody_closes_is_counted_as_long_as_somebody_goes_through_it() -> None:
    seen: list[Ledgers] = []

    def chunks() -> Iterator[bytes]:
        for _chunk in range(2):
            gc.collect()
            seen.append(ledgers())
            yield b"x"

    assert _server_that_never_closes(lambda environ, start_response: chunks()) == b"xx"
    assert seen == [(["GET /view/"], [], [])] * 2
    assert ledgers() == NOTHING


def test_a_stream_of_djangos_that_nobody_closes_is_counted_to_its_last_piece() -> None:
    seen: list[Ledgers] = []

    def view(request: HttpRequest) -> StreamingHttpResponse:
        def chunks() -> Iterator[bytes]:
            for _chunk in range(2):
                gc.collect()
                seen.append(ledgers())
                yield b"x"

        return StreamingHttpResponse(chunks())

    handler = _handler_for(view)
    with _site(view):
        assert _server_that_never_closes(handler) == b"xx"
    gc.collect()
    assert seen == [(["GET /view/"], [], [])] * 2


@pytest.mark.parametrize("behind_guard", [True, False])
def test_a_view_that_asks_the_application_again_is_waited_for_whatever_comes_of_that(
    behind_guard: bool,
) -> None:
    seen: list[list[str]] = []

    def view(request: WSGIRequest) -> HttpResponse:
        with override_maintenance():
            handler({**request.environ, "PATH_INFO": "/login/"}, lambda *arguments: None).close()
            seen.append(ledgers()[0])
        if len(seen) == 1:
            handler.get_response(request)
        seen.append(ledgers()[0])
        return HttpResponse()

    handler: Any = _handler_for(view)
    application: Any = guard.wsgi(handler) if behind_guard else handler
    with _site(view):
        application(environ("/view/"), lambda *arguments: None).close()
    assert len(seen) == 4
    assert all("GET /view/" in counted for counted in seen)


def test_a_list_is_the_servers_own_affair() -> None:
    given = [b"all of it"]
    assert ask(lambda environ, start_response: given) is given
    assert ledgers() == NOTHING


def test_a_file_stays_what_the_server_can_send_by_itself(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a file")

    def download(request: HttpRequest) -> FileResponse:
        return FileResponse((tmp_path / "x").open("rb"))

    with _site(download):
        body = ask(_handler_for(download), environ("/view/", wrapper=FileWrapper))
    assert type(body) is FileWrapper
    assert body.filelike.fileno()
    assert ledgers() == (["GET /view/"], [], [])
    body.close()
    assert body.filelike.closed


def test_a_file_that_a_function_of_the_server_wraps_stays_that_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a file")
    opened = (tmp_path / "x").open("rb")
    asked = environ(wrapper=lambda filelike, size=0: filelike)
    body = ask(lambda environ, start_response: opened, asked)
    assert body is opened
    assert ledgers() != NOTHING
    body.close()


def test_a_file_of_a_server_written_in_c_is_not_waited_for() -> None:
    class Sending:
        """As of a server written in C: nothing can be put on it."""

        __slots__ = ()

        def __iter__(self) -> Iterator[bytes]:
            return iter((b"x",))

    body = ask(lambda e, s: Sending(), environ(wrapper=Sending))
    assert type(body) is Sending
    assert ledgers() == NOTHING


def test_a_refused_request_is_not_counted_and_nobody_waits_for_its_body() -> None:
    with override_maintenance():
        body = ask(WSGIHandler(), environ("/account/"))
        assert ledgers() == NOTHING
    assert body


@pytest.mark.parametrize(
    ("mode", "counted"),
    [("closed", ([], [], ["GET /login/"])), ("read_only", ([], ["GET /login/"], []))],
)
def test_who_goes_on_to_django_while_not_open_is_not_ordinary(mode: str, counted: Ledgers) -> None:
    seen: list[Ledgers] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(ledgers())
        return []

    with override_maintenance(mode):
        ask(application, environ("/login/"))
    assert seen == [counted]


def test_an_administrators_request_stays_apart_until_its_body_is_closed(root: User) -> None:
    client = Client()
    client.force_login(root)
    give_pass(client, root)
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    with override_maintenance():
        body = ask(WSGIHandler(), environ("/account/", cookie=cookies))
        assert ledgers() == ([], [], ["GET /account/"])
        body.close()


def test_a_request_that_is_let_by_because_the_site_has_opened_meanwhile_is_ordinary() -> None:
    seen: list[list[str]] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(ledgers()[0])
        return HttpResponse()

    handler = _handler_for(view)
    closed = override_maintenance()

    def opened_meanwhile(environ: Any, start_response: Any) -> Any:
        closed.disable()
        return handler(environ, start_response)

    with _site(view), override_settings(BACKSOON={"EXEMPT": ["/view/"]}):
        closed.enable()
        ask(opened_meanwhile, environ("/view/")).close()
    assert seen == [["GET /view/"]]


def test_what_cannot_be_counted_is_left_to_the_middleware(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(unit: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(gate, "enter", fail)
    asked = environ()
    assert ask(lambda environ, start_response: [b"x"], asked) == [b"x"]
    assert KEY not in asked
    assert "leaves all to the middleware" in caplog.text


# -- ASGI --------------------------------------------------------------------------------------


def scope(path: str = "/view/") -> dict[str, Any]:
    return {**AsyncRequestFactory().get(path).scope, "headers": [(b"host", b"testserver")]}


async def _nothing(message: Any) -> None:
    """A client who does not care."""


def test_under_asgi_a_request_is_counted_until_the_application_has_ended() -> None:
    seen: list[Ledgers] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(ledgers())
        assert scope[KEY] in UNITS

    asked = scope()
    guarded: Any = guard.asgi(application)
    asyncio.run(guarded(asked, None, None))
    assert seen == [(["GET /view/"], [], [])]
    assert KEY not in asked  # a server may use it again


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError, GeneratorExit])
def test_under_asgi_a_request_whose_application_raises_is_counted_out(
    error: type[BaseException],
) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise error

    async def scenario() -> None:
        with pytest.raises(error):
            await guard.asgi(application)(scope(), None, None)

    asyncio.run(scenario())


def test_under_asgi_a_client_that_is_slow_to_take_its_refusal_is_not_waited_for() -> None:
    seen: list[Ledgers] = []

    async def send(message: Any) -> None:
        seen.append(ledgers())

    async def scenario() -> None:
        await guard.asgi(ASGIHandler())(scope("/account/"), None, send)

    with override_maintenance():
        asyncio.run(scenario())
    assert seen == [NOTHING, NOTHING]


def test_a_view_in_a_thread_is_counted_until_it_ends_though_the_client_has_gone() -> None:
    begun, may_end = threading.Event(), threading.Event()
    counted_at_its_end: list[int] = []

    def view(request: HttpRequest) -> HttpResponse:
        begun.set()
        may_end.wait(PATIENCE)
        counted_at_its_end.append(len(UNITS))
        return HttpResponse()

    async def scenario() -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        await heard.put({"type": "http.request", "body": b""})
        asked = asyncio.ensure_future(guard.asgi(ASGIHandler())(scope(), heard.get, _nothing))
        await _until(begun.is_set)
        assert ledgers()[0] == ["GET /view/"]
        await heard.put({"type": "http.disconnect"})
        for _turn in range(50):  # as many chances to be counted out too early
            await asyncio.sleep(0.001)
            assert UNITS
        may_end.set()
        await asked
        await _until(lambda: not UNITS)

    with _site(view):
        asyncio.run(scenario())
    assert counted_at_its_end[0] >= 1


@pytest.mark.parametrize("kind", ["view", "stream"])
def test_what_django_goes_on_with_though_the_server_gave_it_up_is_waited_for(kind: str) -> None:
    """Whoever cancels the application from outside, by a time limit, does not reach the view.

    From Django 6.1 on it does, and the view ends then.
    """
    begun, may_end = asyncio.Event(), asyncio.Event()
    at_the_end: list[list[str]] = []

    async def work() -> None:
        begun.set()
        try:
            await may_end.wait()
        finally:
            at_the_end.append(ledgers()[0])

    async def view(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        async def chunks() -> AsyncIterator[bytes]:
            await work()
            yield b"x"

        if kind == "stream":
            return StreamingHttpResponse(chunks())
        await work()
        return HttpResponse()

    async def scenario() -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        await heard.put({"type": "http.request", "body": b""})
        asked = asyncio.ensure_future(guard.asgi(ASGIHandler())(scope(), heard.get, _nothing))
        await asyncio.wait_for(begun.wait(), PATIENCE)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        for _turn in range(50):
            await asyncio.sleep(0.001)
            assert at_the_end or ledgers()[0] == ["GET /view/"]
        may_end.set()
        await _until(lambda: not UNITS)

    with _site(view):
        asyncio.run(scenario())
    assert at_the_end == [["GET /view/"]]


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")
@pytest.mark.parametrize("is_async", [True, False])
def test_a_stream_that_breaks_off_is_counted_out_though_django_does_not_close_it(
    is_async: bool,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"1"
        raise RuntimeError("a fault")

    def pieces() -> Iterator[bytes]:
        yield b"1"
        raise RuntimeError("a fault")

    async def view(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(chunks() if is_async else pieces())

    async def scenario() -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        await heard.put({"type": "http.request", "body": b""})
        with pytest.raises(RuntimeError, match="a fault"):
            await guard.asgi(ASGIHandler())(scope(), heard.get, _nothing)
        assert ledgers() == NOTHING

    with _site(view):
        asyncio.run(scenario())


def sync_only(get_response: Any) -> Any:
    """A middleware that makes Django run those above it in a thread."""
    return get_response


def test_a_middleware_in_a_thread_under_asgi_counts_under_the_guards_unit() -> None:
    seen: list[Ledgers] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(ledgers())
        inflight.set_apart(inflight.unit_of(request))
        seen.append(ledgers())
        return HttpResponse()

    async def scenario() -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        await heard.put({"type": "http.request", "body": b""})
        await guard.asgi(ASGIHandler())(scope(), heard.get, _nothing)

    middleware = [*MIDDLEWARE, f"{__name__}.sync_only"]
    with override_settings(ROOT_URLCONF=_Routes(view), MIDDLEWARE=middleware):
        asyncio.run(scenario())
    assert seen == [(["GET /view/"], [], []), ([], [], ["GET /view/"])]


def test_a_stream_under_asgi_is_counted_until_its_end() -> None:
    seen: list[int] = []

    async def view(request: HttpRequest) -> StreamingHttpResponse:
        async def chunks() -> Any:
            seen.append(len(UNITS))
            yield b"1"

        return StreamingHttpResponse(chunks())

    async def scenario() -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        await heard.put({"type": "http.request", "body": b""})
        await guard.asgi(ASGIHandler())(scope(), heard.get, _nothing)

    with _site(view):
        asyncio.run(scenario())
    assert seen == [1]


async def _until(holds: Callable[[], bool]) -> None:
    """Let everything else run until *holds()*."""
    for _turn in range(int(PATIENCE / 0.001)):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never became true")


class _Routes:
    """A URL configuration of one view."""

    def __init__(self, view: Any) -> None:
        self.urlpatterns = [path("view/", view)]


def _site(view: Any) -> override_settings:
    return override_settings(ROOT_URLCONF=_Routes(view), MIDDLEWARE=MIDDLEWARE)


def _handler_for(view: Any) -> WSGIHandler:
    with _site(view):
        return WSGIHandler()
