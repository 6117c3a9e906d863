"""Streams of ordinary visitors end when the operator has said, and nobody else's do."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.http import FileResponse, StreamingHttpResponse

from backsoon import inflight, store
from backsoon.core.vocabulary import Mode, Policy, Switch
from backsoon.gate import gate
from backsoon.http import sockets, streams
from backsoon.http.streams import StreamCutError
from backsoon.inflight import Unit
from backsoon.snapshots import Snapshot

# Closing a response lets Django look after the connections that other tests opened.
pytestmark = pytest.mark.django_db

EVENTS = "text/event-stream; charset=utf-8"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gate.view().snapshot
    yield
    inflight.clear()
    gate.install(before)
    assert streams._cut is None


@pytest.fixture
def unit() -> Unit:
    """Somebody ordinary, who was let by while the site was open."""
    one = Unit("GET", "/export/")
    gate.enter(one)
    return one


def close(cut_in: float | None, mode: Mode = Mode.CLOSED) -> None:
    """Close the site, and have streams cut after so many seconds."""
    now = store.utc_now()
    moment = None if cut_in is None else now + dt.timedelta(seconds=cut_in)
    known = gate.view().snapshot
    mark = dataclasses.replace(known.mark, epoch=known.mark.epoch + 1)
    policy = Policy(switch=Switch(mode=mode, since=now, cut_streams_at=moment))
    gate.install(Snapshot(policy=policy, mark=mark))


def open_again() -> None:
    known = gate.view().snapshot
    mark = dataclasses.replace(known.mark, epoch=known.mark.epoch + 1)
    gate.install(Snapshot(mark=mark))


def numbers() -> Iterator[bytes]:
    for number in range(5):
        yield b"%d" % number


def watched(unit: Any, content: Any, content_type: str = "text/csv") -> Any:
    response: Any = StreamingHttpResponse(content, content_type=content_type)
    streams.watch(unit, response, lambda: None)
    return response


# -- Synchronous -------------------------------------------------------------------------------


def test_while_open_and_without_such_a_moment_every_chunk_goes_by(unit: Unit) -> None:
    assert b"".join(watched(unit, numbers())) == b"01234"
    chunks = iter(watched(unit, numbers()))
    assert next(chunks) == b"0"
    close(cut_in=None)
    assert b"".join(chunks) == b"1234"


def test_a_stream_is_broken_off_with_its_next_chunk(unit: Unit) -> None:
    chunks = iter(watched(unit, numbers()))
    assert next(chunks) == b"0"
    close(cut_in=0)
    with pytest.raises(StreamCutError):
        next(chunks)


@pytest.mark.parametrize("named", ["text/event-stream", EVENTS, "Text/Event-Stream"])
def test_events_end_as_if_there_were_no_more(unit: Unit, named: str) -> None:
    chunks = iter(watched(unit, numbers(), named))
    assert next(chunks) == b"0"
    close(cut_in=0)
    assert list(chunks) == []


def test_until_the_moment_has_come_nothing_is_cut(
    unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = iter(watched(unit, numbers()))
    close(cut_in=60)
    assert next(chunks) == b"0"
    begun = time.monotonic()
    monkeypatch.setattr(streams, "since_boot", lambda: begun + 1e9)
    with pytest.raises(StreamCutError):
        next(chunks)


def test_a_site_that_has_opened_cuts_nothing(unit: Unit) -> None:
    chunks = iter(watched(unit, numbers()))
    close(cut_in=0)
    open_again()
    assert b"".join(chunks) == b"01234"


def test_administrators_streams_are_not_cut(unit: Unit) -> None:
    chunks = iter(watched(unit, numbers()))
    close(cut_in=0)
    inflight.set_apart(unit)
    assert b"".join(chunks) == b"01234"


@pytest.mark.parametrize(("mode", "cut"), [(Mode.READ_ONLY, False), (Mode.CLOSED, True)])
def test_readers_streams_are_cut_by_a_closure_alone(unit: Unit, mode: Mode, cut: bool) -> None:
    inflight.set_reading(unit)
    chunks = iter(watched(unit, numbers(), EVENTS))
    close(cut_in=0, mode=mode)
    assert b"".join(chunks) == (b"" if cut else b"01234")


def test_a_cut_stream_is_closed_with_its_generator(unit: Unit) -> None:
    ended: list[bool] = []

    def content() -> Iterator[bytes]:
        try:
            yield b"1"
            yield b"2"
        finally:
            ended.append(True)

    response = watched(unit, content())
    chunks = iter(response)
    next(chunks)
    close(cut_in=0)
    with pytest.raises(StreamCutError):
        next(chunks)
    response.close()
    assert ended == [True]


def test_a_file_stays_one_that_the_server_can_send_by_itself(unit: Unit, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a file")
    response: Any = FileResponse((tmp_path / "x").open("rb"))
    to_send = response.file_to_stream
    streams.watch(unit, response, lambda: None)
    assert response.file_to_stream is to_send is not None
    assert b"".join(response) == b"a file"
    response.close()
    assert to_send.closed


def test_a_file_that_is_read_piece_by_piece_is_broken_off(unit: Unit, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a file")
    response: Any = FileResponse((tmp_path / "x").open("rb"))
    streams.watch(unit, response, lambda: None)
    close(cut_in=0)
    with pytest.raises(StreamCutError):
        b"".join(response)
    response.close()


# -- Asynchronous ------------------------------------------------------------------------------


class Endless:
    """One chunk, and then none for an hour."""

    def __init__(self) -> None:
        self.ended_by: list[type[BaseException]] = []

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            yield b"0"
            await asyncio.sleep(3600)
        except BaseException as error:
            self.ended_by.append(type(error))
            raise


async def rest_of(chunks: AsyncIterator[bytes]) -> list[bytes]:
    async with asyncio.timeout(5):
        return [chunk async for chunk in chunks]


@pytest.mark.parametrize("known_before", [False, True])
def test_a_stream_that_waits_for_hours_is_broken_off_at_the_moment(
    unit: Unit, known_before: bool
) -> None:
    async def scenario() -> None:
        endless = Endless()
        if known_before:
            close(cut_in=0.05)
        chunks = aiter(watched(unit, endless))
        assert await anext(chunks) == b"0"
        waiting = asyncio.ensure_future(rest_of(chunks))
        await asyncio.sleep(0)
        if not known_before:
            await asyncio.to_thread(close, 0.05)
        with pytest.raises(StreamCutError):
            await waiting
        assert endless.ended_by == [asyncio.CancelledError]  # as of a client who has gone

    asyncio.run(scenario())


def test_events_that_are_waited_for_end_as_if_there_were_no_more(unit: Unit) -> None:
    async def scenario() -> None:
        chunks = aiter(watched(unit, Endless(), EVENTS))
        assert await anext(chunks) == b"0"
        waiting = asyncio.ensure_future(rest_of(chunks))
        await asyncio.sleep(0)
        close(cut_in=0)
        assert await waiting == []

    asyncio.run(scenario())


def test_a_stream_that_never_waits_is_broken_off_too(unit: Unit) -> None:
    async def busy() -> AsyncIterator[bytes]:
        while True:
            yield b"x"

    async def scenario() -> None:
        chunks = aiter(watched(unit, busy()))
        await anext(chunks)
        close(cut_in=0)
        with pytest.raises(StreamCutError):
            await rest_of(chunks)

    asyncio.run(scenario())


@pytest.mark.parametrize("apart", [False, True])
def test_an_administrators_stream_goes_on_and_so_does_one_of_a_site_that_opens(
    unit: Unit, apart: bool
) -> None:
    may_go_on = asyncio.Event()

    async def content() -> AsyncIterator[bytes]:
        yield b"0"
        await may_go_on.wait()
        yield b"1"

    async def scenario() -> None:
        chunks = aiter(watched(unit, content()))
        assert await anext(chunks) == b"0"
        waiting = asyncio.ensure_future(rest_of(chunks))
        await asyncio.sleep(0)
        if apart:
            inflight.set_apart(unit)
        close(cut_in=0 if apart else 0.05)
        if not apart:
            await asyncio.sleep(0)
            open_again()
        await asyncio.sleep(0.1)
        may_go_on.set()
        assert await waiting == [b"1"]

    asyncio.run(scenario())


def test_a_timeout_of_the_streams_own_is_passed_on(unit: Unit) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"0"
        raise TimeoutError("the project's")

    async def scenario() -> None:
        with pytest.raises(TimeoutError, match="the project's"):
            await rest_of(aiter(watched(unit, content())))

    asyncio.run(scenario())


def test_a_stream_whose_client_has_gone_is_cancelled_as_ever(unit: Unit) -> None:
    async def scenario() -> None:
        endless = Endless()
        chunks = aiter(watched(unit, endless))
        await anext(chunks)
        waiting = asyncio.ensure_future(rest_of(chunks))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert endless.ended_by == [asyncio.CancelledError]

    asyncio.run(scenario())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system does not fork.")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("module", [streams, sockets])
def test_a_child_that_was_forked_while_somebody_held_the_lock_can_take_it(module: Any) -> None:
    with module._lock:
        pid = os.fork()
        if pid == 0:
            os._exit(0 if module._lock.acquire(timeout=1) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_stream_that_is_given_up_ends_after_its_own_clean_up_though_nobody_closes_it() -> None:
    unit, said = Unit("GET", "/events/"), []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"1"
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            said.append("its own")

    async def scenario() -> None:
        response = StreamingHttpResponse(chunks())
        streams.watch(unit, response, lambda: said.append("the end"))

        async def go_through() -> None:
            said.extend([f"chunk {chunk!r}" async for chunk in response])

        task = asyncio.ensure_future(go_through())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert said == ["its own", "the end"]
