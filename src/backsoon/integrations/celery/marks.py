"""Which tasks may run while the site is closed."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")

MARK = "maintenance_allowed"
"""Also an option of a task: ``@app.task(maintenance_allowed=True)``."""


def maintenance_allowed(task: T) -> T:
    """Let *task* run also while the site is closed; a closure does not wait for it.

    Goes above or below ``@app.task``, below ``@shared_task``. It needs a queue of its own to
    arrive: see docs/how-to/celery.md. *task* itself is returned, only marked.
    """
    setattr(task, MARK, True)
    return task


def is_allowed(task: Any) -> bool:
    """Whether *task*, or the function that it was made from, is marked."""
    return bool(getattr(task, MARK, False) or getattr(getattr(task, "run", None), MARK, False))
