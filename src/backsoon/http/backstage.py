"""An entrance that stands open, for the stack in which the site is tried out before it opens.

See :mod:`backsoon.rehearsal`. Whoever comes by here from outside all the same gets to the gate.
"""

from __future__ import annotations

from typing import Any, Protocol

from backsoon import rehearsal
from backsoon.core.vocabulary import Mode, State, Why
from backsoon.gate import View, gate
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
    """Lets our own visitors by, and does not count them: a closure must not wait for what it sends
    itself.
    """

    knows = True
    _view = View(Snapshot(), State(Mode.OPEN, Why.OPEN))

    def enter(self, unit: Any) -> View:
        """Our own get by; of others the gate says what is true for them."""
        return self._view if rehearsal.is_visit(unit) else gate.enter(unit)

    def view(self) -> View:
        """The site is open."""
        return self._view


STANDS_OPEN = _StandsOpen()
