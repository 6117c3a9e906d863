"""A turnstile: few at a time, and shut for a while after somebody got stuck in it.

Behind it stands the database, which may be locked or gone. Whoever waits for it takes a worker away
from visitors who only want the page; so only a few may wait, and after one of them waited in vain
the next ones need not find out the same.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Callable

STEP_SECONDS = 0.005
"""How often somebody in async code looks whether a place is free."""


class Turnstile:
    """Lets at most *places* callers of this process in at once.

    After a fault it stays shut for *pause* seconds of *clock*.
    """

    def __init__(
        self, places: int, pause: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = places
        self._pause = pause
        self._clock = clock
        self.renew()
        _all.add(self)

    def renew(self) -> None:
        """Begin anew: nobody inside, not shut."""
        self._places = threading.Semaphore(self._count)
        self._shut_until = float("-inf")
        self._failing = False

    def enter(self, patience: float = 0.0) -> bool:
        """Take a place, waiting for it at most *patience* seconds; false when there is none.

        Whoever is let in must :meth:`leave`.
        """
        if self.is_shut():
            return False
        places = self._places
        if not places.acquire(timeout=max(0.0, patience)):
            return False
        if self.is_shut():  # whoever had the place before got stuck in it
            places.release()
            return False
        return True

    async def aenter(self, patience: float = 0.0) -> bool:
        """As :meth:`enter`, for async code: waits without holding up the thread."""
        until = self._clock() + patience
        while not self.enter():
            if self.is_shut() or self._clock() >= until:
                return False
            await asyncio.sleep(STEP_SECONDS)
        return True

    def leave(self, *, fault: bool, stuck: bool = True) -> bool:
        """Give the place back; true when the *fault* is the first one after things went well.

        The turnstile shuts if the caller was *stuck*, not if the fault was over at once.
        """
        news = fault and not self._failing
        self._failing = fault
        if fault and stuck:
            self._shut_until = self._clock() + self._pause
        self._places.release()
        return news

    def is_shut(self) -> bool:
        """Whether a fault was met a moment ago."""
        return self._clock() < self._shut_until


_all: weakref.WeakSet[Turnstile] = weakref.WeakSet()


def renew_all() -> None:
    """Begin anew everywhere: in tests, and in a process that was just born by fork.

    Whoever was inside as it forked is inside in the parent alone.
    """
    for turnstile in list(_all):
        turnstile.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, where nobody is born by fork
    os.register_at_fork(after_in_child=renew_all)
