"""The thread that keeps a process fresh, off the request path.

It only keeps time: what to do at each tick is given to it. It is started by the first request that
a process serves, never at import, so that a server that forks after loading the application does
not end up with a thread that exists in the parent alone.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable

logger = logging.getLogger("backsoon")

FALLBACK_SECONDS = 1.0
"""The interval after a tick that failed."""

STOP_SECONDS = 1.0
"""How long a process that ends waits for the tick in progress."""


class Watcher:
    """Calls *tick* at once, then every *interval* seconds, and whenever it is woken."""

    def __init__(
        self,
        tick: Callable[[], None],
        interval: Callable[[], float],
        *,
        on_start: Callable[[], None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._tick = tick
        self._interval = interval
        self._on_start = on_start
        self._on_stop = on_stop
        self._woken = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether the thread is alive in this process."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread unless it runs already. Safe to call from several threads."""
        with self._starting:
            if self.running:
                return
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="backsoon-watcher", daemon=True)
            self._thread.start()
            atexit.register(self.stop)

    def wake(self) -> None:
        """Tick now instead of at the next interval."""
        self._woken.set()

    def stop(self) -> None:
        """End the thread and wait for it, at most :data:`STOP_SECONDS`."""
        atexit.unregister(self.stop)
        self._stopping = True
        self._woken.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_SECONDS)
        self._thread = None

    def _run(self) -> None:
        started = False
        try:
            while not self._stopping:
                self._woken.clear()
                wait = FALLBACK_SECONDS
                try:
                    if not started:
                        self._on_start()
                        started = True
                    self._tick()
                    wait = self._interval()
                except Exception:  # the watch must outlive any surprise
                    logger.exception("Backsoon: the watcher met an error and goes on.")
                self._woken.wait(wait)
        finally:
            self._on_stop()
