"""Waiting until all is quiet: what the rows say, what happens meanwhile, and what is told."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from backsoon import environment, processes, quiesce, services, store, waiting, workers
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import NotQuietError, StoreUnavailableError
from backsoon.models import Change, Worker
from backsoon.quiesce import Condition, Progress, Verdict
from backsoon.store import Pulse

pytestmark = pytest.mark.django_db

ANN = services.Origin(name="ann", channel=Change.Channel.COMMAND)
HOUR = dt.timedelta(hours=1)
SECOND = dt.timedelta(seconds=1)


class Clock:
    """Time that passes only while somebody waits, and what happens meanwhile."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, Callable[[], object]]] = []

    def __call__(self) -> float:
        return self.now

    def at(self, moment: float, event: Callable[[], object]) -> None:
        """Let *event* happen at *moment*."""
        self._events.append((moment, event))

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.now += max(seconds, 0.001)
        for moment, event in list(self._events):
            if moment <= self.now:
                self._events.remove((moment, event))
                event()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watch(clock: Clock, seconds: float = 60.0, **options: Any) -> Progress:
    """What a wait has come to in the end."""
    return list(quiesce.watch(seconds, clock=clock, pause=clock.pause, **options))[-1]


def worker(identity: str = "a" * 32, **facts: Any) -> Worker:
    """The row of a worker on a machine of which nothing can be proven here."""
    now = store.utc_now()
    usual: dict[str, Any] = {
        "id": identity, "host": "web1", "pid": 4711, "born_at": now, "seen_at": now,
    }  # fmt: skip
    return Worker.objects.create(**{**usual, **facts})


def tell(row: Worker, **news: Any) -> None:
    """Let the worker tell something new."""
    assert workers.beat(row.pk, **news)


def epoch() -> int:
    return store.read_mark().epoch


# -- What ends a wait ------------------------------------------------------------------------------


def test_where_no_worker_is_registered_a_closure_is_quiet_at_once() -> None:
    outcome = services.close_site(wait=5.0)
    assert outcome.state.mode is Mode.CLOSED


def test_a_wait_ends_as_soon_as_the_last_worker_has_acknowledged(clock: Clock) -> None:
    one, other = worker("a" * 32), worker("b" * 32)
    services.close_site()
    clock.at(1.0, lambda: tell(one, seen_epoch=epoch(), acked_epoch=epoch()))
    clock.at(2.0, lambda: tell(other, seen_epoch=epoch(), in_flight=1))
    clock.at(4.0, lambda: tell(other, seen_epoch=epoch(), acked_epoch=epoch(), in_flight=0))
    found = watch(clock)
    assert found.verdict is Verdict.QUIET
    assert found.is_quiet
    assert 4.0 <= clock.now <= 4.0 + quiesce.LONGEST_PAUSE


def test_an_acknowledgement_of_the_closure_before_does_not_count(clock: Clock) -> None:
    services.close_site()
    worker(seen_epoch=epoch(), acked_epoch=epoch())
    assert watch(clock).is_quiet
    services.open_site()
    services.close_site()
    assert watch(clock, 3.0).verdict is not Verdict.QUIET


