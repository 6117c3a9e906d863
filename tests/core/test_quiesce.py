"""What may be said of a closure, whatever the workers' rows say: never more than is proven."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backsoon.core.quiesce import (
    Condition,
    Report,
    Standing,
    Verdict,
    condition,
    condition_opened,
    verdict,
)

EPOCH = 7
PATIENCE = 6.0
LOST = 60.0
LEASE = 5.0

epochs = st.none() | st.integers(min_value=EPOCH - 2, max_value=EPOCH + 2)
times = st.floats(min_value=0, max_value=100)
endings = st.sampled_from(["gone", "silent", "assumed", "fenced"])
reports = st.builds(
    Report,
    id=st.uuids().map(str),
    kind=st.just("wsgi"),
    host=st.sampled_from(["web1", "web2"]),
    pid=st.integers(min_value=1, max_value=9999),
    silence=times,
    seen_epoch=epochs,
    acked_epoch=epochs,
    in_flight=st.integers(min_value=0, max_value=9),
    ended_how=st.just("") | endings,
    ended_ago=st.none() | times,
    ended_proven=st.booleans(),
)
crews = st.lists(reports, max_size=6)
booleans = st.booleans()


def standings(crew: list[Report]) -> list[Standing]:
    return [Standing(report, condition(report, EPOCH, PATIENCE)) for report in crew]


def said(crew: list[Report], elapsed: float, time_is_over: bool = False) -> Verdict:
    return verdict(
        standings(crew),
        elapsed=elapsed,
        silent_after=PATIENCE,
        lost_after=LOST,
        lease=LEASE,
        time_is_over=time_is_over,
    )


def acknowledged(report: Report) -> Report:
    return dataclasses.replace(report, seen_epoch=EPOCH, acked_epoch=EPOCH)


def living(report: Report) -> Report:
    return dataclasses.replace(report, ended_how="", ended_ago=None, ended_proven=True)


# -- One worker ------------------------------------------------------------------------------------


@given(reports)
def test_a_living_worker_is_quiet_exactly_when_it_has_acknowledged_this_very_closure(
    report: Report,
) -> None:
    report = living(report)
    is_quiet = condition(report, EPOCH, PATIENCE) is Condition.QUIET
    assert is_quiet == (report.acked_epoch == EPOCH)


@given(reports)
def test_an_acknowledgement_of_another_closure_says_nothing(report: Report) -> None:
    assume(report.acked_epoch != EPOCH)
    without = dataclasses.replace(report, acked_epoch=None)
    assert condition(report, EPOCH, PATIENCE) is condition(without, EPOCH, PATIENCE)


@given(reports, times)
def test_what_was_said_before_a_planned_closure_began_tells_of_the_one_before(
    report: Report, closed_for: float
) -> None:
    report = acknowledged(living(report))
    is_quiet = condition(report, EPOCH, PATIENCE, closed_for) is Condition.QUIET
    assert is_quiet == (report.silence <= closed_for)


@given(reports, times)
def test_longer_silence_never_makes_a_worker_quiet(report: Report, more: float) -> None:
    silenced = dataclasses.replace(report, silence=report.silence + more)
    if condition(report, EPOCH, PATIENCE) is not Condition.QUIET:
        assert condition(silenced, EPOCH, PATIENCE) is not Condition.QUIET


@given(reports)
def test_of_an_opening_a_living_worker_knows_once_it_has_seen_it_or_a_later_change(
    report: Report,
) -> None:
    report = living(report)
    knows = condition_opened(report, EPOCH, PATIENCE) is Condition.QUIET
    assert knows == (report.seen_epoch is not None and report.seen_epoch >= EPOCH)


# -- All of them -------------------------------------------------------------------------------


@given(crews, times, booleans)
def test_never_quiet_while_a_living_worker_has_not_acknowledged(
    crew: list[Report], elapsed: float, time_is_over: bool
) -> None:
    left = [report for report in crew if not report.ended_how and report.acked_epoch != EPOCH]
    if left:
        assert said(crew, elapsed, time_is_over) is not Verdict.QUIET


@given(crews, times)
def test_quiet_as_soon_as_all_living_have_acknowledged_and_all_ends_are_proven(
    crew: list[Report], elapsed: float
) -> None:
    certain = [dataclasses.replace(acknowledged(report), ended_proven=True) for report in crew]
    assert said(certain, elapsed) is Verdict.QUIET


@given(crews, reports, times, booleans)
def test_one_more_living_worker_never_makes_the_others_quiet(
    crew: list[Report], other: Report, elapsed: float, time_is_over: bool
) -> None:
    if said(crew, elapsed, time_is_over) is not Verdict.QUIET:
        assert said([*crew, living(other)], elapsed, time_is_over) is not Verdict.QUIET


@given(crews, st.randoms(use_true_random=False), times, booleans)
def test_the_order_of_the_rows_does_not_matter(
    crew: list[Report], random: object, elapsed: float, time_is_over: bool
) -> None:
    shuffled = list(crew)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert said(shuffled, elapsed, time_is_over) is said(crew, elapsed, time_is_over)


@given(crews, reports, endings, times)
def test_on_somebodys_word_a_whole_lease_is_waited_out_from_when_it_was_given(
    crew: list[Report], other: Report, how: str, elapsed: float
) -> None:
    crew = [acknowledged(living(report)) for report in crew]
    dead = dataclasses.replace(
        other, ended_how=how, ended_ago=0.0, ended_proven=False, acked_epoch=None
    )
    # However long the wait has lasted by then: the word may be given late in it.
    assert said([*crew, dead], elapsed) is Verdict.WAITING
    assert said([*crew, dead], elapsed, time_is_over=True) is Verdict.SILENT
    long_dead = dataclasses.replace(dead, ended_ago=LEASE)
    assert said([*crew, long_dead], elapsed) is Verdict.QUIET


@given(crews, times)
def test_when_the_time_is_over_it_is_decided(crew: list[Report], elapsed: float) -> None:
    assert said(crew, elapsed, time_is_over=True) is not Verdict.WAITING


@given(crews, times)
def test_busy_means_that_everybody_else_was_heard_and_is_quiet(
    crew: list[Report], elapsed: float
) -> None:
    if said(crew, elapsed, time_is_over=True) is Verdict.BUSY:
        found = {standing.condition for standing in standings(crew)}
        assert Condition.BUSY in found
        assert found <= {Condition.BUSY, Condition.QUIET, Condition.ENDED}


@given(crews, times, times)
def test_what_is_quiet_once_stays_quiet_while_nobody_says_anything_new(
    crew: list[Report], elapsed: float, more: float
) -> None:
    if said(crew, elapsed) is Verdict.QUIET:
        later = [
            dataclasses.replace(
                report,
                silence=report.silence + more,
                ended_ago=None if report.ended_ago is None else report.ended_ago + more,
            )
            for report in crew
        ]
        assert said(later, elapsed + more) is Verdict.QUIET


@given(crews, times)
def test_a_wait_ends_early_only_where_all_that_are_left_have_been_silent_for_long(
    crew: list[Report], elapsed: float
) -> None:
    left = [s for s in standings(crew) if s.condition not in (Condition.QUIET, Condition.ENDED)]
    lost = [s for s in left if s.condition is Condition.SILENT and s.report.silence >= LOST]
    ends = bool(left) and lost == left and elapsed >= PATIENCE
    assert (said(crew, elapsed) is Verdict.SILENT) == ends


SILENT_ONE = Report("a", "wsgi", "web1", 1, silence=PATIENCE + 1)
LOST_ONE = Report("e", "wsgi", "web1", 5, silence=LOST)
BUSY_ONE = Report("b", "wsgi", "web1", 2, seen_epoch=EPOCH, in_flight=1)
UNAWARE_ONE = Report("c", "wsgi", "web1", 3, seen_epoch=EPOCH - 1)
QUIET_ONE = acknowledged(Report("d", "wsgi", "web1", 4, silence=PATIENCE + 1))


@pytest.mark.parametrize(
    ("crew", "elapsed", "time_is_over", "expected"),
    [
        ([], 0.0, False, Verdict.QUIET),
        ([QUIET_ONE], 0.0, False, Verdict.QUIET),
        # Silence takes its time: it may be that the row is just old.
        ([LOST_ONE, QUIET_ONE], PATIENCE - 1, False, Verdict.WAITING),
        ([LOST_ONE, QUIET_ONE], PATIENCE, False, Verdict.SILENT),
        # Whoever was heard not long ago may be heard again.
        ([SILENT_ONE, QUIET_ONE], PATIENCE, False, Verdict.WAITING),
        ([SILENT_ONE, LOST_ONE], PATIENCE, False, Verdict.WAITING),
        # While another one is busy, the silent one has time to be heard again.
        ([LOST_ONE, BUSY_ONE], PATIENCE, False, Verdict.WAITING),
        ([SILENT_ONE, BUSY_ONE], PATIENCE, True, Verdict.SILENT),
        ([BUSY_ONE, QUIET_ONE], 1.0, True, Verdict.BUSY),
        ([BUSY_ONE, UNAWARE_ONE], 1.0, True, Verdict.SILENT),
        ([UNAWARE_ONE], 1.0, False, Verdict.WAITING),
    ],
)
def test_the_words_for_what_was_found(
    crew: list[Report], elapsed: float, time_is_over: bool, expected: Verdict
) -> None:
    assert said(crew, elapsed, time_is_over) is expected
