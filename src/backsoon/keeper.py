"""How a process learns: what the watcher does at each tick.

It reads the numbers, and everything if they moved; it renews the lease; it keeps the host's copy,
obeys its brake, and keeps quiet about nothing that an operator should know. What it finds it gives
to the gate.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from django.db import connections

from . import brakes, conf, environment, lastknown, services, store
from .chores import Chores
from .clock import since_boot
from .core import lease
from .core.vocabulary import Brake, Mode, State
from .exceptions import (
    BacksoonError,
    NotMigratedError,
    OutdatedTablesError,
    StoreUnavailableError,
)
from .registrar import Registrar, Stance
from .snapshots import Mark, Snapshot
from .store import Pulse

logger = logging.getLogger("backsoon")

PATIENCE_SECONDS = 1.0
"""How long somebody who has just switched waits for a reading that is under way."""

FULL_READING_SECONDS = 10.0
"""How often everything is read again, so that rows changed behind our back are noticed."""

SLACK_SECONDS = 1.0
"""How much later than its interval a reading may come before the database counts as hung."""


@dataclass(frozen=True, slots=True)
class Reading:
    """When a reading was made, on the clocks that matter."""

    lease_end: float
    """Until when it may be acted on, by :data:`backsoon.clock.since_boot`."""
    offset: float
    """What to add to :data:`backsoon.clock.since_boot` for the time of day (Unix seconds)."""


class Holder(Protocol):
    """Where the keeper puts what it learnt: the gate."""

    @property
    def snapshot(self) -> Snapshot | None:
        """What was read last; ``None`` while nothing is known."""

    def install(self, snapshot: Snapshot, reading: Reading | None = None) -> object:
        """Know *snapshot* from now on."""

    @property
    def state(self) -> State:
        """What is true by that, as far as it is known."""

    def renew(self, reading: Reading) -> None:
        """What is known is still true."""

    def obey(self, brake: Brake | None) -> None:
        """Let *brake* rule over what was read, or nothing any more."""

    def admit_ignorance(self) -> None:
        """Nothing could be learnt: whoever waits for it need not wait any longer."""

    def doubt(self) -> None:
        """Let nobody by until something is read again."""

    def stance(self) -> Stance:
        """What is known and done at this moment."""

    def now(self) -> dt.datetime:
        """The time of day by which the state is told."""


class Keeper:
    """Reads for a gate. One for each process."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self.registrar = Registrar()
        self._reading = threading.RLock()
        self._read_fully_at = lease.NEVER
        self._reached_at: float | None = None
        self._reachable = True
        self._refused_epoch: int | None = None
        self._brake: Brake | None = None
        """The order that waits for the database."""
        self._settled: Brake | None = None
        """The last one that waits no more; its file may be impossible to remove."""
        self._unstored = ""
        """Why the order that waits could not be stored, if it was tried."""
        self._unwritten = ""
        """Why what is known could not be written again, if it was tried."""
        self._kept: Snapshot | None = None
        self._chores = Chores()

    @property
    def reaches_the_store(self) -> bool:
        """Whether the last reading worked and is no older than it should be.

        A database that hangs refuses nothing; it just does not answer.
        """
        if self._reached_at is None:
            return self._reachable
        age = since_boot() - self._reached_at
        return self._reachable and age <= conf.current().poll + SLACK_SECONDS

    def serve(self, holder: Holder) -> None:
        """Give what is learnt from now on to *holder*."""
        self._holder = holder

    def look(self) -> None:
        """One tick of the watcher: read the numbers, and everything if they moved."""
        self._look_for_brake()
        try:
            self._look()
            self._settle_brake()
            self._keep_copy()
            if not self.registrar.report(self._holder.stance()):
                self._holder.doubt()
                with self._reading:
                    self._read()
                self.registrar.report(self._holder.stance())
            self._see_to_chores()
        except NotMigratedError:
            self._found_no_tables()
        except StoreUnavailableError as error:
            self._lost(error)
        except Exception as error:
            # A fault of the project's, in a signal or a translation: nothing was learnt either.
            if self._reachable:
                logger.exception("Backsoon: a reading failed.")
            self._lost(error)
        self._count()

    def refresh(self) -> bool:
        """Read everything now, in the calling thread; false if another reading is under way.

        Raises ``StoreUnavailableError``.
        """
        if not self._reading.acquire(timeout=PATIENCE_SECONDS):
            return False
        try:
            self._read()
        finally:
            self._reading.release()
        return True

    def interval(self) -> float:
        """Seconds until the next look."""
        return self.registrar.interval(conf.current().poll)

    def retire(self) -> None:
        """The process ends: let nobody by, and sign off if nothing runs any more.

        Counts are stored last: whoever waits for this process has to hear from it, and its server
        may lose patience with it.
        """
        self._guarded(self._take_counts)
        self._holder.doubt()
        self.registrar.retire()
        if self._reachable:
            self._guarded(self._chores.store_now)

    def _look(self) -> None:
        self.registrar.enroll()
        known = self._holder.snapshot
        due = since_boot() - self._read_fully_at >= FULL_READING_SECONDS
        sent_at = since_boot()
        pulse = store.read_pulse()
        if known is not None and self._reachable and not due and _is_unmoved(known, pulse):
            self._reached(sent_at)
            self._holder.renew(_reading(sent_at, pulse.now))
            return
        reading = _reading(sent_at, pulse.now)
        with self._reading:  # so that an older reading never replaces a newer one
            self._read_all(sent_at, reading)

    def _read(self) -> None:
        self.registrar.enroll()
        sent_at = since_boot()
        self._read_all(sent_at, _reading(sent_at, store.read_pulse().now))

    def _read_all(self, sent_at: float, reading: Reading) -> None:
        snapshot = store.load()
        self._read_fully_at = since_boot()
        self._reached(sent_at)
        known = self._holder.snapshot
        if known is None and _is_outdated(lastknown.load(), snapshot):
            known = self._recall()  # the database was set back while no process ran
        if known is not None and _is_outdated(known, snapshot):
            self._refuse(known, snapshot.mark)
            return
        self._refused_epoch = None
        self._report(snapshot)
        self._holder.install(snapshot, reading)
        self._kept = None  # somebody may have removed it
        if snapshot.changed_outside:
            try:
                services.adopt_outside_change()
            except BacksoonError as error:
                logger.warning("Backsoon: could not record an outside change: %s", error)

    def _look_for_brake(self) -> None:
        """Obey an order on this host before anything else: the database may take its time."""
        brake = brakes.read()
        self._brake = None if brake == self._settled else brake
        if self._brake is not None:
            self._holder.obey(self._brake)

    def _settle_brake(self) -> None:
        """The database was read: an order that waited for it becomes part of what it says.

        It is let go only after a reading made later than that, so that nothing shines through.
        """
        if self._brake is not None:
            try:
                fate = services.merge_brake(self._brake)
            except BacksoonError as error:
                if str(error) != self._unstored:
                    self._unstored = str(error)
                    logger.warning(
                        "Backsoon: what was ordered on this host cannot be stored (%s). It stays "
                        "in force here, and only here.", error,
                    )  # fmt: skip
                return
            self._unstored = ""
            logger.info("Backsoon: what was ordered on this host is recorded (%s).", fate)
            self._settled, self._brake = self._brake, None
            with self._reading:
                self._read()
        self._holder.obey(None)

    def _keep_copy(self) -> None:
        """Let the host know what the database says, for processes that cannot ask it."""
        snapshot = self._holder.snapshot
        if snapshot is not None and snapshot is not self._kept:
            lastknown.save(snapshot)
            self._kept = snapshot

    def _see_to_chores(self) -> None:
        known = self._holder.snapshot
        if known is not None and self._brake is None:
            self._chores.see_to(known, self._holder.now())

    def _take_counts(self) -> None:
        """Take what was counted since the last look, before the state is another one."""
        known, state, now = self._holder.snapshot, self._holder.state, self._holder.now()
        self._chores.count(known, state, now)

    def _count(self) -> None:
        """Take what was counted since the last look; store it from time to time.

        Last of all, and not while somebody waits for this process: nothing is less urgent.
        """
        self._guarded(self._take_counts)
        if self._reachable and not self.registrar.is_draining:
            self._guarded(self._store_counts_when_due)

    def _store_counts_when_due(self) -> None:
        known = self._holder.snapshot
        if known is not None:
            self._chores.store_when_due(known, self._holder.state, self._holder.now())

    def _guarded(self, count: Callable[[], object]) -> None:
        try:
            count()
        except Exception:  # whatever it is, it must not stop the watch
            logger.exception("Backsoon: counts could not be seen to.")

    def _refuse(self, known: Snapshot, read: Mark) -> None:
        """The database lost changes. What is known holds, and is written again if possible."""
        if self._refused_epoch != read.epoch:
            self._refused_epoch = read.epoch
            logger.error(
                "Backsoon: the database says change %d of the switch (revision %d) where %d "
                "(revision %d) is known. It was restored from a backup, or rows were deleted. "
                "What was known stays in force and is written again. See: manage.py maintenance "
                "status",
                read.epoch, read.revision, known.mark.epoch, known.mark.revision,
            )  # fmt: skip
        if self._brake is not None:
            return  # what was ordered here came later, and is about to be written instead
        try:
            services.reassert(known)
        except BacksoonError as error:
            if str(error) != self._unwritten:  # told once: it is tried at every tick
                self._unwritten = str(error)
                logger.warning("Backsoon: could not write again what is known: %s", error)
        else:
            self._unwritten = ""

    def _reached(self, sent_at: float) -> None:
        if not self._reachable:
            logger.info("Backsoon: the database can be read again.")
        self._reachable = True
        self._reached_at = sent_at

    def _report(self, snapshot: Snapshot) -> None:
        known = self._holder.snapshot
        for broken in snapshot.broken:
            if known is None or broken not in known.broken:
                logger.warning(
                    "Backsoon: the stored value %r of %s cannot be used (%s) The default stands "
                    "in. Correct it in the settings, or see: manage.py maintenance doctor",
                    broken.value, broken.key, broken.message,
                )  # fmt: skip

    def _found_no_tables(self) -> None:
        connections[store.alias()].close()
        if self._holder.snapshot is not None or self._recall() is not None:
            return
        if brakes.is_damaged():
            self._holder.admit_ignorance()  # somebody gave an order here, and it may be to close
        else:
            logger.warning("Backsoon: no tables yet; the site is open. Run: manage.py migrate")
            self._holder.install(Snapshot())

    def _lost(self, error: Exception) -> None:
        # Where the database answers and only our row cannot be written (it is locked, say), others
        # can close the site there, wait, and be told that all is quiet, for nobody knows of us.
        outdated = isinstance(error, OutdatedTablesError)
        unheard = self.registrar.is_refused and not outdated and _answers()
        connections[store.alias()].close()
        known = self._holder.snapshot
        if known is None:
            known = self._recall(unheard=unheard)
        else:
            lastknown.save(known)  # somebody may have put an older one there, or removed it
            if unheard and self._holder.stance().mode is not Mode.CLOSED:
                self._holder.doubt()
        if self._reachable:
            logger.warning(
                "Backsoon: the database cannot be read (%s). %s", error, _consequence(known)
            )
        self._reachable = False
        if known is None:
            self._holder.admit_ignorance()
        self._holder.stance()  # the lease may have run out, which is news for those who subscribed

    def _recall(self, *, unheard: bool = False) -> Snapshot | None:
        """A process that was born while the database is away believes what the host knew last.

        That is no reading, so it brings no lease.
        """
        copy = lastknown.load()
        opens = copy is not None and copy.policy.switch.mode is not Mode.CLOSED
        if opens and (unheard or brakes.is_damaged()):
            return None  # the order that cannot be read may have been to close
        if copy is not None:
            self._holder.install(copy, _reading(lease.NEVER, None))
        return copy


