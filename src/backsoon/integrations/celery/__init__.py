"""Celery: while the site is closed no ordinary task starts, and none is lost.

One line where the project makes its Celery app::

    from backsoon.integrations.celery import install

    app = Celery("shop")
    install(app)

The worker then has a gate as a web process has one: it registers, counts its tasks, and
acknowledges a closure when none of them runs any more. ``celery beat`` sends nothing while the site
is closed.

This module can be imported where Celery is not installed; only :func:`install` needs it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from .marks import is_allowed, maintenance_allowed

__all__ = ["OLDEST", "install", "is_allowed", "is_installed", "maintenance_allowed"]

OLDEST = (5, 4)
"""The first version of Celery that this was made for."""

GATE_STEP = f"{__name__}.steps:GateStep"
HOLD_STEP = f"{__name__}.steps:HoldStep"


def install(app: Any) -> None:
    """Let the workers and the beat of *app* (a ``celery.Celery``) heed the state of the site.

    To be called where the app is made, before a worker starts; a second call changes nothing.
    Raises ``ImproperlyConfigured`` where Celery is missing or too old.
    """
    if find_spec("celery") is None:
        raise ImproperlyConfigured(
            "backsoon.integrations.celery.install: the package celery is not installed. "
            "Type: pip install 'django-backsoon[celery]'"
        )
    import celery

    if _version(celery.__version__) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ImproperlyConfigured(
            f"backsoon.integrations.celery.install: Celery {celery.__version__} is too old; "
            f"{oldest} or newer is needed. Type: pip install 'celery>={oldest}'"
        )
    from celery import signals

    # By name: where an app is made, Django has not been set up yet.
    app.steps["worker"].add(GATE_STEP)
    app.steps["consumer"].add(HOLD_STEP)
    signals.import_modules.connect(
        _tasks_are_named, weak=False, dispatch_uid="backsoon.celery.tasks"
    )
    signals.beat_init.connect(_beat_begins, weak=False, dispatch_uid="backsoon.celery.beat")


def is_installed(app: Any) -> bool:
    """Whether :func:`install` was called for *app*."""
    return GATE_STEP in app.steps["worker"]


def _tasks_are_named(sender: Any, **kwargs: Any) -> None:
    """A worker learns which tasks there are: ours is among them."""
    if is_installed(sender):
        import_module(f"{__name__}.tasks")


def _beat_begins(sender: Any, **kwargs: Any) -> None:
    if is_installed(sender.app):  # else an app that did not ask for it
        from . import beat

        beat.hold(sender)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
