"""The thread that keeps a process fresh, off the request path.

It only keeps time: what to do at each tick is given to it, and so is what it listens to between
two ticks. It is started by the first request that a process serves, never at import, so that a
server that forks after loading the application does not end up with a thread that exists in the
parent alone.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

from .forks import ForkLock

logger = logging.getLogger("backsoon")

FALLBACK_SECONDS = 1.0
"""The interval after a tick that failed."""

STOP_SECONDS = 1.0
"""How long a process that ends waits for the tick in progress."""

FORK_SECONDS = 2.0
"""How long a fork waits for the tick in progress. None takes so long but one that hangs."""

PAUSE_SECONDS = 0.02
"""The least time from one tick to the next, however often the watcher is woken."""


class HasFileno(Protocol):
    """Something that can be waited for."""

    def fileno(self) -> int:
        """The number of its file."""


class Ear(Protocol):
    """What a watcher listens to between two ticks. All of it happens in the watcher's thread."""

    def start(self, wake: Callable[[], None]) -> None:
        """Before the first tick. *wake* may be called from any thread."""

    def attend(self) -> HasFileno | None:
        """Before each wait: what shall end it as soon as there is something to read."""

    def hear(self) -> None:
        """There is something to read. A tick follows, whatever it was."""

    def stop(self) -> None:
        """After the last tick, also when :meth:`start` failed or was not called."""


class Deaf:
    """Hears nothing, so that only the interval and :meth:`Watcher.wake` bring a tick."""

    def start(self, wake: Callable[[], None]) -> None:
        """Do nothing."""

    def attend(self) -> HasFileno | None:
        """Nothing to wait for."""
        return None

    def hear(self) -> None:
        """Never called."""

    def stop(self) -> None:
        """Do nothing."""


class Watcher:
    """Calls *tick* at once, then every *interval* seconds, and whenever it is woken."""

    def __init__(
        self,
        tick: Callable[[], None],
        interval: Callable[[], float],
        *,
        on_start: Callable[[], None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
        on_fork: Callable[[], None] = lambda: None,
        ear: Ear | None = None,
    ) -> None:
        self._tick = tick
        self._interval = interval
        self._on_start = on_start
        self._on_stop = on_stop
        self._on_fork = on_fork
        self._ear = ear or Deaf()
        self._bell: Bell | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._busy = ForkLock("the watcher was at the database")
        self._process = os.getpid()

    @property
    def running(self) -> bool:
        """Whether the thread is alive in this process."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread unless it runs already. Safe to call from several threads."""
        with self._starting:
            if self.running:
                return
            self._process = os.getpid()
            self._bell = bell = Bell()
            self._thread = threading.Thread(
                target=self._run, args=(bell,), name="backsoon-watcher", daemon=True
            )
            self._thread.start()
            atexit.register(self.stop)

    def wake(self) -> None:
        """Tick now instead of at the next interval."""
        bell = self._bell
        if bell is not None and self._process == os.getpid():
            bell.ring()

    def stop(self) -> None:
        """End the thread and wait for it, at most :data:`STOP_SECONDS`."""
        atexit.unregister(self.stop)
        if self._process != os.getpid():
            return  # what a child inherited: the thread and the other end of the bell are not its
        bell, thread = self._bell, self._thread
        if bell is not None:
            bell.ring_out()
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_SECONDS)
        self._thread = None

    def before_fork(self) -> None:
        """Wait until nothing is under way in the thread: the calling one is about to fork.

        Then *on_fork* is called, which may put away what a child should not inherit.
        """
        if self._busy.before_fork(FORK_SECONDS) and self.running:
            self._on_fork()

    def after_fork_in_parent(self) -> None:
        """The thread may go on."""
        self._busy.after_fork_in_parent()

    def _run(self, bell: Bell) -> None:
        started = False
        try:
            while True:
                bell.hush()
                if bell.is_over:  # asked after hushing: it rings once that is true
                    break
                began, wait = time.monotonic(), FALLBACK_SECONDS
                try:
                    with self._busy:
                        if not started:
                            self._on_start()
                            self._ear.start(self.wake)
                            started = True
                        self._tick()
                        wait = self._interval()
                except Exception:  # the watch must outlive any surprise
                    logger.exception("Backsoon: the watcher met an error and goes on.")
                try:
                    self._wait(bell, wait)
                except Exception:  # no file number is free, for one: that passes
                    logger.exception("Backsoon: the watcher cannot wait to be woken.")
                    time.sleep(min(wait, FALLBACK_SECONDS))
                # Whoever rings without end must not make us read without end.
                rest = began + PAUSE_SECONDS - time.monotonic()
                if rest > 0 and not bell.is_over:
                    time.sleep(rest)
        finally:
            with self._busy:
                self._ear.stop()
                self._on_stop()
            bell.close()

    def _wait(self, bell: Bell, seconds: float) -> None:
        """Until somebody rings or speaks, or *seconds* have passed."""
        try:
            with self._busy:
                sound = self._ear.attend()
        except Exception:
            logger.exception("Backsoon: the watcher cannot listen and looks from time to time.")
            sound = None
        # By way of the module: gevent puts its own selector there.
        with selectors.DefaultSelector() as selector:
            selector.register(bell, selectors.EVENT_READ)
            if sound is not None:
                selector.register(sound, selectors.EVENT_READ)
            ready = [key.fileobj for key, _events in selector.select(seconds)]
        if sound is not None and sound in ready:
            try:
                with self._busy:
                    self._ear.hear()
            except Exception:
                logger.exception("Backsoon: the watcher did not understand what it heard.")


class Bell:
    """Ends a wait from another thread: a pair of sockets, since an event cannot be selected on.

    One for each run of a watcher, whose thread closes it.
    """

    def __init__(self) -> None:
        self._clapper, self._pull = socket.socketpair()
        self._clapper.setblocking(False)
        self._pull.setblocking(False)
        # So that no ring is on its way to a file that got the number of a closed socket.
        self._lock = threading.Lock()
        self.is_over = False

    def ring(self) -> None:
        """End the wait in progress, or else the next one."""
        with self._lock, contextlib.suppress(OSError):  # full: it rings already; or closed
            self._pull.send(b"\0")

    def ring_out(self) -> None:
        """Ring for the last time."""
        self.is_over = True
        self.ring()

    def hush(self) -> None:
        """Forget all that rang so far."""
        with contextlib.suppress(BlockingIOError):
            while len(self._clapper.recv(4096)) == 4096:
                pass  # more may be waiting

    def fileno(self) -> int:
        """What to wait for."""
        return self._clapper.fileno()

    def close(self) -> None:
        """Close the sockets; rings that come later are not heard."""
        with self._lock:
            self._clapper.close()
            self._pull.close()
