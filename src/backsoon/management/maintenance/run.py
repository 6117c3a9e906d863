"""``maintenance run -- COMMAND``: close, wait, run it, open again if it succeeded.

The command has the standard streams to itself; what is said here goes to the standard error.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import connections

from backsoon import services, store
from backsoon.core.state import resolve_state, switch_mode
from backsoon.core.vocabulary import Mode, Switch
from backsoon.exceptions import BacksoonError, ConflictError, StoreUnavailableError

from . import closing, local, on, runs, waiting, words
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
    _refuse_other_runs(options)
    before = store.load()
    session = _Session(console, options, wish, before, runs.begun(command))
    try:
        session.close()
        session.wait()
        session.carry_out(command)
    except KeyboardInterrupt:
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
    if os.environ.get(VARIABLE):
        raise CommandError(
            f"{FAILURE}: this is part of a maintenance run already ({VARIABLE} is set), and the "
            "inner one would open the site while the outer one still works. Run the command "
            "itself.",
            returncode=ExitCode.ERROR,
        )
    other = runs.read()
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
    now: Outcome = field(init=False)
    """What the last change of ours led to."""

    def __post_init__(self) -> None:
        at = store.utc_now()
        self.mode_before = resolve_state(self.before.policy, self.before.windows, at).mode
        self.is_ours = switch_mode(self.before.policy, at) is Mode.OPEN
        """Whether nobody had switched the site off, so that it is ours to open."""

    def close(self) -> None:
        """Close, but never make a closed site milder."""
        self.closure = closing.close_from(
            self.before,
            self.options,
            FAILURE,
            mode=max(closing.mode_of(self.options), self.mode_before, key=lambda m: m.severity),
            cut_streams_after=self.wish.cut_streams_after,
            run=self.record.data,
        )
        self.now = self.closure.outcome
        if not self.console.as_json:
            self.console.tell(self.closure.lines(self.options))
        local.supersede(self.console)

    def wait(self) -> None:
        """Wait; where nothing is proven nothing is run."""
        self.result = waiting.wait(self.console, self.wish, mode=self.closure.switch.mode)
        if not self.result.code:
            self.console.tell([self.result.sentence])
            return
        opened = undone = None
        if self.wish.rollback:
            opened, undone = on.roll_back(self.closure)
        if opened is not None:
            self.now = opened
        else:
            self._note(self.record.over(None))
        self._answer(ran=False, exit_code=None)
        raise CommandError(
            f"{FAILURE}: {on.failed('closed', self.result, undone)}", returncode=self.result.code
        )

    def carry_out(self, command: list[str]) -> None:
        """Run the command and end the closure as it deserves."""
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()  # it would be idle for as long as the command takes
        try:
            code = Child(command, {**os.environ, VARIABLE: self.record.id}).run()
            what = f"The command {f'failed with exit code {code}' if code else 'succeeded'}"
        except OSError as error:
            code, what = ExitCode.NOT_FOUND, f"The command could not be started: {error}"
        if code and not self.options["open_anyway"]:
            self._note(self.record.over(code))
            self._answer(ran=True, exit_code=code)
            raise CommandError(
                f"{what}, so the site stays closed. When all is well: manage.py maintenance off",
                returncode=code,
            )
        said, own_code = self._bring_back()
        self._answer(ran=True, exit_code=code)
        if code or own_code:
            raise CommandError(f"{what}. {said}", returncode=code or own_code)
        if not self.console.as_json:
            self.console.tell([f"{what}. {said}"])

    def _bring_back(self) -> tuple[str, int]:
        """Bring back what was true before; a sentence about it, and an exit code."""
        try:
            self.now, said = self._restored()
        except ConflictError as error:
            by = printable(error.by or "somebody else")
            return (
                f"The site was left as it is, because {by} switched in the meantime. {state_now()}",
                ExitCode.OVERTAKEN,
            )
        except BacksoonError as error:
            unreachable = isinstance(error, StoreUnavailableError)
            why = what_happened(error) if isinstance(error, StoreUnavailableError) else f"{error}."
            said = f"The site could not be opened and stays closed: {why}"
            code = ExitCode.UNREACHABLE if unreachable else ExitCode.ERROR
            return f"{said} Open it with: manage.py maintenance off", code
        return said, ExitCode.DONE

    def _restored(self) -> tuple[Outcome, str]:
        expected = self.now.mark
        if self.is_ours:
            outcome = services.open_site(
                origin=origin(), reason=self.options["reason"] or "", expected=expected
            )
            switch = Switch(Mode.OPEN, store.utc_now())
            return outcome, words.state_line(outcome.state, outcome.mark, switch, store.utc_now())
        switch, end = self.before.policy.switch, self.before.policy.ends_at
        ahead = end if end is not None and end > store.utc_now() else None
        changed = switch.mode is not self.closure.switch.mode
        outcome = services.close_site(
            origin=origin(),
            reason=switch.reason if changed else "",
            until=ahead if changed else None,
            open_at_end=changed and switch.open_at_end and ahead is not None,
            mode=switch.mode,
            expected=expected,
            run={},
        )
        if changed:
            return outcome, "The site is read-only again, as it was before."
        return outcome, "The site was closed before, so it stays closed."

    def _note(self, record: Run) -> None:
        """Let the record say that it is over; without that it looks as if it had been killed."""
        try:
            self.now = services.close_site(
                origin=origin(),
                mode=self.closure.switch.mode,
                expected=self.now.mark,
                run=record.data,
            )
        except BacksoonError:
            return  # somebody else switched, or the database is away: nothing of ours to say

    def _answer(self, *, ran: bool, exit_code: int | None) -> None:
        if not self.console.as_json:
            return
        data = words.state_data(self.now.state, self.now.mark) | self.result.data
        self.console.answer(data | {"ran": ran, "exit_code": exit_code}, ())
