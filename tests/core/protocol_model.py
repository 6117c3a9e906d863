"""How a closure reaches every process, as a model small enough to try every order of its steps.

Workers register, read the record, admit requests while it says "open", and acknowledge a closure
once nothing of theirs runs any more. The operator closes, waits at the barrier until it may say
"done", and may open again. Messages take as long as they like, processes stop, crash, and are born
at any moment; a step that can be taken may always be left for later, which is what a paused thread,
a hung network and a partition look like from outside.

Epochs are even while the site is open and odd while it is closed: 0 open, 1 closed, 2 open, ...

Time has no horizon. Nothing in the protocol asks what time it is, only how long ago something was,
and nothing distinguishes ages beyond one lease; so ages are kept, capped there, and what holds here
holds after any number of ticks. Workers are alike, so worlds that differ in their order are one.

A request starts at its check, as a pause after that is no different from a slow request.

Two simplifications. A crashed process is gone together with its row, because a row whose process is
provably dead holds up no barrier; its place can be taken by a new process. The barrier looks at all
rows at once; as acknowledgements are never taken back, looking at them one by one sees no more.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import NamedTuple

from tests.core.every_order import Exploration, explore

NOTHING = -1
"""No epoch: not read, not answered, not acknowledged."""

IDLE, TIMED, COUNTED, CHECKED, RUNNING = range(5)
"""What a request is at.

``TIMED`` has read the clock while the lease held, and is not counted yet; ``CHECKED`` found the
site open, and is not counted yet.
"""

_STAGES = ("idle", "timed", "counted", "checked", "running")

QUIET = "the operator was told that all is quiet, and a request runs"
BOUNDED = "a request starts although the site has been closed for a whole lease"


class Barrier(Enum):
    """What the operator waits for before "done" is said."""

    ACKS = "every registered worker has acknowledged"
    ACKS_AND_LEASE = "the same, and a lease has passed"
    LEASE = "a lease has passed"
    ACKS_OR_SILENCE = "every registered worker has acknowledged or was silent for a lease"


class Copy(Enum):
    """What a newborn makes of the copy that the host keeps of the last record read there."""

    UNUSED = "it waits for the store"
    CLOSES = "it is closed, as before, but knows which closure it is"
    BELIEVED = "it may open before it has reached the store"


class Clock(Enum):
    """What the workers measure their leases with."""

    TRUE = "never steps, goes on during suspend"
    STEPS_BACK = "the wall clock: may be set back, here once"
    SLEEPS = "stands still while the machine is suspended"


@dataclass(frozen=True)
class Rules:
    """One variant of the protocol; the defaults are the right ones.

    Ticks are the unit of time.
    """

    workers: int = 1
    lease: int = 1
    last_epoch: int = 1
    """The operator stops there: 1 is a single closure, 3 closes, opens and closes again."""
    requests: int = 1
    """How many requests a worker serves at the same time."""
    readers: int = 1
    """How many threads of a worker read the record; their answers may overtake each other."""
    newcomers: bool = True
    """Processes may be born at any time; if not, all are there and registered from the start."""
    barrier: Barrier = Barrier.ACKS_AND_LEASE
    clock: Clock = Clock.TRUE
    copy: Copy = Copy.UNUSED
    leases_count: bool = True
    """Whether a worker stops admitting when its lease runs out; if not, it keeps what it knows."""
    clock_before_counting: bool = False
    """A request is counted after its look at the clock, but before that at what is known."""

    # What somebody might get wrong:
    checks_before_counting: bool = False
    acknowledges_undrained: bool = False
    acknowledges_without_epoch: bool = False
    stamps_at_receipt: bool = False
    accepts_lower_epochs: bool = False
    reads_unregistered: bool = False
    deregisters_undrained: bool = False
    reads_from_replica: bool = False


class Read(NamedTuple):
    """A reading of the record that is under way."""

    age: int
    """How long ago it was stamped, by the worker's clock."""
    answer: int
    """The epoch that the store answered with, or ``NOTHING`` yet."""


