"""The clock that leases are measured with."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial


def _choose() -> Callable[[], float]:
    # CLOCK_MONOTONIC stands still while a machine is suspended, so that a lease would look fresh
    # on resume; CLOCK_BOOTTIME goes on. Nothing moves either of them, unlike the wall clock.
    # Source: clock_gettime(2).
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if boottime is None else partial(time.clock_gettime, boottime)


since_boot: Callable[[], float] = _choose()
"""Seconds since the machine started, suspends included where the platform counts them."""
