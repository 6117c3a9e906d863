"""Gate and keeper through any order of switching, faults and time, against a store in memory.

Nothing is read from a database and no thread runs: each look of the watcher is a step, and time
passes only where a step says so, also in the middle of a reading.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Any
from unittest import mock

from django.test import override_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from backsoon.core.vocabulary import Mode, Policy, State, Switch, Why
from backsoon.exceptions import NotMigratedError, StoreUnavailableError
from backsoon.gate import Gate
from backsoon.snapshots import Mark, Snapshot
from backsoon.store import Pulse

LEASE = 5
NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)

AWAY, BARE = "away", "bare"
"""Faults of the store: it does not answer; it answers and has lost its tables."""


revisions = itertools.count()
"""No two records are alike. (One that is, after a backup was restored, is noticed at the next full
reading.)
"""


def record(epoch: int, mode: Mode, since: dt.datetime | None = None) -> Snapshot:
    """A record written now, of a decision made now or at *since*."""
    mark = Mark(epoch, next(revisions))
    now = NOON + dt.timedelta(seconds=mark.revision)
    return Snapshot(policy=Policy(switch=Switch(mode=mode, since=since or now)), mark=mark)


def counts_after(known: Snapshot | None, answer: Snapshot) -> bool:
    """Whether *answer* tells of something newer: by its number, else by when it was decided."""
    if known is None or answer.mark.epoch != known.mark.epoch:
        return known is None or answer.mark.epoch > known.mark.epoch
    ours, theirs = known.policy.switch.since, answer.policy.switch.since
    assert ours is not None
    assert theirs is not None
    return answer.mark.revision >= known.mark.revision and theirs >= ours


@dataclass
class Process:
    """A gate, and what its readings were told: what it may know."""

    gate: Gate = field(default_factory=Gate)
    fault: str = ""
    sent_at: float = 0.0
    told: list[tuple[float, Snapshot]] = field(default_factory=list)
    """Each answer, with the moment before which its question was not sent."""
    copied: Snapshot | None = None

    @property
    def is_open(self) -> bool:
        return self.gate.knows and self.gate.view().is_open

    @property
    def newest(self) -> Snapshot | None:
        """Of all that it was told, and found on its host, what counts."""
        newest = self.copied
        for _sent_at, answer in self.told:
            if counts_after(newest, answer):
                newest = answer
        return newest


Step = Callable[["Host"], None]


class Host:
    """Two processes on one host, their store, and a clock that only steps move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stored = record(0, Mode.OPEN)
        self.past = [self.stored]
        self.copy: Snapshot | None = None
        self.processes = [Process(), Process()]
        self.reading = self.processes[0]
        self.delays: list[int] = []

    @contextlib.contextmanager
    def in_charge(self, on_store_loss: str) -> Iterator[None]:
        """Stand in for everything that gate and keeper would ask."""
        configured = {"LEASE": LEASE, "ON_STORE_LOSS": on_store_loss, "COUNT_TRAFFIC": False}
        stand_ins: dict[str, Callable[..., Any]] = {
            "gate.since_boot": lambda: self.now,
            "keeper.since_boot": lambda: self.now,
            "environment.in_test_environment": lambda: False,
            "store.read_pulse": self.read_pulse,
            "store.load": self.load,
            "services.reassert": self.reassert,
            "lastknown.save": self.save_copy,
            "lastknown.load": self.load_copy,
            "brakes.read": lambda: None,
        }
        with contextlib.ExitStack() as stack:
            stack.enter_context(override_settings(BACKSOON=configured))
            for name, stand_in in stand_ins.items():
                stack.enter_context(mock.patch(f"backsoon.{name}", stand_in))
            yield

    # -- What stands in for the store and the host ---------------------------------------------

    def answer(self) -> Snapshot:
        """The record as it was when the question arrived; the answer takes its time, too."""
        self.now += self.delays.pop() if self.delays else 0
        if self.reading.fault == AWAY:
            raise StoreUnavailableError("cut off")
        if self.reading.fault == BARE:
            raise NotMigratedError("no such table")
        stored = self.stored
        self.now += self.delays.pop() if self.delays else 0
        return stored

    def read_pulse(self) -> Pulse:
        self.reading.sent_at = self.now
        stored = self.answer()
        known = self.reading.gate.snapshot
        if known is not None and known.mark == stored.mark:
            self.reading.told.append((self.reading.sent_at, stored))
        return Pulse(stored.mark, stored.policy.switch.mode.value)

    def load(self) -> Snapshot:
        stored = self.answer()
        self.reading.told.append((self.reading.sent_at, stored))
        return stored

    def reassert(self, known: Snapshot) -> None:
        switch = known.policy.switch
        epoch = max(known.mark.epoch, self.stored.mark.epoch) + 1
        self.store(record(epoch, switch.mode, switch.since))

    def save_copy(self, known: Snapshot) -> None:
        self.copy = known

    def load_copy(self) -> Snapshot | None:
        self.reading.copied = self.copy
        return self.copy

    def store(self, written: Snapshot) -> None:
        self.stored = written
        self.past.append(written)

    # -- Steps ---------------------------------------------------------------------------------

    def switch(self, mode: Mode) -> None:
        self.store(record(self.stored.mark.epoch + 1, mode))

    def restore_a_backup(self, age: int) -> None:
        self.stored = self.past[max(len(self.past) - 1 - age, 0)]

    def replace_by_a_newborn(self, place: int) -> None:
        self.processes[place] = Process()

    def fail(self, place: int, fault: str) -> None:
        # A process that knows nothing yet opens where nobody has migrated, which is no fault.
        process = self.processes[place]
        process.fault = fault if process.told else AWAY

    def mend(self, place: int) -> None:
        self.processes[place].fault = ""

    def look(self, place: int, delays: list[int]) -> None:
        self.reading, self.delays = self.processes[place], list(delays)
        self.reading.gate.keeper.look()

    def wait(self, ticks: int) -> None:
        """Nothing happens, or the machine is suspended."""
        self.now += ticks


