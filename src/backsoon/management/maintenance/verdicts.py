"""What came of a wait, in sentences: what was found, what is true now, what to do."""

from __future__ import annotations

from collections.abc import Iterator

from backsoon import quiesce
from backsoon.core.vocabulary import Mode
from backsoon.quiesce import Condition, Progress, Standing, Verdict

from . import worker_words
from .console import ExitCode, printable

TASK, WEBSOCKET = "TASK", "WEBSOCKET"
"""What stands for the method of units that are no requests; closing ends sockets by itself."""

EXIT_CODES = {
    Verdict.QUIET: ExitCode.DONE,
    Verdict.SILENT: ExitCode.SILENT,
    Verdict.BUSY: ExitCode.BUSY,
    Verdict.OVERTAKEN: ExitCode.OVERTAKEN,
}


def all_quiet(progress: Progress, waited: float) -> str:
    """The good end of a wait for a closure."""
    living = progress.standing(Condition.QUIET)
    effect = (
        "No ordinary request or task runs, and none starts until the site is opened."
        if progress.state.mode is Mode.CLOSED
        else "Nothing of the time before runs any more; visitors can only read."
    )
    apart = sum(standing.report.apart for standing in living)
    if apart:
        units = "request or task" if apart == 1 else "requests or tasks"
        effect += f" Not waited for: {apart} {units} of administrators, or exempt."
    if not living:
        return (
            "Quiet: no worker is registered, so nothing runs that knows of this closure. If the "
            "site answers requests all the same, it runs without the middleware."
        )
    return (
        f"Quiet: {worker_words.everybody(len(living))} acknowledged after {_time(waited)}. {effect}"
    )


def all_open(progress: Progress, waited: float) -> str:
    """The good end of a wait for an opening."""
    number = len(progress.standing(Condition.QUIET))
    if not number:
        return "No worker is registered, so nobody has to be told."
    verb = "know" if number > 1 else "knows"
    return f"Open everywhere: {worker_words.everybody(number)} {verb} after {_time(waited)}."


def not_quiet(progress: Progress, waited: float) -> str:
    """Who keeps a closed site from being quiet, and what can be done about it."""
    degree = "not quiet" if progress.verdict is Verdict.BUSY else "not proven quiet"
    found = " ".join(_obstacles(progress))
    return f"{degree} after {_time(waited)}. {found}"


def what_to_do(progress: Progress, again: str) -> str:
    """What helps against what :func:`not_quiet` found; *again* is the command that waits on."""
    return " ".join(_advice(progress, again))


def not_open(progress: Progress, waited: float) -> str:
    """Who does not know yet that the site is open."""
    names = [
        worker_words.name(standing.report)
        for standing in progress.standing(Condition.SILENT, Condition.UNAWARE)
    ]
    alone = len(names) == 1
    said = "has not said yet that it knows" if alone else "have not said yet that they know"
    return (
        f"not everywhere after {_time(waited)}: {worker_words.some(names)} "
        f"{said}. The site is open; each of them opens as soon as it reads the database. See them "
        "with: manage.py maintenance workers"
    )


def _obstacles(progress: Progress) -> Iterator[str]:
    busy = progress.standing(Condition.BUSY)
    if busy:
        yield f"Still running: {worker_words.some([_business(s) for s in busy])}."
    silent = progress.standing(Condition.SILENT)
    if silent:
        names = [
            f"{worker_words.name(s.report)} for {worker_words.length(s.report.silence)}"
            for s in silent
        ]
        pronoun = "It" if len(silent) == 1 else "Each of them"
        yield (
            f"Not heard of: {worker_words.some(names)}. {pronoun} may be paused with a request in "
            "hand."
        )
    unaware = progress.standing(Condition.UNAWARE)
    if unaware:
        names = [worker_words.name(s.report) for s in unaware]
        know = "it knows" if len(names) == 1 else "they know"
        yield (
            f"Heard of lately, but without word that {know} of the closure: "
            f"{worker_words.some(names)}."
        )
    if silent and not (busy or unaware) and all(map(_is_lost, silent)):
        lost = worker_words.length(quiesce.LOST_SECONDS)
        yield f"After {lost} of silence nobody waits for more of it."
    if not (busy or silent or unaware):
        yield (
            "A worker is not waited for on somebody's word, and the time in which it might still "
            "let somebody by is not over."
        )


def _advice(progress: Progress, again: str) -> Iterator[str]:
    yield f"Look with: manage.py maintenance workers. To go on waiting: {again}."
    reports = [standing.report for standing in progress.standing(Condition.BUSY)]
    methods = {unit.method for report in reports for unit in report.units}
    untold = any(report.in_flight > len(report.units) for report in reports)
    if untold or methods - {TASK, WEBSOCKET}:
        yield f"If it is a stream that does not end: {again} --cut-streams."
    if TASK in methods:
        yield "If it is a task that does not end: celery -A PROJECT control revoke --terminate ID."
    ids = worker_words.short_ids(standing.report for standing in progress.workers)
    for standing in progress.standing(Condition.SILENT)[: worker_words.NAMED]:
        yield (
            f"If you know that {printable(standing.report.place)} is dead: {again} "
            f"--assume-dead {ids[standing.report.id]}."
        )


def _business(standing: Standing) -> str:
    units = worker_words.all_running(standing.report)
    return f"{worker_words.some(units)} on {worker_words.name(standing.report)}"


def _is_lost(standing: Standing) -> bool:
    return standing.report.silence >= quiesce.LOST_SECONDS


def _time(seconds: float) -> str:
    return worker_words.length(seconds)
