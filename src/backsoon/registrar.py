"""A worker's own row: written before the first reading, kept up to date, taken away at the end.

It tells which closure this process has acknowledged: one that it knows of, and of whose time before
nothing runs here any more.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any

from django.db import connections

from . import __version__, environment, inflight, processes, workers
from .clock import since_boot
from .core.vocabulary import Mode
from .exceptions import StoreUnavailableError
from .models import Worker

logger = logging.getLogger("backsoon")

HASTE_SECONDS = 0.5
"""How often it does while a closure waits for it, and how often it counts then, at least."""

FIRST_COUNT_SECONDS = 0.02
"""How soon it counts again after it found that something still runs; then less and less often."""

SESSION_PREFIX = "backsoon:"

_kind = Worker.Kind.OTHER.value


def set_kind(kind: str) -> None:
    """Say what this process serves; see :class:`backsoon.models.Worker.Kind`."""
    global _kind
    _kind = kind


def serves_async() -> bool:
    """Whether this process serves ASGI."""
    return _kind == Worker.Kind.ASGI.value


@dataclass(frozen=True, slots=True)
class Stance:
    """What a process knows and does at one moment."""

    epoch: int | None
    """The number of the last change of the switch that it knows of."""
    mode: Mode
    """What it does with ordinary visitors."""
    turn: int
    """Grows whenever it may let somebody by whom it would have refused before."""


class Drain:
    """What ran as the process stopped letting by, and runs still.

    Whoever came later has looked later, and was refused.
    """

    def __init__(self, stance: Stance) -> None:
        self.stance = stance
        self._readers = stance.mode is Mode.CLOSED
        self._left = list(inflight.ordinary(readers=self._readers))
        self.count_again_after = FIRST_COUNT_SECONDS

    def left(self) -> list[tuple[Any, float]]:
        """The units that are still waited for."""
        self._left = [unit for unit in self._left if self._runs(unit[0])]
        return self._left

    def _runs(self, unit: Any) -> bool:
        return unit in inflight.UNITS or (self._readers and unit in inflight.READERS)


class Registrar:
    """Keeps the row of this process. One for each gate."""

    def __init__(self) -> None:
        self.identity = workers.new_id()
        self.is_refused = False
        """Whether the last attempt to write the row has failed, so that nobody knows of it."""
        self._is_enrolled = False
        self._lock = threading.Lock()
        self._drain: Drain | None = None
        self._told: dict[str, Any] = {}
        self._told_at = 0.0
        self._failing = False

    @property
    def is_draining(self) -> bool:
        """Whether the site is not open and something of the time before still runs here."""
        return self._drain is not None and bool(self._drain.left())

    def interval(self, usual: float) -> float:
        """How soon to look again: soon while something runs that is waited for."""
        drain = self._drain
        if drain is None or not self.is_draining:
            return usual
        wait = drain.count_again_after
        drain.count_again_after = min(1.5 * wait, HASTE_SECONDS)
        return min(wait, usual)

    def name_sessions(self) -> None:
        """Let PostgreSQL know which of its sessions are this process's, where nothing else says.

        Only those that are opened from now on.
        """
        for settings in connections.settings.values():
            if "postgresql" not in settings.get("ENGINE", ""):
                continue
            options = settings.setdefault("OPTIONS", {})
            if options.get("application_name", SESSION_PREFIX).startswith(SESSION_PREFIX):
                options["application_name"] = self.session_name

    @property
    def session_name(self) -> str:
        """How the database sessions of this process are called."""
        return f"{SESSION_PREFIX}{self.identity}"

    def enroll(self) -> None:
        """Write the row, unless that was done. Has to come before the state is read.

        Raises :class:`StoreUnavailableError`; then nothing may be read.
        """
        if environment.in_test_environment():
            return
        with self._lock:
            if self._is_enrolled:
                return
            self.name_sessions()
            process = processes.this_process()
            self.is_refused = True
            workers.add(self.identity, process, _kind, __version__, self._named())
            self._is_enrolled, self.is_refused = True, False
            self._told, self._told_at = {}, since_boot()
            _bury_the_dead()  # not before: who cannot reach the database should find out once

    def report(self, stance: Stance) -> bool:
        """Say what is new, or from time to time that nothing is.

        False when the row is gone or counts no more: then nobody waits for this process, so what
        it knows must not be relied on, and it has to begin anew.
        """
        if not self._is_enrolled:
            return True
        news = self._news(stance)
        haste = stance.mode is not Mode.OPEN and news["acked_epoch"] is None
        due = since_boot() - self._told_at >= (HASTE_SECONDS if haste else workers.BEAT_SECONDS)
        moved = any(self._told.get(name) != news[name] for name in ("seen_epoch", "acked_epoch"))
        if not (moved or due):
            return True
        try:
            counts = workers.beat(self.identity, **news)
            if due and stance.mode is not Mode.OPEN:
                _bury_the_dead()
        except StoreUnavailableError as error:
            if not self._failing:
                logger.warning("Backsoon: this process cannot say that it is alive: %s", error)
            self._failing = True
            return True
        self._failing = False
        if not counts:
            self._begin_anew()
            return False
        self._told, self._told_at = news, since_boot()
        return True

    def retire(self) -> None:
        """Take the row away, if nothing that would be waited for runs here any more."""
        if not self._is_enrolled or inflight.UNITS or inflight.READERS:
            return
        self._is_enrolled = False
        try:
            workers.remove(self.identity)
        except StoreUnavailableError as error:
            logger.info("Backsoon: the row of this process could not be taken away: %s", error)

    def _news(self, stance: Stance) -> dict[str, Any]:
        if stance.mode is Mode.OPEN:
            self._drain = None
            left = list(inflight.ordinary(readers=True))
        else:
            if self._drain is None or self._drain.stance != stance:
                self._drain = Drain(stance)
            left = self._drain.left()
        acknowledges = stance.mode is not Mode.OPEN and not left
        return {
            "seen_epoch": stance.epoch,
            "acked_epoch": stance.epoch if acknowledges else None,
            "in_flight": len(left),
            "apart": len(inflight.APART),
            "units": workers.told(left, since_boot()),
        }

    def _begin_anew(self) -> None:
        logger.warning(
            "Backsoon: the row of this process was taken away or declared ended, so it begins anew."
        )
        with self._lock:
            self.identity = workers.new_id()
            self._is_enrolled = False

    def _named(self) -> str:
        """The name of the sessions, if they bear it."""
        options = (settings.get("OPTIONS", {}) for settings in connections.settings.values())
        names = [given.get("application_name") for given in options]
        return self.session_name if self.session_name in names else ""


def _bury_the_dead() -> None:
    """See to the rows of this machine's dead; somebody else will if this fails."""
    try:
        workers.bury_the_dead()
    except StoreUnavailableError as error:
        logger.debug("Backsoon: the rows of ended processes could not be seen to: %s", error)
