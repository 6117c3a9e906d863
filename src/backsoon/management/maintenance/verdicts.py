"""What came of a wait, in sentences: what was found, what is true now, what to do."""

from __future__ import annotations

from collections.abc import Iterator

from backsoon.core.vocabulary import Mode
from backsoon.quiesce import Condition, Progress, Standing, Verdict

from . import worker_words
from .console import ExitCode, printable

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
        "No ordinary request runs, and none starts until the site is opened."
        if progress.state.mode is Mode.CLOSED
        else "Nothing of the time before runs any more; visitors can only read."
    )
    apart = sum(standing.report.apart for standing in living)
    if apart:
        effect += f" Not waited for: {apart} of administrators, or exempt."
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


def what_to_do(progress: Progress) -> str:
    """What helps against what :func:`not_quiet` found."""
    return " ".join(_advice(progress))


def not_open(progress: Progress, waited: float) -> str:
    """Who does not know yet that the site is open."""
    names = [
        worker_words.name(standing.report)
        for standing in progress.standing(Condition.SILENT, Condition.UNAWARE)
    ]
    return (
        f"not everywhere after {_time(waited)}: {worker_words.some(names)} "
        f"{'has' if len(names) == 1 else 'have'} not said yet that they know. The site is open; "
        "each of them opens as soon as it reads the database. See them with: manage.py "
        "maintenance workers"
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
        yield f"Alive, but without word that it knows of the closure: {worker_words.some(names)}."
    if not (busy or silent or unaware):
        yield (
            "A worker is not waited for on somebody's word, and the time in which it might still "
            "let somebody by is not over."
        )


def _advice(progress: Progress) -> Iterator[str]:
    yield (
        "Look with: manage.py maintenance workers. "
        "To go on waiting: manage.py maintenance on --wait."
    )
    if progress.standing(Condition.BUSY):
        yield "Streams that do not end: manage.py maintenance on --wait --cut-streams."
    ids = worker_words.short_ids(standing.report for standing in progress.workers)
    for standing in progress.standing(Condition.SILENT)[: worker_words.NAMED]:
        yield (
            f"If you know that {printable(standing.report.place)} is dead: manage.py maintenance "
            f"on --wait --assume-dead {ids[standing.report.id]}."
        )


def _business(standing: Standing) -> str:
    units = worker_words.all_running(standing.report)
    return f"{worker_words.some(units)} on {worker_words.name(standing.report)}"


def _time(seconds: float) -> str:
    return worker_words.length(seconds)
