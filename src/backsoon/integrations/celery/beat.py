"""``celery beat`` while the site is closed: nothing is due.

Its round is counted like a task, because schedulers that keep their entries in the database write
there. An entry that became due meanwhile is found due once when the site opens, however many times
it would have been sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from backsoon import conf, inflight, registrar
from backsoon.gate import gate

NAME = "celery beat"


def hold(service: Any) -> None:
    """Let the scheduler of *service* (a ``celery.beat.Service``) rest while the site is closed."""
    registrar.set_kind("celery")
    scheduler = service.scheduler
    tick: Callable[..., float | None] = scheduler.tick
    sync: Callable[..., None] = scheduler.sync
    close: Callable[..., None] = scheduler.close

    def held_tick(*args: Any, **kwargs: Any) -> float | None:
        with _round() as is_open:
            return tick(*args, **kwargs) if is_open else conf.current().poll

    def held_sync(*args: Any, **kwargs: Any) -> None:
        with _round() as is_open:
            if is_open:
                sync(*args, **kwargs)

    def last_close(*args: Any, **kwargs: Any) -> None:
        # Beat ends. What it has sent and does not note now would be sent again by the next one.
        scheduler.sync = sync
        close(*args, **kwargs)
        gate.retire()  # inside a worker (-B) nothing follows that could sign off for it

    scheduler.tick, scheduler.sync, scheduler.close = held_tick, held_sync, last_close


@contextmanager
def _round() -> Iterator[bool]:
    """Count in, look whether the site is open, count out at the end."""
    unit = inflight.Unit("TASK", NAME)
    try:
        yield gate.enter(unit).is_open
    finally:
        inflight.leave(unit)
