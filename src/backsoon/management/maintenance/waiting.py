"""``--wait``: no more is said to be done than is proven.

The switch has moved and is stored before the wait begins; however the wait ends, it stays so.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from backsoon import conf, quiesce, services, store, waiting, workers
from backsoon.clock import since_boot
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import BacksoonError, StoreUnavailableError
from backsoon.quiesce import Condition, Progress, Verdict

from . import interrupting, verdicts, worker_words
from .console import ExitCode, origin, printable, usage_error
from .failures import database_place, who_switched
from .narration import narrator

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console
    from .narration import Narrator

DEFAULT_SECONDS = 60.0
SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 86_400.0
GRACE_SECONDS = 10.0
"""How long streams may go on when --cut-streams names no time."""

NEEDING_WAIT = ("timeout", "rollback", "cut_streams", "assume_dead", "fence")
"""Options that mean nothing without --wait."""

_LENGTH = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd]?)")
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


# -- What is asked for -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for."""

    seconds: float = DEFAULT_SECONDS
    rollback: bool = False
    cut_streams_after: float | None = None
    """Seconds after the closure; ``None`` lets streams run out."""
    assume_dead: tuple[str, ...] = ()
    """Beginnings of the identifiers of workers."""
    fence: bool = False


def add_timeout(parser: ArgumentParser) -> None:
    """Declare ``--timeout``."""
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        help="How long to wait at most: seconds, or 90s, 5m, 2h. 60 seconds by default.",
    )


def add_wait(parser: ArgumentParser, what: str) -> None:
    """Declare ``--wait`` and ``--timeout``; *what* says until when."""
    parser.add_argument("--wait", action="store_true", help=f"Wait until {what}.")
    add_timeout(parser)


def add_remedies(parser: ArgumentParser) -> None:
    """Declare what can be done about those who keep a closure from being quiet."""
    parser.add_argument(
        "--rollback",
        action="store_true",
        help="Bring back what was before if it does not become quiet.",
    )
    parser.add_argument(
        "--cut-streams",
        nargs="?",
        const=str(GRACE_SECONDS),
        metavar="TIME",
        help="End responses that stream to ordinary visitors, 10 seconds after the closure or "
        "after TIME.",
    )
    parser.add_argument(
        "--assume-dead",
        action="append",
        metavar="ID",
        help="Do not wait for the worker whose id begins so; only if you know that it is dead. "
        "Can be given several times.",
    )
    parser.add_argument(
        "--fence",
        action="store_true",
        help="End the database sessions of workers that are not heard of (PostgreSQL), and wait "
        "for these workers no more.",
    )


def wish_of(options: Mapping[str, Any], failure: str) -> Wish | None:
    """What *options* ask for; ``None`` for no wait.

    Raises a usage error in words that begin with *failure*; nothing is changed then.
    """
    given = [name for name in NEEDING_WAIT if options.get(name) not in (None, False, [], ())]
    if not options.get("wait"):
        if given:
            option = f"--{given[0].replace('_', '-')}"
            raise usage_error(f"{failure}: {option} needs --wait.")
        return None
    wish = Wish(
        seconds=_seconds(options, "timeout", DEFAULT_SECONDS, SHORTEST_SECONDS, failure),
        rollback=bool(options.get("rollback")),
        cut_streams_after=None
        if options.get("cut_streams") is None
        else _seconds(options, "cut_streams", GRACE_SECONDS, 0.0, failure),
        assume_dead=tuple(options.get("assume_dead") or ()),
        fence=bool(options.get("fence")),
    )
    waiting.require_no_transaction()
    return replace(wish, assume_dead=_known(wish.assume_dead, failure))


def _seconds(
    options: Mapping[str, Any], name: str, default: float, shortest: float, failure: str
) -> float:
    """A length of time as typed, or as ``call_command`` may give it: a number of seconds."""
    given = options.get(name)
    if given is None:
        return default
    match = _LENGTH.fullmatch(str(given).strip())
    seconds = float(match[1]) * _UNIT_SECONDS[match[2]] if match else math.nan
    if not shortest <= seconds <= LONGEST_SECONDS:
        option = f"--{name.replace('_', '-')}"
        raise usage_error(
            f"{failure}: {option}: {given!r} is no time from {shortest:g} seconds to a day. "
            "Give seconds, or a length such as 90s, 5m or 2h."
        )
    return seconds


def _known(beginnings: tuple[str, ...], failure: str) -> tuple[str, ...]:
    """The identifiers of the workers that are meant; before anything is closed."""
    if not beginnings:
        return ()
    reports = workers.reports()
    found = []
    for beginning in beginnings:
        meant = [r.id for r in reports if beginning and r.id.startswith(beginning.lower())]
        if len(meant) != 1:
            how = "more than one worker has an id that begins so" if meant else "no worker has it"
            raise usage_error(
                f"{failure}: --assume-dead: {beginning!r}: {how}. See the ids with: manage.py "
                "maintenance workers --all"
            )
        found += meant
    return tuple(found)


# -- The wait ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a wait."""

    code: ExitCode
    sentence: str
    advice: str = ""
    progress: Progress | None = None
    """``None`` when nothing could be read."""
    waited: float = 0.0
    verdict: str = ""

    @property
    def data(self) -> dict[str, Any]:
        """The result as ``--json`` gives it."""
        standings = self.progress.workers if self.progress is not None else ()
        return {
            "quiet": self.code is ExitCode.DONE,
            "verdict": self.verdict,
            "waited": round(self.waited, 3),
            "workers": [worker_words.worker_data(standing) for standing in standings],
        }


