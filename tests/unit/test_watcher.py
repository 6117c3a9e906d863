"""When the watcher ticks, and what it listens to meanwhile."""

from __future__ import annotations

import atexit
import errno
import fcntl
import itertools
import logging
import os
import resource
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from backsoon.watcher import PAUSE_SECONDS, Deaf, HasFileno, Watcher

PATIENCE = 10.0
"""Seconds after which something that should have happened has not."""

NEVER = 3600.0
"""An interval that no test lives to see."""


@contextmanager
def watching(watcher: Watcher) -> Iterator[Watcher]:
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()


class Line(Deaf):
    """An ear on a socket."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.attended = threading.Semaphore(0)
        self.said: list[bytes] = []
        self.stopped_by = ""

    def attend(self) -> HasFileno | None:
        self.attended.release()
        return self.near

    def hear(self) -> None:
        self.said.append(self.near.recv(100))

    def stop(self) -> None:
        self.stopped_by = threading.current_thread().name


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    with line.near, line.far:
        yield line


def test_it_ticks_at_once_and_then_whenever_it_is_woken() -> None:
    ticked = threading.Semaphore(0)
    with watching(Watcher(lambda: ticked.release(), lambda: NEVER)) as watcher:
        assert ticked.acquire(timeout=PATIENCE)
        for _again in range(3):
            watcher.wake()
            assert ticked.acquire(timeout=PATIENCE)


def test_it_ticks_again_after_each_interval() -> None:
    ticked = threading.Semaphore(0)
    with watching(Watcher(lambda: ticked.release(), lambda: 0.01)):
        for _each in range(3):
            assert ticked.acquire(timeout=PATIENCE)


def test_who_wakes_it_during_a_tick_gets_another_one() -> None:
    ticks, twice = [], threading.Event()

    def tick() -> None:
        ticks.append(1)
        if len(ticks) == 1:
            watcher.wake()
        else:
            twice.set()

    watcher = Watcher(tick, lambda: NEVER)
    with watching(watcher):
        assert twice.wait(PATIENCE)


def test_waking_it_without_end_does_not_make_it_tick_without_end() -> None:
    ticks: list[float] = []
    with watching(Watcher(lambda: ticks.append(time.monotonic()), lambda: NEVER)) as watcher:
        deadline = time.monotonic() + PATIENCE
        while len(ticks) < 6 and time.monotonic() < deadline:
            watcher.wake()
    gaps = [later - earlier for earlier, later in itertools.pairwise(ticks)]
    assert len(gaps) >= 5
    # Ticks are stamped a little after their beginning, from which the pause is measured.
    assert sum(gaps) / len(gaps) > 0.9 * PAUSE_SECONDS


def test_what_it_hears_brings_a_tick(line: Line) -> None:
    ticked = threading.Semaphore(0)
    with watching(Watcher(lambda: ticked.release(), lambda: NEVER, ear=line)):
        assert ticked.acquire(timeout=PATIENCE)
        line.far.sendall(b"now")
        assert ticked.acquire(timeout=PATIENCE)
    assert line.said == [b"now"]
    assert line.stopped_by == "backsoon-watcher"


@pytest.mark.parametrize("deaf", ["attend", "hear"])
def test_it_outlives_an_ear_that_fails(
    line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, deaf: str
) -> None:
    def fail() -> None:
        line.near.setblocking(False)
        with suppress(BlockingIOError):
            line.near.recv(100)
        raise RuntimeError("no ear for this")

    monkeypatch.setattr(line, deaf, fail)
    ticked = threading.Semaphore(0)
    with (
        caplog.at_level(logging.ERROR, logger="backsoon"),
        watching(Watcher(lambda: ticked.release(), lambda: NEVER, ear=line)) as watcher,
    ):
        assert ticked.acquire(timeout=PATIENCE)
        line.far.sendall(b"now")
        watcher.wake()
        assert ticked.acquire(timeout=PATIENCE)
    assert "no ear for this" in caplog.text


def test_it_hears_in_a_process_with_thousands_of_open_files(line: Line) -> None:
    beyond_select = 1500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard <= beyond_select:
        pytest.skip("This account may not open that many files.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, beyond_select + 100), hard))
    try:
        far_out = fcntl.fcntl(line.near.fileno(), fcntl.F_DUPFD_CLOEXEC, beyond_select)
        line.near.close()
        line.near = socket.socket(fileno=far_out)
        ticked = threading.Semaphore(0)
        with watching(Watcher(lambda: ticked.release(), lambda: NEVER, ear=line)):
            assert ticked.acquire(timeout=PATIENCE)
            line.far.sendall(b"now")
            assert ticked.acquire(timeout=PATIENCE)
    finally:
        line.near.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_it_can_be_started_again() -> None:
    ticked = threading.Semaphore(0)
    watcher = Watcher(lambda: ticked.release(), lambda: NEVER)
    for _each in range(2):
        with watching(watcher):
            assert ticked.acquire(timeout=PATIENCE)
        assert not watcher.running


def test_a_watcher_that_never_started_can_be_woken_and_stopped() -> None:
    watcher = Watcher(lambda: None, lambda: NEVER)
    watcher.wake()
    watcher.stop()
    assert not watcher.running


@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system does not fork.")
# Python warns of forking where threads run; that a child gets away with it is what is tested.
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("last", ["wake", "stop"])
def test_what_a_child_does_with_an_inherited_watcher_is_not_noticed_by_its_parent(
    line: Line, last: str
) -> None:
    ticked = threading.Semaphore(0)
    with watching(Watcher(lambda: ticked.release(), lambda: NEVER, ear=line)) as watcher:
        assert ticked.acquire(timeout=PATIENCE)
        assert line.attended.acquire(timeout=PATIENCE)
        in_child(getattr(watcher, last))
        assert not ticked.acquire(timeout=0.2)  # a tick would have come within milliseconds
        assert watcher.running
        line.far.sendall(b"now")
        assert ticked.acquire(timeout=PATIENCE)


def in_child(act: Callable[[], None]) -> None:
    """Do something in a forked child, which has to come to a good end."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_who_is_about_to_fork_waits_until_nothing_is_under_way_in_the_thread() -> None:
    in_tick, may_end = threading.Event(), threading.Event()

    def tick() -> None:
        in_tick.set()
        assert may_end.wait(PATIENCE)

    with watching(Watcher(tick, lambda: NEVER)) as watcher:
        assert in_tick.wait(PATIENCE)
        forked = threading.Event()

        def fork() -> None:
            watcher.before_fork()
            forked.set()
            watcher.after_fork_in_parent()

        thread = threading.Thread(target=fork)
        thread.start()
        assert not forked.wait(0.05)
        may_end.set()
        assert forked.wait(PATIENCE)
        thread.join(PATIENCE)
        in_tick.clear()
        watcher.wake()
        assert in_tick.wait(PATIENCE), "it goes on afterwards"