def test_an_acknowledgement_of_the_planned_closure_before_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both bear the same number, because nobody had to write anything when the first one ended."""
    noon = store.utc_now().replace(microsecond=0)
    for start in (noon, noon + 2 * HOUR):
        services.schedule(start, start + HOUR)
    at_first = noon + HOUR / 2
    worker(seen_epoch=epoch(), acked_epoch=epoch(), seen_at=at_first)

    def verdict_at(moment: dt.datetime) -> tuple[Verdict, list[Condition]]:
        monkeypatch.setattr(store, "utc_now", lambda: moment)
        found = quiesce.look()
        return found.verdict, [standing.condition for standing in found.workers]

    assert verdict_at(at_first) == (Verdict.QUIET, [Condition.QUIET])
    assert verdict_at(noon + 2 * HOUR)[1] == [Condition.SILENT]
    Worker.objects.update(seen_at=noon + 2 * HOUR + SECOND)
    assert verdict_at(noon + 2 * HOUR + 2 * SECOND) == (Verdict.QUIET, [Condition.QUIET])


def test_a_wait_tells_whenever_something_changes_and_each_second(clock: Clock) -> None:
    row = worker()
    services.close_site()
    clock.at(0.5, lambda: tell(row, seen_epoch=epoch(), in_flight=2))
    told = list(quiesce.watch(3.0, clock=clock, pause=clock.pause))
    conditions = [progress.workers[0].condition for progress in told]
    assert conditions[:2] == [Condition.UNAWARE, Condition.BUSY]
    assert len(told) == 5  # at once, at the news, after one and two more seconds, and in the end


def test_what_still_runs_when_the_time_is_over_is_named_and_the_site_stays_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    units = [["POST", "/orders/", 1.5]]
    worker(seen_epoch=epoch() + 1, in_flight=1, units=units)
    with pytest.raises(NotQuietError) as caught:
        services.close_site(wait=0.05)
    (busy,) = caught.value.progress.standing(Condition.BUSY)
    (unit,) = busy.report.units
    assert (unit.method, unit.path) == ("POST", "/orders/")
    assert caught.value.progress.verdict is Verdict.BUSY
    assert services.current_state().mode is Mode.CLOSED


def test_a_worker_that_is_not_heard_of_is_named_after_a_while_and_never_quiet(
    clock: Clock,
) -> None:
    worker(seen_at=store.utc_now() - HOUR)
    services.close_site()
    found = watch(clock)
    assert found.verdict is Verdict.SILENT
    assert clock.now == pytest.approx(quiesce.silent_after(), abs=0.2)
    assert watch(clock, 0.0).verdict is Verdict.SILENT


def test_a_silent_worker_that_is_heard_again_is_waited_for(clock: Clock) -> None:
    row = worker(seen_at=store.utc_now() - HOUR)
    services.close_site()
    clock.at(3.0, lambda: tell(row, seen_epoch=epoch(), acked_epoch=epoch()))
    assert watch(clock).is_quiet


def test_a_worker_of_this_machine_whose_process_has_ended_is_not_waited_for(clock: Clock) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    started = processes.started(ended.pid)
    ended.wait()
    row = worker(machine=processes.machine(), pid=ended.pid, pid_started=started)
    services.close_site()
    found = watch(clock)
    assert found.is_quiet
    assert clock.now == 0.0
    row.refresh_from_db()
    assert row.ended_how == Worker.Ending.GONE


def test_a_worker_of_this_machine_whose_process_lives_is_waited_for(clock: Clock) -> None:
    this = processes.this_process()
    worker(machine=this.machine, pid=this.pid, pid_started=this.started)
    services.close_site()
    assert watch(clock, 3.0).verdict is Verdict.SILENT


def test_a_process_of_this_machine_that_stands_still_for_days_is_not_forgotten(
    clock: Clock,
) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        try:
            os.kill(process.pid, signal.SIGSTOP)
            row = worker(
                machine=processes.machine(),
                pid=process.pid,
                pid_started=processes.started(process.pid),
                in_flight=1,
                seen_at=store.utc_now() - 30 * 24 * HOUR,
            )
            services.close_site()
            assert watch(clock, 20.0).verdict is Verdict.SILENT
            row.refresh_from_db()
            assert row.ended_at is None
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("has_a_clock", "days", "forgotten"), [(True, 0.9, False), (True, 1.1, True), (False, 6, False),
                                           (False, 8, True)]
)  # fmt: skip
def test_a_worker_of_another_machine_is_forgotten_after_a_day_by_the_databases_clock_else_a_week(
    monkeypatch: pytest.MonkeyPatch, has_a_clock: bool, days: float, forgotten: bool
) -> None:
    row = worker(seen_at=store.utc_now() - days * 24 * HOUR)
    monkeypatch.setattr(store, "has_a_clock", lambda: has_a_clock)
    monkeypatch.setattr(workers, "_now", store.utc_now)
    workers.bury_the_dead()
    row.refresh_from_db()
    assert row.ended_how == (Worker.Ending.SILENT if forgotten else "")


def test_an_opening_is_waited_for_until_every_worker_has_seen_it(clock: Clock) -> None:
    row = worker()
    services.close_site()
    services.open_site()
    clock.at(2.0, lambda: tell(row, seen_epoch=epoch()))
    assert watch(clock, opened=True).verdict is Verdict.QUIET
    assert clock.now >= 2.0
    services.close_site()
    with pytest.raises(NotQuietError):
        services.open_site(wait=0.05)


# -- What happens meanwhile ------------------------------------------------------------------------


def test_who_opens_the_site_during_the_wait_ends_it_without_quiet(clock: Clock) -> None:
    worker()
    services.close_site()
    clock.at(1.0, services.open_site)
    assert watch(clock).verdict is Verdict.OVERTAKEN


def test_a_site_that_was_opened_and_closed_again_is_waited_for_anew(clock: Clock) -> None:
    row = worker()
    services.close_site()
    first = epoch()

    def again() -> None:
        services.open_site()
        services.close_site()

    clock.at(1.0, again)
    clock.at(2.0, lambda: tell(row, seen_epoch=first, acked_epoch=first))
    clock.at(5.0, lambda: tell(row, seen_epoch=epoch(), acked_epoch=epoch()))
    assert watch(clock).is_quiet
    assert clock.now >= 5.0


def test_a_closure_that_somebody_made_milder_before_the_first_look_is_not_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look = quiesce.look

    def late(**options: Any) -> Progress:
        monkeypatch.setattr(quiesce, "look", look)
        services.close_site(mode=Mode.READ_ONLY)
        return look(**options)

    monkeypatch.setattr(quiesce, "look", late)
    with pytest.raises(NotQuietError) as caught:
        services.close_site(wait=5.0)
    assert caught.value.progress.verdict is Verdict.OVERTAKEN


def test_a_timer_that_is_about_to_open_the_site_leaves_nothing_to_wait_for(clock: Clock) -> None:
    row = worker()
    services.close_site(until=store.utc_now() + 0.5 * SECOND, open_at_end=True)
    tell(row, seen_epoch=epoch(), acked_epoch=epoch())
    assert watch(clock).verdict is Verdict.OVERTAKEN


def test_a_timer_runs_by_the_databases_clock_whatever_this_machines_says(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = worker()
    services.close_site(until=store.utc_now() + HOUR, open_at_end=True)
    tell(row, seen_epoch=epoch(), acked_epoch=epoch())
    assert watch(clock).is_quiet
    read = store.read_pulse

    def ahead() -> Pulse:
        pulse = read()
        return Pulse(pulse.mark, pulse.mode, store.utc_now() + HOUR)

    monkeypatch.setattr(store, "read_pulse", ahead)
    assert watch(clock).verdict is Verdict.OVERTAKEN


def test_a_worker_that_registers_and_looks_just_before_the_closure_is_not_overlooked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It writes its row after the rows were read, and the site is closed before the switch is."""
    reports = workers.reports

    def meanwhile() -> list[quiesce.Report]:
        monkeypatch.setattr(workers, "reports", reports)
        found = reports()
        worker(seen_epoch=epoch())
        services.close_site()
        return found

    monkeypatch.setattr(workers, "reports", meanwhile)
    assert quiesce.look().verdict is not Verdict.QUIET


