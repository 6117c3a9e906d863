"""Leases, against a time line that is walked tick by tick: however long replies are under way."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from backsoon.core import lease

LENGTH = 5
HORIZON = 40
"""Ticks that are looked at; everything has arrived well before."""

moments = st.floats(allow_nan=False, allow_infinity=False, width=32)
lengths = st.floats(min_value=0.125, max_value=3600, width=32)
numbers = st.integers(0, 2**63 - 1)


@dataclass(frozen=True)
class Reply:
    """A reading of the store, with its three moments."""

    sent_at: int
    answered_at: int
    received_at: int


@dataclass
class Listener:
    """A process that does with each reply what the lease's rules say, and nothing else.

    Even epochs are open, odd ones closed.
    """

    epoch: int | None = None
    end: float = lease.NEVER

    def receive(self, epoch: int, sent_at: int) -> None:
        if self.epoch is not None and lease.is_rolled_back(self.epoch, epoch):
            return
        self.epoch = epoch
        self.end = lease.renewed(self.end, lease.lease_end(sent_at, LENGTH))

    def admits(self, now: int) -> bool:
        known_open = self.epoch is not None and self.epoch % 2 == 0
        return known_open and lease.holds(self.end, now)


def epoch_at(changes: list[int], moment: int) -> int:
    """The epoch after all *changes* up to *moment*."""
    return sum(change <= moment for change in changes)


def story(changes: list[int], replies: list[Reply]) -> list[tuple[int, Listener]]:
    """The listener as it is at each tick, those of the same tick in the order of their arrival."""
    listener = Listener()
    told = []
    for now in range(HORIZON):
        for reply in replies:
            if reply.received_at == now:
                listener.receive(epoch_at(changes, reply.answered_at), reply.sent_at)
                told.append((now, Listener(listener.epoch, listener.end)))
        told.append((now, Listener(listener.epoch, listener.end)))
    return told


@st.composite
def some_replies(draw: st.DrawFn) -> Reply:
    sent_at = draw(st.integers(0, 15))
    answered_at = sent_at + draw(st.integers(0, 8))
    return Reply(sent_at, answered_at, answered_at + draw(st.integers(0, 12)))


changes_of_the_store = st.lists(st.integers(0, 20), max_size=4, unique=True)
replies_in_any_order = st.lists(some_replies(), max_size=6)


@given(changes_of_the_store, replies_in_any_order)
@settings(max_examples=150, deadline=None)
def test_nobody_is_admitted_when_the_store_has_been_closed_for_a_whole_lease(
    changes: list[int], replies: list[Reply]
) -> None:
    for now, listener in story(changes, replies):
        if listener.admits(now):
            # A moment at which both happen counts as before and after.
            lately = range(now - LENGTH, now + 1)
            assert any(epoch_at(changes, moment) % 2 == 0 for moment in lately)


@given(changes_of_the_store, replies_in_any_order)
@settings(max_examples=100, deadline=None)
def test_whoever_is_admitted_owes_it_to_a_reply_sent_less_than_a_lease_ago(
    changes: list[int], replies: list[Reply]
) -> None:
    for now, listener in story(changes, replies):
        if listener.admits(now):
            assert any(
                reply.received_at <= now < reply.sent_at + LENGTH
                and epoch_at(changes, reply.answered_at) <= (listener.epoch or 0)
                for reply in replies
            )


@given(changes_of_the_store, replies_in_any_order)
@settings(max_examples=100, deadline=None)
def test_no_order_of_replies_lowers_the_epoch_or_shortens_the_lease(
    changes: list[int], replies: list[Reply]
) -> None:
    last = Listener()
    for now, listener in story(changes, replies):
        arrived = [epoch_at(changes, r.answered_at) for r in replies if r.received_at < now]
        assert listener.epoch is None or listener.epoch >= max(arrived, default=0)
        assert last.epoch is None or (listener.epoch or 0) >= last.epoch
        assert listener.end >= last.end
        last = listener


@given(moments, lengths, moments)
def test_a_lease_holds_up_to_its_end_and_not_at_it(
    sent_at: float, length: float, now: float
) -> None:
    end = lease.lease_end(sent_at, length)
    assert lease.holds(end, now) == (now < sent_at + length)
    assert not lease.holds(end, end)


@given(moments, moments)
def test_of_two_leases_the_later_end_counts_whichever_came_first(one: float, other: float) -> None:
    assert lease.renewed(one, other) == lease.renewed(other, one) == max(one, other)


@given(moments)
def test_what_nobody_gave_never_holds_and_what_does_not_run_out_always_does(now: float) -> None:
    assert not lease.holds(lease.NEVER, now)
    assert lease.holds(lease.FOREVER, now)
    assert lease.renewed(lease.NEVER, now) == now
    assert lease.renewed(lease.FOREVER, now) == lease.FOREVER


@given(numbers, numbers)
def test_only_a_lower_epoch_was_rolled_back(known: int, read: int) -> None:
    assert lease.is_rolled_back(known, read) == (read < known)