places = st.integers(0, 1)
looks = st.builds(methodcaller, st.just("look"), places, st.lists(st.integers(0, 7), max_size=4))
modes = st.sampled_from([Mode.CLOSED, Mode.OPEN, Mode.READ_ONLY])
steps = st.one_of(
    looks,
    st.builds(methodcaller, st.just("switch"), modes),
    looks,
    st.builds(methodcaller, st.just("fail"), places, st.sampled_from([AWAY, BARE])),
    looks,
    st.builds(methodcaller, st.just("wait"), st.integers(1, 12)),
    looks,
    st.builds(methodcaller, st.just("mend"), places),
    looks,
    st.builds(methodcaller, st.just("restore_a_backup"), st.integers(1, 3)),
    st.builds(methodcaller, st.just("replace_by_a_newborn"), places),
)
orders = st.lists(steps, min_size=15, max_size=40)


def after_each(order: list[Step], on_store_loss: str) -> Iterator[tuple[Host, Process]]:
    """Each process as it is after each step of *order*."""
    host = Host()
    with host.in_charge(on_store_loss):
        for step in order:
            step(host)
            for process in host.processes:
                yield host, process


@given(orders)
@settings(max_examples=120, deadline=None)
def test_the_newest_answer_ever_given_stays_in_force(order: list[Step]) -> None:
    for _host, process in after_each(order, "keep"):
        if process.newest is not None:
            view = process.gate.view()
            assert view.snapshot.mark == process.newest.mark
            assert view.state.mode is process.newest.policy.switch.mode


@given(orders)
@settings(max_examples=120, deadline=None)
def test_a_process_is_open_as_long_as_the_newest_answer_says_so_and_its_lease_holds(
    order: list[Step],
) -> None:
    for host, process in after_each(order, "close"):
        newest = process.newest
        sent = [at for at, answer in process.told if answer is newest]
        says_open = newest is not None and newest.policy.switch.mode is Mode.OPEN
        assert process.is_open == (says_open and any(host.now < at + LEASE for at in sent))


@given(orders, st.sampled_from(["keep", "close"]))
@settings(max_examples=60, deadline=None)
def test_whoever_was_told_nothing_is_closed(order: list[Step], on_store_loss: str) -> None:
    for _host, process in after_each(order, on_store_loss):
        if process.newest is None and process.gate.knows:
            assert process.gate.view().state == State(Mode.CLOSED, Why.UNKNOWN)


@given(orders, st.sampled_from(["keep", "close"]))
@settings(max_examples=60, deadline=None)
def test_a_process_never_goes_back_to_a_lower_epoch(order: list[Step], on_store_loss: str) -> None:
    highest: dict[Gate, int] = {}
    for _host, process in after_each(order, on_store_loss):
        if process.gate.snapshot is not None:
            epoch = process.gate.snapshot.mark.epoch
            assert epoch >= highest.get(process.gate, epoch)
            highest[process.gate] = epoch
