"""``maintenance doctor``: everything that can be wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from backsoon import conf
from backsoon.exceptions import NotMigratedError, StoreUnavailableError

from .console import ExitCode
from .examinations import DATABASE_EXAMINATIONS, EXAMINATIONS, Finding, problem
from .failures import state_now, what_happened

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console

HELP = "Look for everything that is wrong, and say what to do."
FAILURE = "Not examined"


def add_arguments(parser: ArgumentParser) -> None:
    """There are none."""


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Examine and report; problems make it fail, notes do not."""
    findings = list(examine())
    problems = sum(finding.level == "problem" for finding in findings)
    data = {
        "healthy": not problems,
        "findings": [
            {
                "level": finding.level,
                "id": finding.id,
                "message": finding.message,
                "hint": finding.hint,
            }
            for finding in findings
        ],
    }
    console.answer(data, _lines(findings))
    if problems:
        summary = f"{problems} problem{'' if problems == 1 else 's'} found."
        raise CommandError(summary, returncode=ExitCode.ERROR)


def examine() -> Iterator[Finding]:
    """What every examination finds."""
    for look in EXAMINATIONS:
        yield from look()
    if conf.problems():
        return  # then which database is ours is not known; the system checks have told why
    try:
        for look in DATABASE_EXAMINATIONS:
            try:
                yield from look()
            except NotMigratedError:
                continue  # the examination of the migrations says it better
    except StoreUnavailableError as error:
        # Each of the others would wait as long, only to say the same.
        what = what_happened(error)
        yield problem(
            "database",
            f"{what[0].upper()}{what[1:]} What is stored could not be examined to the end; "
            "running processes keep the state that they read last.",
            "Bring the database back and look again.",
        )


def _lines(findings: list[Finding]) -> Iterator[str]:
    try:
        yield state_now()
    except ImproperlyConfigured:
        yield "The state cannot be read while the settings cannot be used."
    for finding in findings:
        yield f"{finding.level} {finding.id}: {finding.message} {finding.hint}".rstrip()
    if not findings:
        yield "All is well."