class Worker(NamedTuple):
    """A process, together with its row in the registry."""

    born: bool = False
    registered: bool = False
    seen: int = NOTHING
    """The highest epoch that it knows; nothing is known to a newborn, which counts as closed."""
    lease: int = 0
    """How much of the lease is left."""
    requests: tuple[int, ...] = ()
    reads: tuple[Read, ...] = ()
    acknowledging: int = NOTHING
    """The epoch of the acknowledgement that is under way to the store."""
    acknowledged: int = NOTHING
    silence: int = 0
    """How long ago the store heard of it; kept only where the barrier asks for it."""

    def __str__(self) -> str:
        """What it knows, does and has under way, for a trace."""
        if not self.born:
            return "unborn"
        reads = ", ".join(f"{_epoch(read.answer)} aged {read.age}" for read in self.reads)
        return (
            f"{'registered' if self.registered else 'unregistered'}, knows {_epoch(self.seen)}, "
            f"lease {self.lease}, {'/'.join(_STAGES[stage] for stage in self.requests)}, "
            f"reads [{reads}], acknowledges {_epoch(self.acknowledging)}, "
            f"acknowledged {_epoch(self.acknowledged)}"
        )


class World(NamedTuple):
    """Everything at one moment."""

    epoch: int
    closed_for: int
    """How long ago the present closure was stored."""
    done: int
    """The last epoch for which the operator was told "done"."""
    setbacks: int
    """How often a wall clock may still be set back."""
    overdue: bool
    """Whether a request has started when the site had been closed for a lease already."""
    workers: tuple[Worker, ...]

    def __str__(self) -> str:
        """The record, then the workers, for a trace."""
        told = ", done" if self.done == self.epoch else ""
        record = f"{_epoch(self.epoch)} for {self.closed_for}{told}"
        return " | ".join([record, *map(str, self.workers)])


def _epoch(epoch: int) -> str:
    return "-" if epoch == NOTHING else f"{epoch} ({'closed' if is_closed(epoch) else 'open'})"


UNBORN = Worker()
STARTS = "a request starts"
DONE = "the operator is told: done"

Step = tuple[str, World]
WorkerStep = tuple[str, Worker]


def check(rules: Rules, promises: tuple[str, ...] = (QUIET,)) -> Exploration[World]:
    """Try every order of steps under *rules* until one of *promises* is broken."""

    def broken(world: World) -> str:
        if BOUNDED in promises and world.overdue:
            return BOUNDED
        told = world.done == world.epoch
        if QUIET in promises and told and any(RUNNING in w.requests for w in world.workers):
            return QUIET
        return ""

    return explore(first_world(rules), _steps(rules), broken)


def first_world(rules: Rules) -> World:
    """The site is open and nobody has read that yet."""
    worker = UNBORN if rules.newcomers else _newborn(rules)._replace(registered=True)
    setbacks = 1 if rules.clock is Clock.STEPS_BACK else 0
    return World(0, 0, NOTHING, setbacks, False, (worker,) * rules.workers)


def _steps(rules: Rules) -> Callable[[World], Iterator[Step]]:
    # Worlds are many, but they are made of few different workers.
    @cache
    def moves(worker: Worker, epoch: int) -> tuple[WorkerStep, ...]:
        return tuple(worker_steps(rules, worker, epoch))

    @cache
    def older(worker: Worker, asleep: bool) -> Worker:
        return _older(rules, worker, asleep)

    def steps(world: World) -> Iterator[Step]:
        workers = world.workers
        yield from operator_steps(rules, world)
        for asleep in _who_sleeps(rules):
            yield (
                "time passes",
                world._replace(
                    closed_for=min(world.closed_for + 1, rules.lease)
                    if is_closed(world.epoch)
                    else 0,
                    workers=_alike(map(older, workers, asleep)),
                ),
            )
        for place, worker in enumerate(workers):
            if place and worker == workers[place - 1]:
                continue  # the same steps again
            others = workers[:place] + workers[place + 1 :]
            for name, moved in moves(worker, world.epoch):
                overdue = (
                    name is STARTS and is_closed(world.epoch) and world.closed_for >= rules.lease
                )
                yield name, World(
                    world.epoch, world.closed_for, world.done, world.setbacks,
                    world.overdue or overdue, _alike((moved, *others)),
                )  # fmt: skip
            if world.setbacks:
                yield (
                    "a wall clock is set back",
                    world._replace(
                        setbacks=world.setbacks - 1, workers=_alike((_set_back(worker), *others))
                    ),
                )

    return steps


