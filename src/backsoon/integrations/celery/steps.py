"""The gate in a Celery worker, as steps of its two blueprints.

The whole process tree of a worker is one row in the table of workers: the main process counts what
its pool runs. Source: Celery's "Extensions and Bootsteps".
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps, signals

from backsoon import registrar
from backsoon.gate import gate

from . import entry
from .line import Line


class GateStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Of the worker: registers the process, and watches the entrance of its pool."""

    requires = ("celery.worker.components:Pool",)

    def create(self, worker: Any) -> None:
        """Before the pool starts its processes and the consumer learns where tasks go."""
        registrar.set_kind("celery")
        # The pool's processes are covered by this one's row, so their sessions bear its name.
        gate.keeper.registrar.name_sessions()
        worker.backsoon_line = line = Line(worker)
        entry.watch(worker.pool, line)

    def start(self, worker: Any) -> None:
        """Begin to watch; only then does the consumer fetch tasks."""
        signals.worker_shutdown.connect(_retire, weak=False, dispatch_uid="backsoon.celery")
        gate.subscribe(worker.backsoon_line.turned)
        gate.start()

    def stop(self, worker: Any) -> None:
        """Nothing yet: tasks may still run in the pool."""


class HoldStep(bootsteps.StartStopStep):  # type: ignore[misc]  # as above
    """Of the consumer: started with each connection to the broker, before it fetches anything."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """There is a new connection."""
        consumer.controller.backsoon_line.attend(consumer)

    def stop(self, consumer: Any) -> None:
        """The connection ends, or the worker."""
        consumer.controller.backsoon_line.leave()


def _retire(**kwargs: Any) -> None:
    """After the pool has ended: sign off."""
    gate.retire()
