"""``maintenance run -- COMMAND``: close, wait, run it, open again if it succeeded.

The command has the standard streams to itself; what is said here goes to the standard error.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import connections

from backsoon import services, store
from backsoon.core.state import resolve_state
from backsoon.exceptions import (
    BacksoonError,
    ChecksFailedError,
    ConflictError,
    StoreUnavailableError,
)

from . import closing, fitness, interrupting, local, on, runs, waiting, words
from .child import Child
from .console import ExitCode, origin, printable, usage_error
from .failures import require_time_zones, state_now, what_happened

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from backsoon.services import Outcome
    from backsoon.snapshots import Snapshot

    from .closing import Closure
    from .console import Console
    from .runs import Run
    from .waiting import Wish

HELP = "Close the site, wait, run a command, and open the site again if it succeeded."
FAILURE = "Not run"

VARIABLE = "BACKSOON_RUN"
"""The environment variable by which the command and what it starts can tell."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    closing.add_arguments(parser)
    waiting.add_timeout(parser)
    waiting.add_remedies(parser)
    parser.add_argument(
        "--open-anyway", action="store_true", help="Open again though the command failed."
    )
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="Run it though another run may still be under way; only if you know that it is not.",
    )
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="COMMAND",
        help="The command and its arguments, after two dashes. No shell reads them.",
    )


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Do it all; at each step that fails, say what is true then."""
    console = console.beside
    require_time_zones()
    command = _command(options)
    wish = waiting.wish_of({**options, "wait": True}, FAILURE) or waiting.Wish()
    closing.require_sense(options, FAILURE)
    # In this order: who closes after the first look is found by the second one, or by the switch.
    before = store.load()
    _refuse_other_runs(options)
    session = _Session(console, options, wish, before, runs.begun(command))
    try:
        with interrupting.as_ctrl_c():  # the command gets them while it runs
            session.close()
            session.wait()
            session.carry_out(command)
    except KeyboardInterrupt:
        session.note()
        raise CommandError(f"Interrupted. {state_now()}", returncode=ExitCode.INTERRUPTED) from None


def _command(options: Mapping[str, Any]) -> list[str]:
    """What is to be run; looked for before anything is closed for it."""
    given = list(options["command"])
    command = given[1:] if given[:1] == ["--"] else given
    if not command:
        raise usage_error(f"{FAILURE}: no command is given. Add it after two dashes: -- COMMAND")
    if shutil.which(command[0]) is None:
        raise CommandError(
            f"{FAILURE}: there is no command {command[0]!r}, or it may not be executed. Nothing "
            "was closed.",
            returncode=ExitCode.NOT_FOUND,
        )
    return command


def _refuse_other_runs(options: Mapping[str, Any]) -> None:
    other = runs.read()
    # What a process inherited may be older than the closure: a shell that outlived its run.
    if other is not None and not other.is_over and other.id == os.environ.get(VARIABLE):
        raise CommandError(
            f"{FAILURE}: this is part of a maintenance run already ({VARIABLE} is set), and the "
            "inner one would open the site while the outer one still works. Run the command "
            "itself.",
            returncode=ExitCode.ERROR,
        )
    if other is None or not other.may_live or options["take_over"]:
        return
    raise CommandError(
        f"{FAILURE}: the site is closed for another command: {other.line(store.utc_now())}. Wait "
        "until that has ended. If you know that it has: manage.py maintenance off, or add "
        "--take-over.",
        returncode=ExitCode.OVERTAKEN,
    )


@dataclass
class _Session:
    """One run, step by step."""

    console: Console
    options: Mapping[str, Any]
    wish: Wish
    before: Snapshot
    record: Run
    closure: Closure = field(init=False)
    result: waiting.Result = field(init=False)
    code: int | None = None
    """The exit code of the command, once it has ended."""

    def close(self) -> None:
        """Close, but never make a closed site milder."""
        before = resolve_state(self.before.policy, self.before.windows, store.utc_now()).mode
        self.closure = closing.close_from(
            self.before,
            self.options,
            FAILURE,
            mode=max(closing.mode_of(self.options), before, key=lambda m: m.severity),
            cut_streams_after=self.wish.cut_streams_after,
            run=self.record.data,
        )
        if not self.console.as_json:
            self.console.tell(self.closure.lines(self.options))
        local.supersede(self.console)

    def wait(self) -> None:
        """Wait; where nothing is proven nothing is run."""
        mode = self.closure.switch.mode
        self.result = waiting.wait(self.console, self.wish, mode=mode)
        if not self.result.code:
            self.console.tell([self.result.sentence])
            return
        opened = undone = None
        if self.wish.rollback and self.result.code is not ExitCode.OVERTAKEN:
            opened, undone = on.roll_back(self.closure)
        if opened is None:
            self.note()
        self._answer(ran=False)
        said = on.failed(mode, self.result, undone)
        raise CommandError(f"{FAILURE}: {said}", returncode=self.result.code)

    def carry_out(self, command: list[str]) -> None:
        """Run the command and end the closure as it deserves."""
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()  # it would be idle for as long as the command takes
        self.console.tell([f"Running: {self.record.command}"])
        try:
            code = Child(command, {**os.environ, VARIABLE: self.record.id}).run()
            what = f"The command {f'failed with exit code {code}' if code else 'succeeded'}"
        except OSError as error:
            code, what = ExitCode.NOT_FOUND, f"The command could not be started: {error}"
        self.code = code
        if code and not self.options["open_anyway"]:
            said, own_code = self._left_closed(what), ExitCode.DONE
        else:
            back, own_code = self._bring_back()
            said = f"{what}. {back}"
        self._answer(ran=True)
        if code or own_code:
            raise CommandError(said, returncode=code or own_code)
        if not self.console.as_json:
            self.console.tell([said])

    def _left_closed(self, what: str) -> str:
        """What is true after a command that failed: it, or somebody, may have switched."""
        noted = self.note()
        if noted is None or noted.state.is_open:
            return f"{what}. {state_now()}"
        mode = words.adjective(noted.state.mode)
        return f"{what}, so the site stays {mode}. When all is well: manage.py maintenance off"

    def _bring_back(self) -> tuple[str, ExitCode]:
        """Bring back what was true before; a sentence about it, and an exit code."""
        reason, expected = self.options["reason"] or "", self.closure.outcome.mark
        try:
            over = self.record.over(self.code).data
            undone = closing.undo(self.closure, expected, reason, over, checked=True)
            return undone[1], ExitCode.DONE
        except ChecksFailedError as error:
            self.note()
            return f"The site was not opened: {fitness.sentence(error)}", ExitCode.ERROR
        except ConflictError as error:
            self.note()
            by = printable(error.by or "somebody else")
            return (
                f"The site was left as it is, because {by} switched in the meantime. {state_now()}",
                ExitCode.OVERTAKEN,
            )
        except BacksoonError as error:
            unreachable = isinstance(error, StoreUnavailableError)
            why = what_happened(error) if isinstance(error, StoreUnavailableError) else f"{error}."
            mode = words.adjective(self.closure.switch.mode)
            said = f"The site could not be opened and stays {mode}: {why}"
            code = ExitCode.UNREACHABLE if unreachable else ExitCode.ERROR
            return f"{said} Open it with: manage.py maintenance off", code

    def note(self) -> Outcome | None:
        """Let the record say that it is over; without that it looks as if it had been killed.

        Somebody may have changed the closure meanwhile without ending it, so it is read again.
        ``None`` when it is not there any more, or cannot be written.
        """
        try:
            snapshot, stored = store.load(), runs.read()
            if stored is None or stored.id != self.record.id:
                return None
            over = self.record.over(self.code)
            return services.record_run(over.data, origin=origin(), expected=snapshot.mark)
        except BacksoonError:
            return None  # somebody switches right now, or the database is away

    def _answer(self, *, ran: bool) -> None:
        if not self.console.as_json:
            return
        state, mark = self.closure.outcome.state, self.closure.outcome.mark
        with suppress(StoreUnavailableError):
            now = store.load()
            state = resolve_state(now.policy, now.windows, store.utc_now())
            mark = now.mark
        data = words.state_data(state, mark) | self.result.data
        self.console.answer(data | {"ran": ran, "exit_code": self.code}, ())
