"""What this process counts: requests answered and failed while open, refused while not.

Counting is all that happens on the request path; the watcher's thread takes the numbers away.
"""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

answered = itertools.count().__next__
"""Count a request that an open site has answered. One step for every Python."""

failed = itertools.count().__next__
"""Count one of them that ended with an error of the server."""


class Refused(StrEnum):
    """Who was turned away; the values are columns of :class:`backsoon.models.Tally`."""

    PAGE = "pages"
    """A person's browser."""
    PROGRAM = "programs"
    """A client of an API."""
    LOGIN = "logins"
    """Somebody with the right password who is no administrator."""


class _Reader:
    """Reads a counter, which cannot be read but only be made to count."""

    def __init__(self) -> None:
        self.total = 0
        self._next = 0

    def read(self, number: int) -> int:
        """The total, given what the counter has just said."""
        self.total += number - self._next
        self._next = number + 1
        return self.total


_answered, _failed = _Reader(), _Reader()
_refused: Counter[tuple[dt.datetime, Refused]] = Counter()
_lock = threading.Lock()


def totals() -> tuple[int, int]:
    """How many requests were answered and have failed in this process."""
    with _lock:
        # In this order: whoever fails was counted before.
        failures = _failed.read(failed())
        return _answered.read(answered()), failures


def refuse(since: dt.datetime | None, who: Refused) -> None:
    """Count somebody whom the site, which is not open *since* then, turned away."""
    if since is None:
        return  # nothing is known, so there is no closure to count it to
    with _lock:
        _refused[since, who] += 1


def take_refused() -> dict[tuple[dt.datetime, Refused], int]:
    """What was refused since this was asked last."""
    with _lock:
        taken = dict(_refused)
        _refused.clear()
    return taken


def give_back(taken: Mapping[tuple[dt.datetime, Refused], int]) -> None:
    """Count again what could not be stored."""
    with _lock:
        _refused.update(taken)


def clear() -> None:
    """Begin anew: in a child that was forked, what the parent counted the parent stores."""
    global _lock
    _lock = threading.Lock()
    _refused.clear()
    totals()
    _answered.total = _failed.total = 0