def test_a_switch_that_never_stands_still_is_not_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = workers.reports

    def restless() -> list[quiesce.Report]:
        found = reports()
        services.open_site()
        services.close_site()
        return found

    monkeypatch.setattr(workers, "reports", restless)
    assert quiesce.look().verdict is Verdict.OVERTAKEN


def test_a_database_that_is_away_for_a_while_is_waited_for(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.close_site()
    worker(seen_epoch=epoch(), acked_epoch=epoch())
    reports = workers.reports

    def away() -> list[quiesce.Report]:
        raise StoreUnavailableError("connection refused")

    monkeypatch.setattr(workers, "reports", away)
    clock.at(2.0, lambda: monkeypatch.setattr(workers, "reports", reports))
    with transaction.atomic():  # the connection is closed, which a test's cannot stand
        monkeypatch.setattr("django.db.connection.close", lambda: None)
        assert watch(clock).is_quiet
    assert clock.now >= 2.0


def test_a_database_that_stays_away_is_an_error_once_the_time_is_over(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.close_site()

    def away() -> list[quiesce.Report]:
        raise StoreUnavailableError("connection refused")

    monkeypatch.setattr(workers, "reports", away)
    monkeypatch.setattr("django.db.connection.close", lambda: None)
    with pytest.raises(StoreUnavailableError):
        watch(clock, 3.0)
    assert 3.0 <= clock.now <= 3.2


# -- Transactions ----------------------------------------------------------------------------------


def test_nobody_can_wait_inside_a_transaction_and_then_nothing_is_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "in_test_environment", lambda: False)
    for wait_inside in (services.close_site, services.open_site):
        with pytest.raises(waiting.InsideTransactionError), transaction.atomic():
            wait_inside(wait=1.0)
    assert epoch() == 0


# -- On an operator's word -------------------------------------------------------------------------


def test_who_is_assumed_dead_is_waited_for_a_lease_and_no_longer(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = store.utc_now()
    monkeypatch.setattr(store, "utc_now", lambda: noon + clock.now * SECOND)
    worker("abc" + "d" * 29, seen_at=store.utc_now() - HOUR)
    services.close_site()
    services.assume_dead("abc", origin=ANN)
    found = watch(clock)
    assert found.is_quiet
    assert clock.now == pytest.approx(5.0, abs=0.2)  # the default lease


def test_the_word_of_an_operator_is_recorded() -> None:
    row = worker("abc" + "d" * 29)
    services.assume_dead(row.pk, origin=ANN)
    row.refresh_from_db()
    assert (row.ended_how, row.ended_by) == (Worker.Ending.ASSUMED, "ann")
    change = Change.objects.get(action=Change.Action.BURIED)
    assert change.actor_name == "ann"
    assert change.after == {"worker": row.pk, "where": "web1:4711", "how": "assumed"}


@pytest.mark.parametrize("given", ["", "f", "ab"])
def test_a_word_about_nobody_or_about_several_is_none(given: str) -> None:
    worker("ab" + "1" * 30)
    worker("ab" + "2" * 30)
    with pytest.raises(LookupError):
        services.assume_dead(given, origin=ANN)
    assert not Change.objects.filter(action=Change.Action.BURIED).exists()


def test_a_living_worker_that_was_assumed_dead_learns_that_its_row_counts_no_more() -> None:
    row = worker()
    services.assume_dead(row.pk, origin=ANN)
    assert not workers.beat(row.pk, seen_epoch=1)


# -- Many ------------------------------------------------------------------------------------------


def test_a_thousand_workers_are_looked_at_in_less_than_a_second(clock: Clock) -> None:
    services.close_site()
    now, number = store.utc_now(), epoch()
    machine, pid = processes.machine(), os.getpid()
    Worker.objects.bulk_create(
        Worker(
            id=f"{place:032x}", host="web", pid=pid, machine=machine if place % 2 else "",
            born_at=now, seen_at=now, seen_epoch=number, acked_epoch=number,
        )
        for place in range(1000)
    )  # fmt: skip
    began = store.utc_now()
    found = watch(clock)
    assert found.is_quiet
    assert len(found.workers) == 1000
    assert store.utc_now() - began < SECOND
