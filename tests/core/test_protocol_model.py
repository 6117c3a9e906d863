"""The protocol keeps its promises in every order of its steps, and each slip would be found out.

That the slips are found is what makes the rest worth something: a model in which nothing can go
wrong proves nothing. ``pytest -s`` shows the number of worlds, and the shortest way to each harm.
"""

from __future__ import annotations

import dataclasses

import pytest

from tests.core.every_order import Exploration
from tests.core.protocol_model import (
    BOUNDED,
    DONE,
    QUIET,
    STARTS,
    Barrier,
    Clock,
    Copy,
    Rules,
    World,
    check,
)

BOTH = (QUIET, BOUNDED)

KEEPS = Rules(leases_count=False, barrier=Barrier.ACKS)
"""Store loss keeps the last known state, and acknowledgements alone end the wait."""

EXPECTED = {
    "the operator closes", DONE, "time passes", "a process crashes", STARTS, "a request ends",
    "a read is stamped and sent", "the store answers a read", "an answer is received",
    "a read is given up", "a worker acknowledges", "the store notes an acknowledgement",
}  # fmt: skip
"""What must happen somewhere, or a promise is kept only because nothing ever happens."""

SAFE = {
    "with three requests and two readers in one worker": (
        Rules(lease=3, requests=3, readers=2),
        BOTH,
    ),
    "with two workers and long leases": (Rules(workers=2, lease=3), BOTH),
    "with two workers of two requests each": (Rules(workers=2, requests=2), BOTH),
    "with three workers": (Rules(workers=3), BOTH),
    "where no lease is waited out": (
        Rules(workers=2, lease=2, barrier=Barrier.ACKS),
        BOTH,
    ),
    "where the last known state is kept": (
        dataclasses.replace(KEEPS, workers=2, requests=2, readers=2, newcomers=False),
        (QUIET,),
    ),
    "where it is kept and processes are born late": (
        dataclasses.replace(KEEPS, workers=3),
        (QUIET,),
    ),
    "where the clock is looked at before counting": (
        Rules(workers=2, lease=2, clock_before_counting=True, barrier=Barrier.ACKS),
        (QUIET,),
    ),
    "of quiet where a wall clock is set back": (
        Rules(workers=2, clock=Clock.STEPS_BACK, barrier=Barrier.ACKS),
        (QUIET,),
    ),
    "of quiet where clocks stand still during suspend": (
        Rules(workers=2, lease=2, clock=Clock.SLEEPS, barrier=Barrier.ACKS),
        (QUIET,),
    ),
    "where registered workers read from a replica that lags": (
        Rules(workers=2, reads_from_replica=True, newcomers=False),
        (QUIET,),
    ),
    "where newborns are closed by their host's copy": (
        dataclasses.replace(KEEPS, workers=2, copy=Copy.CLOSES),
        (QUIET,),
    ),
    "where newborns believe their host's copy, which gives no lease": (
        Rules(workers=2, copy=Copy.BELIEVED),
        BOTH,
    ),
    "when the site opens and closes again": (Rules(workers=2, last_epoch=3), BOTH),
    "when it does so and the last known state is kept": (
        dataclasses.replace(KEEPS, workers=2, last_epoch=3),
        (QUIET,),
    ),
    "when it does so twice and two readers overtake each other": (
        Rules(readers=2, requests=2, last_epoch=5),
        BOTH,
    ),
}

UNSAFE = {
    "checking before counting": (Rules(checks_before_counting=True), QUIET),
    "waiting for leases only": (Rules(barrier=Barrier.LEASE), QUIET),
    "acknowledging before all requests have ended": (Rules(acknowledges_undrained=True), QUIET),
    "taking silence for death": (Rules(barrier=Barrier.ACKS_OR_SILENCE), QUIET),
    "reading before registering": (Rules(reads_unregistered=True), QUIET),
    "deregistering before all requests have ended": (Rules(deregisters_undrained=True), QUIET),
    "accepting a lower epoch that was overtaken": (
        Rules(accepts_lower_epochs=True, readers=2),
        QUIET,
    ),
    "accepting a lower epoch from a replica": (
        Rules(accepts_lower_epochs=True, reads_from_replica=True, newcomers=False),
        QUIET,
    ),
    "letting a newborn open by its host's copy": (
        dataclasses.replace(KEEPS, copy=Copy.BELIEVED),
        QUIET,
    ),
    "letting a newborn read from a replica": (Rules(reads_from_replica=True), QUIET),
    "checking before counting where acknowledgements alone count": (
        dataclasses.replace(KEEPS, checks_before_counting=True),
        QUIET,
    ),
    "acknowledging too early where acknowledgements alone count": (
        dataclasses.replace(KEEPS, acknowledges_undrained=True),
        QUIET,
    ),
    "reading before registering where acknowledgements alone count": (
        dataclasses.replace(KEEPS, reads_unregistered=True),
        QUIET,
    ),
    "deregistering too early where acknowledgements alone count": (
        dataclasses.replace(KEEPS, deregisters_undrained=True),
        QUIET,
    ),
    "taking silence for death where the last known state is kept": (
        dataclasses.replace(KEEPS, barrier=Barrier.ACKS_OR_SILENCE),
        QUIET,
    ),
    "acknowledging without naming the epoch": (
        Rules(acknowledges_without_epoch=True, last_epoch=3),
        QUIET,
    ),
    "stamping when the answer comes": (Rules(stamps_at_receipt=True), BOUNDED),
    "measuring leases with the wall clock": (Rules(clock=Clock.STEPS_BACK), BOUNDED),
    "measuring leases with a clock that sleeps": (Rules(clock=Clock.SLEEPS), BOUNDED),
    "letting no lease run out": (Rules(leases_count=False), BOUNDED),
}


def must_keep_its_promises(found: Exploration[World]) -> None:
    print(found)  # noqa: T201 (for whoever asks with -s, and beside a failure)
    assert not found.broken, str(found)
    assert found.steps >= EXPECTED


def must_break(found: Exploration[World], promise: str) -> None:
    print(found)  # noqa: T201 (as above)
    assert found.broken == promise


def test_a_worker_of_the_protocol_keeps_both_promises() -> None:
    must_keep_its_promises(check(Rules(), BOTH))


def test_a_request_that_checks_before_it_is_counted_is_met_after_all_should_be_quiet() -> None:
    found = check(Rules(checks_before_counting=True))
    must_break(found, QUIET)
    steps = [step for step, _world in found.trace]
    ways = ["a request is checked", "a worker acknowledges", STARTS]
    assert [step for step in steps if step in ways] == ways


@pytest.mark.exhaustive
@pytest.mark.parametrize(("rules", "promises"), SAFE.values(), ids=SAFE)
def test_the_promises_hold(rules: Rules, promises: tuple[str, ...]) -> None:
    must_keep_its_promises(check(rules, promises))


@pytest.mark.exhaustive
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("rules", "promise"), UNSAFE.values(), ids=UNSAFE)
def test_a_promise_is_broken_by(rules: Rules, promise: str, workers: int) -> None:
    must_break(check(dataclasses.replace(rules, workers=workers), (promise,)), promise)
