"""``maintenance report``: what a closure was like."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from backsoon import reports, store
from backsoon.core.checkup import checked_of
from backsoon.core.vocabulary import Mode

from . import fitness, words
from .console import ExitCode, usage_error

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console

HELP = "Say what a closure was like: planned and real times, who, refused visitors, checks."
FAILURE = "No report"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare which."""
    parser.add_argument(
        "id",
        nargs="?",
        type=_epoch,
        default=None,
        metavar="ID",
        help="The epoch of a change that belongs to it, or 'last', which is the default.",
    )
    parser.add_argument(
        "--window",
        type=int,
        metavar="NUMBER",
        help="The number of a planned closure, as 'maintenance list' shows it.",
    )


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Tell it."""
    if options["id"] is not None and options["window"] is not None:
        raise usage_error(f"{FAILURE}: give an ID or --window, not both.")
    try:
        report = reports.report_of(epoch=options["id"], window=options["window"])
    except reports.NoReportError:
        which = "such a" if options["id"] or options["window"] else "a"
        raise CommandError(
            f"{FAILURE}: there has not been {which} closure. See: manage.py maintenance history",
            returncode=ExitCode.ERROR,
        ) from None
    console.answer(report, lines(report, store.utc_now()))


def _epoch(text: str) -> int | None:
    if text == "last":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise argparse.ArgumentTypeError(f"{text!r} is neither an epoch nor 'last'")
    return int(text)


def lines(report: Mapping[str, Any], now: dt.datetime) -> Iterator[str]:
    """The report for people."""
    began, opened = report["began"], report["opened"]
    lasted = words.span(dt.timedelta(seconds=report["seconds"]))
    mode = words.adjective(Mode(report["mode"]))
    start = _clock(report["started_at"], now)
    if opened is None:
        yield f"The site is {mode} since {start}, for {lasted}."
    else:
        yield f"The site was {mode} from {start} to {_clock(report['ended_at'], now)}: {lasted}."
    yield f"  closed: {_who(began)}"
    if began["reason"]:
        yield f"  reason: {began['reason']}"
    if opened is not None:
        forced = ", though checks failed" if report["forced"] else ""
        yield f"  opened: {_who(opened)}{forced}"
    yield from _plans(report, now)
    refused = report["refused"]
    yield (
        f"  refused: {refused['all']} requests ({refused['pages']} of browsers, "
        f"{refused['programs']} of programs, {refused['logins']} logins)"
    )
    for name in ("messages", *reports.SOURCES):
        if report[name]:
            told = ", ".join(f"{number} {key}" for key, number in report[name].items())
            yield f"  {name}: {told}"
    yield from _watch(report["watch"])
    if report["checks"]:
        yield "  checks before opening:"
        yield from (f"  {line}" for line in fitness.lines(checked_of(report["checks"])))


def _plans(report: Mapping[str, Any], now: dt.datetime) -> Iterator[str]:
    planned = report["planned"]
    if planned["starts_at"]:
        yield f"  planned start: {_clock(planned['starts_at'], now)}"
    if planned["ends_at"]:
        yield f"  planned end: {_clock(planned['ends_at'], now)}{_late(planned['late_seconds'])}"
    if report["extended"]:
        yield f"  extended: {report['extended']} time{'' if report['extended'] == 1 else 's'}"
    if report["overdue"]:
        yield "  overdue: it lasted longer than it was meant to, and an alarm was raised"


def _watch(watch: Mapping[str, Any]) -> Iterator[str]:
    after, before = watch["after"], watch["before"]
    if not after["requests"]:
        return
    usual = f"{before['percent']:g} %" if before["requests"] else "not known"
    alarm = "; an alarm was raised" if watch["alarmed"] else ""
    yield (
        f"  after opening: {after['percent']:g} % of {after['requests']} requests failed; before "
        f"it was {usual}{alarm}"
    )


def _who(part: Mapping[str, Any]) -> str:
    if part["how"] == "clock":
        return f"by the clock{', as ' + part['by'] + ' planned' if part['by'] else ''}"
    return f"by {part['by'] or 'somebody'} ({part['channel']})"


def _late(seconds: int | None) -> str:
    if seconds is None or abs(seconds) < 1:
        return ""
    length = words.span(dt.timedelta(seconds=abs(seconds)))
    return f", opened {length} {'later' if seconds > 0 else 'earlier'}"


def _clock(text: str | None, now: dt.datetime) -> str:
    return words.clock(dt.datetime.fromisoformat(text), now) if text else "–"
