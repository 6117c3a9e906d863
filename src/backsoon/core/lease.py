"""For how long a reading may be acted on, and which readings count at all.

Times here are seconds of a clock that never steps and goes on while the machine is suspended.
"""

from __future__ import annotations

NEVER = float("-inf")
"""The end of a lease that nobody was given."""

FOREVER = float("inf")
"""The end of a lease that does not run out: store loss keeps the last known state."""


def lease_end(sent_at: float, length: float) -> float:
    """When a lease runs out that a reading sent at *sent_at* brought.

    It counts from the sending: a reply says what was true at some moment after that, and however
    long it was under way, nothing it says may be relied on longer than *length* from then.
    """
    return sent_at + length


def renewed(end: float, other: float) -> float:
    """The end of the lease after one more reading: an older reply never shortens a newer lease."""
    return max(end, other)


def holds(end: float, now: float) -> bool:
    """Whether a lease that ends at *end* is still in force."""
    return now < end


def is_rolled_back(known: int, read: int) -> bool:
    """Whether a reading with epoch *read* is older than what is *known*.

    An epoch only grows, so a lower one comes from a database that lost changes: a backup was
    restored, a replica answered, rows were deleted. It says nothing about what is true now.
    """
    return read < known
