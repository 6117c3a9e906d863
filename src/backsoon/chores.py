"""What a watcher sees to besides reading: alarms, messages, plans that go on, counts.

Nothing here is as urgent as the next reading, and no fault here may count as one of reading: it is
told once, and tried again at the next tick.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import outbox, services, signals, store, subscribers, traffic
from .aftermath import Aftermath
from .clock import since_boot
from .core import lease
from .core.state import overdue_from
from .exceptions import BacksoonError

if TYPE_CHECKING:
    from .core.vocabulary import State
    from .snapshots import Snapshot

logger = logging.getLogger("backsoon")

SERIES_SECONDS = 3600.0
"""How often it is seen to that series of closures go on."""

FIRST_TIDY_SECONDS, TIDY_SECONDS = 60.0, 3600.0
"""When a process looks for what has been kept long enough, and how often."""


class Chores:
    """The chores of one process. Used by its watcher's thread alone."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        """What went wrong last, by what could not be done."""
        self._alarmed: tuple[int, dt.datetime] | None = None
        """The closure, and its longest time, about which somebody has raised the alarm."""
        self._series_at = lease.NEVER
        self._tidy_at = since_boot() + FIRST_TIDY_SECONDS
        self._tally = traffic.Tally()
        self._aftermath = Aftermath()

    def see_to(self, known: Snapshot, now: dt.datetime) -> None:
        """Do what is due at *now*, by *known*, which was read at this tick."""
        self._try("an overdue closure cannot be recorded", lambda: self._raise_alarm(known, now))
        self._try("what is to be told cannot be written down", lambda: outbox.sweep(known, now))
        signals.ticked.send_robust(sender=None, mark=known.mark)
        self._try("the next closures of a series cannot be planned", self._continue_series)
        self._try("old addresses of visitors cannot be removed", self._tidy)

    def count(self, known: Snapshot | None, state: State, now: dt.datetime) -> None:
        """Take what was counted since the last tick."""
        self._tally.look(now, is_open=state.is_open)
        if known is not None:
            self._aftermath.look(known, state, now)

    def store_when_due(self, known: Snapshot, state: State, now: dt.datetime) -> None:
        """Store what was counted, from time to time."""
        self._tally.flush_when_due()
        self._aftermath.flush_when_due(known, state, now)

    def store_now(self) -> None:
        """Store what was counted now: the process ends."""
        self._tally.flush()
        self._aftermath.flush()

    def _try(self, failure: str, chore: Callable[[], object]) -> None:
        try:
            chore()
        except BacksoonError as error:
            if self._told.get(failure) != str(error):
                logger.warning("Backsoon: %s: %s", failure, error)
            self._told[failure] = str(error)
        except Exception as error:
            if self._told.get(failure) != repr(error):
                logger.exception("Backsoon: %s.", failure)
            self._told[failure] = repr(error)
        else:
            self._told.pop(failure, None)

    def _raise_alarm(self, known: Snapshot, now: dt.datetime) -> None:
        """See to it that somebody is alarmed about a closure that has lasted too long."""
        overdue_at = overdue_from(known.policy)
        if overdue_at is None or now < overdue_at:
            return
        if self._alarmed != (known.mark.epoch, overdue_at):
            services.raise_alarm(known)
            self._alarmed = (known.mark.epoch, overdue_at)

    def _continue_series(self) -> None:
        """See to it that closures which come again are planned long before they come."""
        if since_boot() - self._series_at >= SERIES_SECONDS:
            self._series_at = since_boot()
            services.continue_series()

    def _tidy(self) -> None:
        """See to it that no visitor's address is kept for longer than said."""
        if since_boot() >= self._tidy_at:
            self._tidy_at = since_boot() + TIDY_SECONDS
            subscribers.purge(store.utc_now())