def is_closed(epoch: int) -> bool:
    """Whether the record with this epoch says "closed"."""
    return epoch % 2 == 1


# -- The operator ----------------------------------------------------------------------------------


def operator_steps(rules: Rules, world: World) -> Iterator[Step]:
    """Close, be told that all is quiet, open again: not later than it comes to mind."""
    if world.epoch < rules.last_epoch:
        name = "the operator opens" if is_closed(world.epoch) else "the operator closes"
        yield name, world._replace(epoch=world.epoch + 1, closed_for=0)
    if is_closed(world.epoch) and world.done < world.epoch and _lets_pass(rules, world):
        yield DONE, world._replace(done=world.epoch)


def _lets_pass(rules: Rules, world: World) -> bool:
    def acknowledged(worker: Worker) -> bool:
        if rules.acknowledges_without_epoch:
            return worker.acknowledged != NOTHING
        return worker.acknowledged == world.epoch

    rows = [worker for worker in world.workers if worker.registered]
    lease_passed = world.closed_for >= rules.lease
    match rules.barrier:
        case Barrier.ACKS:
            return all(map(acknowledged, rows))
        case Barrier.ACKS_AND_LEASE:
            return lease_passed and all(map(acknowledged, rows))
        case Barrier.LEASE:
            return lease_passed
        case Barrier.ACKS_OR_SILENCE:
            return all(acknowledged(row) or row.silence > rules.lease for row in rows)


# -- Time ------------------------------------------------------------------------------------------


def _who_sleeps(rules: Rules) -> Iterator[tuple[bool, ...]]:
    """For each worker, whether its machine sleeps through a tick. Most clocks do not care."""
    choices = (False, True) if rules.clock is Clock.SLEEPS else (False,)
    return itertools.product(choices, repeat=rules.workers)


def _older(rules: Rules, worker: Worker, asleep: bool) -> Worker:
    """The worker a tick later."""
    if not worker.born:
        return worker
    if rules.barrier is Barrier.ACKS_OR_SILENCE and worker.registered:
        worker = worker._replace(silence=min(worker.silence + 1, rules.lease + 1))
    if asleep or not rules.leases_count:
        return worker
    reads = (read._replace(age=min(read.age + 1, rules.lease)) for read in worker.reads)
    return worker._replace(lease=max(worker.lease - 1, 0), reads=_sorted(reads))


def _set_back(worker: Worker) -> Worker:
    """The worker after its clock was set back: all that it has stamped looks younger by a tick.

    A lease that has run out has a tick left again, however long ago that was: the clock may have
    been set back by that much.
    """
    knows_open = worker.seen != NOTHING and not is_closed(worker.seen)
    return worker._replace(
        lease=worker.lease + 1 if knows_open else 0,
        reads=_sorted(read._replace(age=read.age - 1) for read in worker.reads),
    )


# -- A worker --------------------------------------------------------------------------------------


def worker_steps(rules: Rules, worker: Worker, epoch: int) -> Iterator[WorkerStep]:
    """Every step that *worker* can take while the store holds *epoch*."""
    if not worker.born:
        if rules.newcomers:
            yield "a process is born", _newborn(rules)
            for copied in _copies(rules, epoch):
                yield "a process is born with a copy", _newborn(rules)._replace(seen=copied)
        return
    yield "a process crashes", UNBORN
    if not worker.registered:
        yield "a worker registers", worker._replace(registered=True)
    elif rules.deregisters_undrained:
        yield "a worker deregisters", worker._replace(registered=False, acknowledged=NOTHING)
    if worker.registered or rules.reads_unregistered:
        yield from _reading(rules, worker, epoch)
    yield from _serving(rules, worker)
    yield from _acknowledging(rules, worker)