def test_a_tick_that_hangs_keeps_nobody_from_forking(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("backsoon.watcher.FORK_SECONDS", 0.05)
    in_tick, may_end = threading.Event(), threading.Event()

    def tick() -> None:
        in_tick.set()
        may_end.wait(PATIENCE)

    with watching(Watcher(tick, lambda: NEVER)) as watcher:
        assert in_tick.wait(PATIENCE)
        watcher.before_fork()
        watcher.after_fork_in_parent()
        assert "was forked while" in caplog.text
        may_end.set()


def test_a_tick_that_forks_itself_does_not_wait_for_itself() -> None:
    done = threading.Event()
    watcher: Watcher

    def tick() -> None:
        watcher.before_fork()
        watcher.after_fork_in_parent()
        done.set()

    watcher = Watcher(tick, lambda: NEVER)
    with watching(watcher):
        assert done.wait(PATIENCE)


def test_a_process_that_ends_stops_it_first(monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[Callable[[], None]] = []
    watcher = Watcher(lambda: None, lambda: NEVER)
    with monkeypatch.context() as patch:
        patch.setattr(atexit, "register", at_exit.append)
        watcher.start()
    assert watcher.running
    for act in at_exit:
        act()
    assert not watcher.running


def test_a_moment_without_a_free_file_number_does_not_end_the_watch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ticked = threading.Semaphore(0)
    failures = [OSError(errno.EMFILE, "Too many open files")]
    whole = selectors.DefaultSelector

    def make() -> selectors.BaseSelector:
        if failures:
            raise failures.pop()
        return whole()

    monkeypatch.setattr(selectors, "DefaultSelector", make)
    watcher = Watcher(ticked.release, lambda: 0.05)
    with caplog.at_level(logging.CRITICAL, logger="backsoon"):
        watcher.start()
        try:
            for _tick in range(3):
                assert ticked.acquire(timeout=5)
            assert watcher.running
        finally:
            watcher.stop()
    assert not failures