def _answers() -> bool:
    """Whether the database, which has just refused something, can be asked all the same."""
    connection = connections[store.alias()]
    return connection.connection is not None and connection.is_usable()


def _is_unmoved(known: Snapshot, pulse: Pulse) -> bool:
    # The mode as well: where a database was set back, two changes may bear the same number.
    return pulse.mark == known.mark and pulse.mode == known.policy.switch.mode.value


def _is_outdated(known: Snapshot | None, read: Snapshot) -> bool:
    """Whether *read* tells of a past that *known* has left behind."""
    if known is None or environment.in_test_environment():  # tests take back what they wrote
        return False
    if lease.is_rolled_back(known.mark.epoch, read.mark.epoch):
        return True
    if known.mark.epoch != read.mark.epoch:
        return False
    if lease.is_rolled_back(known.mark.revision, read.mark.revision):
        return True
    return services.is_later(known, read)


def _reading(sent_at: float, store_clock: dt.datetime | None) -> Reading:
    """The reading that was sent at *sent_at* and worked."""
    settings = conf.current()
    closes = settings.on_store_loss == "close"
    now = time.time() if store_clock is None else store_clock.timestamp()
    return Reading(
        lease_end=lease.lease_end(sent_at, settings.lease) if closes else lease.FOREVER,
        offset=now - since_boot(),
    )


def _consequence(known: Snapshot | None) -> str:
    if known is None:
        return "Nothing is known yet, so visitors get the maintenance page."
    if conf.current().on_store_loss == "close":
        return "The site closes when its lease runs out."
    return "The last known state stays in force."
