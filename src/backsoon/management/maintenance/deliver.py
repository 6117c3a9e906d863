"""``maintenance deliver``: send what people are to be told."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import close_old_connections, connections

from backsoon import store
from backsoon.announce import claims, delivering, letters, mail
from backsoon.announce.claims import ChannelDownError, NotSentError
from backsoon.core.telling import Moment
from backsoon.exceptions import StoreUnavailableError
from backsoon.models import Delivery

from . import words
from .console import ExitCode, printable, usage_error
from .interrupting import ENDING

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from backsoon.announce.delivering import Report

    from .console import Console

HELP = "Send what people are to be told: mail, webhooks, chat."
FAILURE = "Not delivered"

EVERY_SECONDS = 10.0


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--loop", action="store_true", help="Go on until somebody ends it.")
    parser.add_argument(
        "--every",
        type=_seconds,
        default=EVERY_SECONDS,
        metavar="SECONDS",
        help=f"How long --loop rests between two rounds; {EVERY_SECONDS:g} if not given.",
    )
    parser.add_argument(
        "--retry",
        action="store_true",
        help="Try at once, and anew, what has failed or was given up.",
    )
    parser.add_argument(
        "--test", metavar="ADDRESS", help="Send one mail there, about a closure made up for it."
    )
    parser.add_argument(
        "--moment",
        choices=[moment.value for moment in Moment],
        default=Moment.ANNOUNCED.value,
        help="Which mail --test sends; 'announced' if not given.",
    )
    parser.add_argument("--language", default="", help="In which language --test writes.")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0.1 and 86400 seconds")
    return seconds


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Deliver."""
    if options["test"]:
        _send_test(console, options)
        return
    with _asked_to_stop() as ended:
        if options["retry"]:
            with store.translated_errors():
                again = claims.try_again(Delivery.objects.using(store.alias()), store.utc_now())
            console.tell([f"{again} {_messages(again)} will be tried again now."])
        if options["loop"]:
            _loop(console, options["every"], ended)
            return
        report = delivering.run(stop=ended.is_set)
    console.answer(_data(report), _lines(report))
    if not report.is_clean:
        raise CommandError(
            "Not all was sent. What failed is tried again by the next run; see the messages in "
            "the admin, or try everything at once: manage.py maintenance deliver --retry",
            returncode=ExitCode.ERROR,
        )


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set once somebody ends the command: the message in progress is finished first."""
    ended = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield ended
        return
    numbers = [signal.SIGINT, *ENDING]
    before = {number: signal.getsignal(number) for number in numbers}

    def stop(number: int, frame: object) -> None:
        ended.set()
        signal.signal(number, before[number])  # who asks twice does not want to wait

    try:
        for number in numbers:
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, stop)
        yield ended
    finally:
        for number in numbers:
            signal.signal(number, before[number])


def _loop(console: Console, every: float, ended: threading.Event) -> None:
    trouble = ""
    while not ended.is_set():
        close_old_connections()
        try:
            report = delivering.run(stop=ended.is_set)
        except StoreUnavailableError as error:
            connections[store.alias()].close()
            if str(error) != trouble:
                trouble = str(error)
                console.beside.tell([f"The database cannot be reached: {trouble}. Going on."])
        else:
            trouble = ""
            if report.sent or not report.is_clean:
                console.answer(_data(report), _lines(report))
                console.stdout.flush()
        ended.wait(every)


def _data(report: Report) -> dict[str, Any]:
    return {
        "receivers": report.receivers,
        "sent": report.sent,
        "failed": report.failed,
        "given_up": report.given_up,
        "waiting": report.waiting,
        "next_attempt_at": words.iso(report.next_attempt_at),
        "down": report.down,
        "unaddressed": report.unaddressed,
    }


def _lines(report: Report) -> Iterator[str]:
    parts = [f"{report.sent} {_messages(report.sent)} sent"]
    if report.failed:
        parts.append(f"{report.failed} failed and will be tried again")
    if report.given_up:
        parts.append(f"{report.given_up} given up")
    yield f"{', '.join(parts)}."
    for channel, reason in report.down.items():
        yield printable(f"Nothing can be sent by {channel} now: {reason}")
    for key, reason in report.unaddressed.items():
        yield printable(f"Not all receivers of {key} could be found: {reason}")
    if report.waiting:
        verb = "waits" if report.waiting == 1 else "wait"
        when = ""
        if report.next_attempt_at is not None:
            when = f", the next one from {words.clock(report.next_attempt_at, store.utc_now())} on"
        yield f"{report.waiting} {_messages(report.waiting)} {verb}{when}."


def _messages(count: int) -> str:
    return "message" if count == 1 else "messages"


def _send_test(console: Console, options: Mapping[str, Any]) -> None:
    address, moment = options["test"], options["moment"]
    letter = letters.write(moment, letters.example(moment, store.utc_now()), options["language"])
    try:
        with mail.open_connection() as connection:
            mail.deliver(connection, mail.compose(letter, address))
    except (NotSentError, ChannelDownError) as error:
        raise CommandError(f"The test was not sent: {error}", returncode=ExitCode.ERROR) from error
    except ValueError as error:
        raise usage_error(f"The test was not sent: {error}") from error
    console.answer(
        {"address": address, "moment": moment, "subject": letter.subject},
        [printable(f"Sent to {address}: {letter.subject}")],
    )
