"""Less patience than the default: these tests wait until a worker counts as silent."""

from __future__ import annotations

BEAT_SECONDS = 0.5
"""How often each process says that it is alive."""

LOST_SECONDS = 1.0
"""After such a silence nobody waits for more of it."""


def hurry() -> None:
    """Let this process beat more often, and expect it of the others. Django has to be set up."""
    from backsoon import quiesce, workers

    workers.BEAT_SECONDS = BEAT_SECONDS
    quiesce.LOST_SECONDS = LOST_SECONDS
