"""Whether more requests fail since the site opened than did before it closed."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .state import opens_from
from .vocabulary import Mode, Policy, Window

ENOUGH_REQUESTS = 20
"""Of fewer nobody can say anything."""

ENOUGH_FAILURES = 5
"""Fewer may be one visitor who tries again."""

SURENESS = 2.576
"""How many standard deviations each of the two shares is given the benefit of (99 %)."""

USUAL = 0.05
"""Which share is taken for usual where too little is known of the time before."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many requests were answered, and how many of them failed."""

    requests: int = 0
    failures: int = 0

    @property
    def part(self) -> float:
        """The share that failed, from 0 to 1."""
        return min(1.0, self.failures / self.requests) if self.requests else 0.0

    @property
    def percent(self) -> float:
        """The same, for people."""
        return round(100 * self.part, 1)


def has_risen(before: Share, after: Share) -> bool:
    """Whether the share *after* is higher than *before*, beyond what chance explains.

    It is if even its lowest likely value lies above the highest likely one of before (the bounds of
    Wilson's score interval, which hold for few and for rare events as well).
    """
    if after.requests < ENOUGH_REQUESTS or after.failures < ENOUGH_FAILURES:
        return False
    usual = _bound(before, +1) if before.requests >= ENOUGH_REQUESTS else max(USUAL, before.part)
    return _bound(after, -1) > usual


def _bound(share: Share, side: int) -> float:
    """The lower (-1) or upper (+1) bound of Wilson's score interval.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference
    (JASA 22, 1927).
    """
    number, part, squared = share.requests, share.part, SURENESS**2
    middle = part + squared / (2 * number)
    spread = SURENESS * math.sqrt(part * (1 - part) / number + squared / (4 * number**2))
    bound = (middle + side * spread) / (1 + squared / number)
    # Rounding must not put a bound on the wrong side of what it bounds.
    return min(bound, part) if side < 0 else max(bound, part)


def reopened_at(policy: Policy, windows: Sequence[Window], now: dt.datetime) -> dt.datetime | None:
    """When the site, which is open at *now*, opened last; ``None`` where nothing tells.

    The last end of anything that closes, so all processes agree about it.
    """
    switch = policy.switch
    by_hand = switch.since if switch.mode is Mode.OPEN else opens_from(policy)
    ends = [by_hand, *(window.ends_at for window in windows)]
    return max((end for end in ends if end is not None and end <= now), default=None)