def _copies(rules: Rules, epoch: int) -> Iterator[int]:
    """What may stand in a host's copy: any record up to now, for nobody may have read since."""
    for copied in range(epoch + 1):
        if rules.copy is Copy.BELIEVED or (rules.copy is Copy.CLOSES and is_closed(copied)):
            yield copied


def _newborn(rules: Rules) -> Worker:
    return Worker(born=True, requests=(IDLE,) * rules.requests)


def _reading(rules: Rules, worker: Worker, epoch: int) -> Iterator[WorkerStep]:
    if len(worker.reads) < rules.readers:
        reads = _sorted((*worker.reads, Read(0, NOTHING)))
        yield "a read is stamped and sent", worker._replace(reads=reads)
    for read in set(worker.reads):
        others = list(worker.reads)
        others.remove(read)
        yield "a read is given up", worker._replace(reads=tuple(others))
        if read.answer != NOTHING:
            received = worker._replace(reads=tuple(others))
            yield "an answer is received", _received(rules, received, read)
            continue
        for answer in range(epoch + 1) if rules.reads_from_replica else (epoch,):
            reads = _sorted((*others, read._replace(answer=answer)))
            yield "the store answers a read", worker._replace(reads=reads, silence=0)


def _received(rules: Rules, worker: Worker, read: Read) -> Worker:
    if read.answer < worker.seen and not rules.accepts_lower_epochs:
        return worker
    if is_closed(read.answer) or not rules.leases_count:
        return worker._replace(seen=read.answer, lease=0)
    age = 0 if rules.stamps_at_receipt else read.age
    return worker._replace(seen=read.answer, lease=max(worker.lease, rules.lease - age))


def _serving(rules: Rules, worker: Worker) -> Iterator[WorkerStep]:
    for stage in set(worker.requests):
        move = _request_step(rules, worker, stage)
        if move is not None:
            name, following = move
            others = list(worker.requests)
            others.remove(stage)
            yield name, worker._replace(requests=tuple(sorted((*others, following))))


def _request_step(rules: Rules, worker: Worker, stage: int) -> tuple[str, int] | None:
    """What a request at *stage* does next; ``None`` where nothing needs to be told."""
    knows_open = worker.seen != NOTHING and not is_closed(worker.seen)
    in_time = worker.lease > 0 or not rules.leases_count
    if stage == RUNNING:
        return "a request ends", IDLE
    if rules.checks_before_counting:
        if stage == CHECKED:
            return STARTS, RUNNING
        return ("a request is checked", CHECKED) if knows_open and in_time else None
    if stage == TIMED:
        return "a request is counted", COUNTED
    if stage == COUNTED:
        admitted = knows_open and (in_time or rules.clock_before_counting)
        return (STARTS, RUNNING) if admitted else ("a request is refused", IDLE)
    if rules.clock_before_counting:
        return ("a request looks at the clock", TIMED) if in_time else None
    return "a request is counted", COUNTED


def _acknowledging(rules: Rules, worker: Worker) -> Iterator[WorkerStep]:
    """Two steps, because much may happen while an acknowledgement is under way."""
    if worker.acknowledging != NOTHING:
        if worker.registered:
            yield (
                "the store notes an acknowledgement",
                worker._replace(
                    acknowledging=NOTHING,
                    acknowledged=max(worker.acknowledging, worker.acknowledged),
                ),
            )
        return
    drained = not any(stage in (COUNTED, RUNNING) for stage in worker.requests)
    if (
        worker.registered
        and is_closed(worker.seen)
        and worker.acknowledged < worker.seen
        and (drained or rules.acknowledges_undrained)
    ):
        yield "a worker acknowledges", worker._replace(acknowledging=worker.seen)


def _alike(workers: Iterator[Worker] | tuple[Worker, ...]) -> tuple[Worker, ...]:
    return tuple(sorted(workers))


def _sorted(reads: Iterator[Read] | tuple[Read, ...]) -> tuple[Read, ...]:
    return tuple(sorted(reads))
