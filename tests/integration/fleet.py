"""Workers that are nothing but rows, and a clock that a test moves by hand."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from backsoon import quiesce, store
from backsoon.management.maintenance import waiting
from backsoon.models import Maintenance, Worker
from tests.integration.commands import NOON


class Fleet:
    """Workers of other hosts. Those that are alive say so all the time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._events: list[tuple[float, Callable[[], object]]] = []
        self._alive: list[str] = []

    def now(self) -> dt.datetime:
        """The time of day."""
        return NOON + dt.timedelta(seconds=self.seconds)

    def clock(self) -> float:
        """Seconds since the test began."""
        return self.seconds

    def pause(self, seconds: float) -> None:
        """Let time go by until something happens, or the next second begins.

        That is longer than asked for, so that a test of a minute does not look 240 times.
        """
        self.seconds = min([math.floor(self.seconds) + 1.0, *(at for at, _event in self._events)])
        for event in sorted(self._events, key=lambda event: event[0]):
            if event[0] <= self.seconds:
                self._events.remove(event)
                event[1]()
        Worker.objects.filter(pk__in=self._alive).update(seen_at=self.now())

    def at(self, seconds: float, event: Callable[[], object]) -> None:
        """Let *event* happen so many seconds after the test began."""
        self._events.append((max(seconds, self.seconds), event))

    def worker(
        self,
        pid: int = 4711,
        host: str = "web1",
        *,
        silent_for: float | None = None,
        **columns: Any,
    ) -> str:
        """A new one, and its identifier; alive, unless it is said for how long it was silent."""
        seen = self.now() - dt.timedelta(seconds=silent_for or 0.0)
        row = Worker.objects.create(
            **{
                "id": uuid.uuid4().hex,
                "kind": "wsgi",
                "host": host,
                "pid": pid,
                "version": "1.0",
                "born_at": self.now(),
                "seen_at": seen,
                **columns,
            }
        )
        if silent_for is None:
            self._alive.append(row.pk)
        return row.pk

    def acknowledges(self, worker: str, at: float) -> None:
        """Let *worker* see and acknowledge what holds *at* that moment."""

        def acknowledge() -> None:
            epoch = Maintenance.objects.get().epoch
            Worker.objects.filter(pk=worker).update(
                seen_epoch=epoch, acked_epoch=epoch, in_flight=0, units=[]
            )

        self.at(at, acknowledge)

    def is_busy(self, worker: str, at: float, *units: tuple[str, str, float]) -> None:
        """Let *worker* see what holds *at* that moment, while *units* still run there."""

        def tell() -> None:
            epoch = Maintenance.objects.get().epoch
            Worker.objects.filter(pk=worker).update(
                seen_epoch=epoch, in_flight=len(units), units=[list(unit) for unit in units]
            )

        self.at(at, tell)


@pytest.fixture
def fleet(db: None, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """No worker yet, at noon."""
    fleet = Fleet()
    monkeypatch.setattr(store, "utc_now", fleet.now)
    watch = partial(quiesce.watch, clock=fleet.clock, pause=fleet.pause)
    monkeypatch.setattr(quiesce, "watch", watch)
    monkeypatch.setattr(waiting, "since_boot", fleet.clock)
    return fleet
