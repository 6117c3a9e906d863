"""Loaded at the start of every Python whose clock is moved, because its directory comes first.

libfaketime 0.9.10 refuses ``clock_nanosleep()`` until a moment of the monotonic clock, which is how
``time.sleep()`` waits since Python 3.11. Waiting for nothing in particular takes as long.
"""

from __future__ import annotations

import select
import time
from typing import SupportsIndex


def sleep(seconds: float | SupportsIndex, /) -> None:
    """As ``time.sleep()``."""
    select.select([], [], [], float(seconds))


time.sleep = sleep
