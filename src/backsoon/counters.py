"""Counters for the request path: counting is one step, and exact without a lock.

``itertools.count`` is such a step for every Python, with and without a global lock (since 3.14).
"""

from __future__ import annotations

import itertools


class Counter:
    """Counts in any thread; read in one."""

    def __init__(self) -> None:
        self.count = itertools.count().__next__
        """Count one. Look it up once, not at each call."""
        self._next = 0

    def take(self) -> int:
        """How many were counted since this was asked last; for one thread at a time.

        The counter cannot be read, only be made to count; that is taken off again.
        """
        number = self.count()
        fresh, self._next = number - self._next, number + 1
        return fresh
