"""Numbers that were measured in rounds, and what may be said of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True)
class Sample:
    """The middle of many values, and between which two the middle half of them lies."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Sample:
        """Raises ``ValueError`` when there are no values."""
        known = list(values)
        if not known:
            raise ValueError("nothing was measured")
        if len(known) == 1:
            return cls(known[0], known[0], known[0])
        low, _middle, high = quantiles(known, n=4, method="inclusive")
        return cls(median(known), low, high)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Sample:
    """How often *theirs* goes into *ours*, round by round."""
    return Sample.of(a / b for a, b in zip(ours, theirs, strict=True))


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Sample:
    """What *ours* has more than *theirs*, round by round."""
    return Sample.of(a - b for a, b in zip(ours, theirs, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least *share* (0 to 1) of all values do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]
