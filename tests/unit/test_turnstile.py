"""Few at a time, and shut after a fault."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from backsoon.http.turnstile import Turnstile, renew_all


class Clock:
    """Seconds, as the test gives them."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def turnstile(clock: Clock) -> Turnstile:
    return Turnstile(2, 1.0, clock)


def test_as_many_as_there_are_places_get_in_and_no_more(turnstile: Turnstile) -> None:
    assert [turnstile.enter() for _ in range(4)] == [True, True, False, False]


def test_whoever_leaves_makes_room(turnstile: Turnstile) -> None:
    assert turnstile.enter()
    assert turnstile.enter()
    turnstile.leave(fault=False)
    assert turnstile.enter()


def test_after_a_fault_nobody_gets_in_for_the_pause(turnstile: Turnstile, clock: Clock) -> None:
    assert turnstile.enter()
    turnstile.leave(fault=True)
    assert not turnstile.enter()
    clock.now += 0.99
    assert not turnstile.enter()
    clock.now += 0.01
    assert turnstile.enter()


def test_a_fault_that_was_over_at_once_shuts_nothing(turnstile: Turnstile) -> None:
    assert turnstile.enter()
    turnstile.leave(fault=True, stuck=False)
    assert turnstile.enter()


def test_only_the_first_fault_of_an_outage_is_news(turnstile: Turnstile, clock: Clock) -> None:
    def visit(*, fault: bool) -> bool:
        clock.now += 2
        assert turnstile.enter()
        return turnstile.leave(fault=fault)

    assert [visit(fault=f) for f in (True, True, False, True, True)] == [
        True, False, False, True, False,
    ]  # fmt: skip


def test_the_patient_get_the_place_that_becomes_free() -> None:
    turnstile = Turnstile(1, 1.0)
    assert turnstile.enter()
    got = []
    waiting = threading.Thread(target=lambda: got.append(turnstile.enter(patience=10)))
    waiting.start()
    turnstile.leave(fault=False)
    waiting.join(10)
    assert got == [True]


def test_who_waited_for_somebody_who_got_stuck_stays_outside() -> None:
    turnstile = Turnstile(1, 60.0)
    assert turnstile.enter()
    got = []
    waiting = threading.Thread(target=lambda: got.append(turnstile.enter(patience=10)))
    waiting.start()
    turnstile.leave(fault=True)
    waiting.join(10)
    assert got == [False]


def test_patience_ends() -> None:
    turnstile = Turnstile(1, 1.0)
    assert turnstile.enter()
    assert not turnstile.enter(patience=0.01)


def test_async_code_waits_without_holding_up_the_loop() -> None:
    turnstile = Turnstile(1, 1.0)

    async def visit() -> tuple[bool, bool]:
        assert turnstile.enter()
        waiting = asyncio.create_task(turnstile.aenter(patience=10))
        await asyncio.sleep(0)
        waited = not waiting.done()
        turnstile.leave(fault=False)
        return waited, await waiting

    assert asyncio.run(visit()) == (True, True)


def test_async_code_does_not_wait_at_a_shut_turnstile_nor_beyond_its_patience() -> None:
    shut, full = Turnstile(1, 60.0), Turnstile(1, 1.0)
    assert shut.enter()
    assert full.enter()
    shut.leave(fault=True)
    assert not asyncio.run(shut.aenter(patience=60))
    assert not asyncio.run(full.aenter(patience=0.01))


@pytest.fixture
def child(turnstile: Turnstile) -> bytes:
    """What a child process that was forked with the turnstile full and shut says of it."""
    assert turnstile.enter()
    assert turnstile.enter()
    turnstile.leave(fault=True)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, bytes(turnstile.enter() for _ in range(3)))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


def test_a_forked_process_begins_with_all_places_free(turnstile: Turnstile, child: bytes) -> None:
    assert child == bytes([True, True, False])
    assert not turnstile.enter()  # in the parent it is still shut


def test_all_can_be_renewed_at_once(turnstile: Turnstile) -> None:
    assert turnstile.enter()
    turnstile.leave(fault=True)
    renew_all()
    assert turnstile.enter()
