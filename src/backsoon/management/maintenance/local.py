"""``on --local`` and ``off --local``: an order for this host alone, while the database is away."""

from __future__ import annotations

import shlex
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from backsoon import brakes, conf, hostfiles, lastknown, services, store
from backsoon.core.vocabulary import Brake, Mode
from backsoon.exceptions import BacksoonError, StoreUnavailableError
from backsoon.hostfiles import DirectoryUnusableError, UnusableError
from backsoon.services import Fate

from . import words
from .console import ExitCode, origin, usage_error
from .failures import require_time_zones, state_now, what_happened
from .waiting import NEEDING_WAIT

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from .console import Console

VERBS = {Mode.CLOSED: "on", Mode.OPEN: "off"}


def add_argument(parser: ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument(
        "--local",
        action="store_true",
        help="On this host only and without the database; it is told when it is back.",
    )


def run(mode: Mode, failure: str, console: Console, options: Mapping[str, Any]) -> None:
    """Write the order down first; only then see whether the database can be told at once."""
    require_time_zones()
    _refuse_other_options(failure, options)
    reason = options["reason"] or ""
    _refuse_in_vain(mode, failure, reason)
    try:
        brake = services.pull_brake(mode, origin=origin(), host=socket.gethostname(), reason=reason)
    except UnusableError as error:
        raise _as_command_error(error, mode, failure, reason) from error
    notes = list(_notes(brake, reason))
    if not console.as_json:
        console.answer({}, [*_lines(brake), *notes])
        console.stdout.flush()  # the database may take its time
    stored, said = _tell_the_database(brake)
    data = words.brake_data(brake) | {
        "local": True,
        "file": str(hostfiles.path_of(brakes.KIND)),
        "stored": stored,
        "database": said,
        "notes": notes,
    }
    undo = f"manage.py maintenance {VERBS[_opposite(mode)]}{'' if stored else ' --local'}"
    console.answer(data, [f"  {said}", f"  To undo: {undo}"])


def supersede(console: Console) -> dict[str, Any] | None:
    """After a change for the whole fleet: an order that waits on this host is out of date."""
    brake = brakes.read()
    if brake is None:
        return None
    data = words.brake_data(brake)
    try:
        services.merge_brake(brake, applies=False)
    except BacksoonError as error:
        line = f"The order on this host is still in force, it could not be recorded: {error}"
    else:
        line = "It takes the place of the order on this host, which is recorded as not applied:"
    if not console.as_json:
        console.answer({}, [line, f"  {words.brake_line(brake, store.utc_now())}"])
    return data


def _refuse_other_options(failure: str, options: Mapping[str, Any]) -> None:
    ours = ("message", "until", "open_at_end", "keep_logins", "max_closure", "read_only", "wait")
    for name in (*ours, *NEEDING_WAIT, "force", "check"):
        if options.get(name) not in (None, False, []):
            option = f"--{name.replace('_', '-')}"
            raise usage_error(
                f"{failure}: {option} needs the database. With --local only --reason is possible."
            )


def _refuse_in_vain(mode: Mode, failure: str, reason: str) -> None:
    """Nobody would see an order in root's directory when the servers look into another one."""
    servers = [name for name, serves_us in hostfiles.other_users() if serves_us]
    if servers and lastknown.load() is None:
        raise CommandError(
            f"{failure}: the servers of this site run as {servers[0]} and would not see the order. "
            f"Type: {_as_user(servers[0], mode, reason)}",
            returncode=ExitCode.ERROR,
        )


def _as_command_error(error: UnusableError, mode: Mode, failure: str, reason: str) -> CommandError:
    hint = "Mend that, or name another directory in BACKSOON['STATE_DIR'] and restart the servers."
    if isinstance(error, DirectoryUnusableError):
        hint = error.hint
        if error.owner:
            hint = f"Type: {_as_user(error.owner, mode, reason)}"
    return CommandError(
        f"{failure}: the order cannot be written on this host: {error}. Nothing was changed. "
        f"{hint}",
        returncode=ExitCode.ERROR,
    )


def _as_user(name: str, mode: Mode, reason: str) -> str:
    """The same command as another user, to be pasted."""
    given = ["--reason", reason] if reason else []
    program = [sys.executable, sys.argv[0], "maintenance", VERBS[mode], "--local"]
    return shlex.join(["sudo", "-u", name, *program, *given])


def _lines(brake: Brake) -> Iterator[str]:
    now = store.utc_now()
    effect = (
        "Maintenance is on, on this host"
        if brake.mode is Mode.CLOSED
        else "The site is open, on this host"
    )
    yield f"{effect}: {brake.host}, since {words.clock(brake.at, now)}."
    own = hostfiles.user_name(hostfiles.own_uid())
    yield (
        f"  Its processes that run as {own} obey within {conf.current().poll:g} s: they look for "
        f"{hostfiles.path_of(brakes.KIND)}"
    )


def _notes(brake: Brake, reason: str) -> Iterator[str]:
    if brake.epoch is None:
        yield (
            "  Nobody may see it: no process has left a copy of the state in that directory. "
            "Servers that were started by systemd, in a container or by another user have one of "
            "their own. Name one directory for all in BACKSOON['STATE_DIR']."
        )
    for name, _serves_us in hostfiles.other_users():
        yield (
            f"  {name} has a directory of its own. If the servers run as {name}, type: "
            f"{_as_user(name, brake.mode, reason)}"
        )


def _tell_the_database(brake: Brake) -> tuple[bool, str]:
    """Whether the order is stored for all hosts already, and a sentence about it."""
    try:
        fate = services.merge_brake(brake, applies=True)
    except StoreUnavailableError as error:
        what = what_happened(error)
        return False, (
            f"{what[0].upper()}{what[1:]} Other hosts are not told. When it is back, the first "
            "process here stores the order for all of them, unless somebody decided otherwise "
            "meanwhile."
        )
    except BacksoonError as error:
        return False, f"The database could not be told ({error}); a process here tries again."
    if fate is Fate.SETTLED:
        return True, f"A process here has told the database already. {state_now()}"
    return True, f"The database could be told, so this holds for all hosts. {state_now()}"


def _opposite(mode: Mode) -> Mode:
    return Mode.OPEN if mode is Mode.CLOSED else Mode.CLOSED
