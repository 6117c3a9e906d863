"""An entrance that stands open, for the stack in which the site is tried out before it opens.

See :mod:`backsoon.rehearsal`: no server serves that stack, so nobody comes by here from outside.
"""

from __future__ import annotations

from typing import Any, Protocol

from backsoon.core.vocabulary import Mode, State, Why
from backsoon.gate import View
from backsoon.snapshots import Snapshot


class Entrance(Protocol):
    """What the middleware asks: the gate, or this."""

    @property
    def knows(self) -> bool:
        """Whether :meth:`view` answers without waiting."""

    def enter(self, unit: Any) -> View:
        """Count *unit* in, and say what is true."""

    def view(self) -> View:
        """What is true."""


class _StandsOpen:
    """Lets by, and counts nobody: a closure must not wait for what it sends itself."""

    knows = True
    _view = View(Snapshot(), State(Mode.OPEN, Why.OPEN))

    def enter(self, unit: Any) -> View:
        """Everybody gets by."""
        return self._view

    def view(self) -> View:
        """The site is open."""
        return self._view


STANDS_OPEN = _StandsOpen()