@dataclass(slots=True)
class _Wait:
    """One wait, from its beginning to whatever end it takes."""

    wish: Wish
    narrator: Narrator
    opened: bool
    mode: Mode
    began: float
    since: dt.datetime
    last: Progress | None = None
    fenced: set[str] = field(default_factory=set)

    @property
    def waited(self) -> float:
        """Seconds since it began."""
        return since_boot() - self.began

    def carry_out(self) -> Result:
        """Wait, and say what came of it."""
        try:
            with interrupting.as_ctrl_c():
                self._watch_and_act()
        except KeyboardInterrupt:
            return self._interrupted()
        except StoreUnavailableError as error:
            return self._lost(error)
        assert self.last is not None  # a watch yields at least once
        return self._decided(self.last)

    def _watch_and_act(self) -> None:
        self._take_at_their_word()
        # Fencing acts on silence, so it need not be a long one.
        self._watch(self.wish.seconds, quiesce.silent_after() if self.wish.fence else None)
        while self.last is not None and self._fence(self.last):
            # Whoever is not waited for on somebody's word has its lease to run out.
            rest = self.wish.seconds - self.waited
            self._watch(max(rest, conf.current().lease + 2 * conf.current().poll))

    def _watch(self, seconds: float, lost_after: float | None = None) -> None:
        mode = None if self.opened else self.mode  # somebody may make it a milder closure
        for progress in quiesce.watch(
            seconds, opened=self.opened, mode=mode, lost_after=lost_after
        ):
            self.last = progress
            self.narrator.show(progress)

    def _take_at_their_word(self) -> None:
        for identity in self.wish.assume_dead:
            try:
                worker = services.assume_dead(identity, origin=origin())
            except LookupError:
                continue  # it has ended by itself since
            place = printable(f"{worker.host}:{worker.pid}")
            self.narrator.say(f"{place} is not waited for, on your word")

    def _fence(self, progress: Progress) -> bool:
        """Cut off the silent ones, if that is asked for; whether it was done to any."""
        if not self.wish.fence or progress.verdict is not Verdict.SILENT:
            return False
        done = False
        for standing in progress.standing(Condition.SILENT):
            report = standing.report
            if report.id in self.fenced:
                continue
            self.fenced.add(report.id)
            name = worker_words.name(report)
            try:
                ended = services.fence(report.id, origin=origin())
            except LookupError:
                done = True  # it has ended by itself since
            except StoreUnavailableError:
                raise
            except BacksoonError as error:
                self.narrator.say(f"{name} could not be cut off from the database: {error}")
            else:
                done = True
                sessions = f"{ended} database session{'' if ended == 1 else 's'}"
                self.narrator.say(f"{name} is cut off: {sessions} ended")
        return done

    def _decided(self, progress: Progress) -> Result:
        code, advice = verdicts.EXIT_CODES[progress.verdict], ""
        if code is ExitCode.DONE:
            sentence = (verdicts.all_open if self.opened else verdicts.all_quiet)(
                progress, self.waited
            )
        elif code is ExitCode.OVERTAKEN:
            sentence = who_switched(self.since)
        elif self.opened:
            sentence = verdicts.not_open(progress, self.waited)
        else:
            sentence = verdicts.not_quiet(progress, self.waited)
            advice = verdicts.what_to_do(progress, self._again)
        return self._result(code, sentence, advice, progress.verdict.value)

    def _lost(self, error: StoreUnavailableError) -> Result:
        what = "not known to be open everywhere" if self.opened else "not proven quiet"
        said = " ".join(str(error).split()).rstrip(".")
        return self._result(
            ExitCode.UNREACHABLE,
            f"{what}: the database {database_place()} cannot be read ({said}).",
            "The switch was stored before that and stays where it is. Bring the database back. "
            f"Then, to go on waiting: {self._again}.",
            "unreachable",
        )

    def _interrupted(self) -> Result:
        what = "every worker knows" if self.opened else "it is quiet"
        return self._result(
            ExitCode.INTERRUPTED,
            f"interrupted, so whether {what} is not known.",
            "The switch stays where it is. Look with: manage.py maintenance status. "
            f"To go on waiting: {self._again}.",
            "interrupted",
        )

    @property
    def _again(self) -> str:
        milder = " --read-only" if self.mode is Mode.READ_ONLY else ""
        return f"manage.py maintenance {'off' if self.opened else f'on{milder}'} --wait"

    def _result(self, code: ExitCode, sentence: str, advice: str, verdict: str) -> Result:
        return Result(code, sentence, advice, self.last, self.waited, verdict)


def wait(console: Console, wish: Wish, *, opened: bool = False, mode: Mode = Mode.CLOSED) -> Result:
    """Wait until the closure to *mode* is quiet, or with *opened* until everybody knows.

    Tells how it goes. Raises nothing that can be foreseen, Ctrl-C included: it comes of it. SIGTERM
    and SIGHUP count as Ctrl-C.
    """
    teller = narrator(console, wish.seconds, opened=opened)
    return _Wait(wish, teller, opened, mode, since_boot(), store.utc_now()).carry_out()
