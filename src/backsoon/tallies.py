"""What this process counts: requests answered and failed while open, refused while not.

Counting is all that happens on the request path; the watcher's thread takes the numbers away.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from . import counters

_answered, _failed = counters.Counter(), counters.Counter()

answered = _answered.count
"""Count a request that an open site has answered."""

failed = _failed.count
"""Count one of them that ended with an error of the server."""


class Refused(StrEnum):
    """Who was turned away; the values are columns of :class:`backsoon.models.Tally`."""

    PAGE = "pages"
    """A person's browser."""
    PROGRAM = "programs"
    """A client of an API."""
    LOGIN = "logins"
    """Somebody with the right password who is no administrator."""


_totals = (0, 0)
_refused: Counter[tuple[dt.datetime, Refused]] = Counter()
_lock = threading.Lock()


def totals() -> tuple[int, int]:
    """How many requests were answered and have failed in this process."""
    global _totals
    with _lock:
        # In this order: whoever fails was counted before.
        failures = _totals[1] + _failed.take()
        _totals = (_totals[0] + _answered.take(), failures)
        return _totals


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
    global _lock, _totals
    _lock = threading.Lock()
    _refused.clear()
    totals()
    _totals = (0, 0)
